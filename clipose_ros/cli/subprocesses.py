"""Processes that a command starts and always ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from clipose_ros.errors import CliposeError

_PATIENCE_S = ((signal.SIGINT, 8.0), (signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0))


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Told to end in whatever way, this process leaves its blocks as on Ctrl-C: children end before it does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class SubprocessDiedError(CliposeError):
    """A process ended by itself; the message carries its last words."""


class Subprocess:
    """A process in a session of its own: Ctrl-C reaches it only through us, and whatever it starts ends with it.

    Args:
        name: For messages.
        command: Program and arguments.
        environment: All of it.
        log: File for what it writes.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name, self._log = name, log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def __enter__(self) -> Subprocess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            SubprocessDiedError: It has ended.
        """
        status = self._process.poll()
        if status is not None:
            how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
            raise SubprocessDiedError(
                f"the {self.name} ended by itself ({how}). Its last words ({self._log}):\n{self.tail()}"
            )

    def tail(self, lines: int = 15) -> str:
        """The last lines that it wrote."""
        written = self._log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in written[-lines:]) or "  (nothing)"

    def stop(self) -> None:
        """Ask it to end, then insist; what it started ends with it."""
        for number, patience_s in _PATIENCE_S:
            if self._process.poll() is not None:
                break
            # Only SIGINT goes to it alone: it ends its own helpers then, which need not see the signal.
            (self._process.send_signal if number == signal.SIGINT else self._signal_all)(number)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        self._signal_all(signal.SIGKILL)  # helpers that outlived it

    def _signal_all(self, number: int) -> None:
        """Signal its whole session, where any of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
