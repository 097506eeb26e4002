"""Subprocesses of a command, stopped whenever the command ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from clipose_ros.errors import CliposeError

STOP_SIGNALS = ((signal.SIGINT, 8.0), (signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0))
"""Signals that stop a process, and the time that it has to end after each, seconds."""


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` on SIGINT, SIGTERM and SIGHUP, so that context managers stop their subprocesses."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class SubprocessDiedError(CliposeError):
    """A subprocess ended unexpectedly; the message ends with its last log lines."""


class Subprocess:
    """Context manager for a process in a new session.

    Ctrl-C does not reach the process directly, and all processes that it starts are stopped together with it.

    Args:
        name: Name in error messages.
        command: Program and arguments.
        environment: All environment variables.
        log: File for standard output and standard error.
        stop_signals: Signals that stop the process, each with the time to end after it, seconds.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        stop_signals: Sequence[tuple[signal.Signals, float]] = STOP_SIGNALS,
    ) -> None:
        self.name, self._log, self._stop_signals = name, log, stop_signals
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
        """Return the process id."""
        return self._process.pid

    def check(self) -> None:
        """Check that the process runs.

        Raises:
            SubprocessDiedError: The process has ended.
        """
        status = self._process.poll()
        if status is not None:
            how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
            raise SubprocessDiedError(
                f"the {self.name} ended unexpectedly ({how}). Last log lines ({self._log}):\n{self.tail()}"
            )

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log, indented; ``(nothing)`` for an empty log."""
        written = self._log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in written[-lines:]) or "  (nothing)"

    def stop(self) -> None:
        """Stop the process and all processes that it started by one signal after the other."""
        for number, timeout_s in self._stop_signals:
            if self._process.poll() is not None:
                break
            # SIGINT is sent only to the process, which then stops its own helper processes
            (self._process.send_signal if number == signal.SIGINT else self._signal_all)(number)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                continue
        self._signal_all(signal.SIGKILL)  # helper processes that still run

    def _signal_all(self, number: int) -> None:
        """Send a signal to all processes of the session that still run."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
