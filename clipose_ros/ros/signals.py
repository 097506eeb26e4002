"""Termination signals, received by one thread instead of interrupting what runs.

A signal that interrupts the creation or destruction of a DDS participant leaves its files in /dev/shm, and one that
interrupts an import leaves a trace. Blocked signals interrupt nothing: a thread waits for them. This module imports
neither ROS nor NumPy, so that it works before their imports, which take seconds.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable

LAST_RESORT_S = 5.0
"""Seconds from a signal to the end of a process that has not ended by itself; launch files kill it after 10 s."""
_RELEASE_S = 2.0
"""Longest time for the release of resources by the last resort, seconds."""
_PACKAGE = os.sep + "clipose_ros" + os.sep


@functools.cache
def receive_termination_signals() -> TerminationSignals:
    """Begin to wait for signals, once per process; call it in the main thread, before the imports that take long."""
    return TerminationSignals()


class TerminationSignals:
    """Waits for SIGINT, SIGTERM and SIGHUP from its construction to the end of the process.

    At first a signal ends the process with status 0. After ``hold`` it is kept, and after ``call`` it calls a function.
    Only the first signal counts. A process that has not ended ``LAST_RESORT_S`` later, because it compiles or hangs, is
    ended with status 0 and one line that names what it did. A SIGHUP that the parent process had ignored, as with
    ``nohup``, stays ignored; SIGINT does not, which shells ignore for all processes in the background.

    Construct it in the main thread, before other threads exist: they inherit the blocked signals. Otherwise one of
    them may receive a signal, and the main thread handles it when it next runs Python code.
    """

    def __init__(self) -> None:
        self._received = threading.Event()
        self._on_signal: Callable[[], object] | None = _end_process
        self._release: Callable[[], object] | None = None
        self._lock = threading.RLock()
        self._signals = {signal.SIGINT, signal.SIGTERM}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self._signals.add(signal.SIGHUP)
        for number in self._signals:
            signal.signal(number, lambda *_: self._receive())
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    @property
    def received(self) -> bool:
        """Return True if a signal has arrived."""
        return self._received.is_set()

    def hold(self, release: Callable[[], object] | None = None) -> None:
        """Keep a signal until ``call``.

        Args:
            release: Releases what must not remain after the process; only called, from another thread, if the process
                does not end by itself.
        """
        with self._lock:
            self._on_signal = None
            self._release = release

    def call(self, on_signal: Callable[[], object]) -> None:
        """Call a function when a signal arrives, from another thread; at once if one has been kept."""
        with self._lock:
            self._on_signal = on_signal
            received = self.received
        if received:
            on_signal()

    def _wait(self) -> None:
        signal.sigwait(self._signals)
        self._receive()

    def _receive(self) -> None:
        with self._lock:
            if not self.received:
                threading.Thread(target=self._end_late, name="last_resort", daemon=True).start()
            self._received.set()
            on_signal = self._on_signal
        if on_signal is not None:
            on_signal()

    def _end_late(self) -> None:
        """End the process with status 0 if it has not ended by itself."""
        time.sleep(LAST_RESORT_S)
        # In a thread of its own: whatever the process hangs at may also stop the release, or a full pipe the message.
        last_acts = threading.Thread(target=self._report_and_release, name="release", daemon=True)
        last_acts.start()
        last_acts.join(_RELEASE_S)
        os._exit(0)

    def _report_and_release(self) -> None:
        message = f"[WARN] [pose_node]: ended {LAST_RESORT_S:g} s after the signal, in {_describe_main_thread()}\n"
        os.write(sys.stderr.fileno(), message.encode())
        if self._release is not None:
            self._release()


def _describe_main_thread() -> str:
    """Return function, file and line of this package that the main thread executes."""
    stack = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident or 0])
    place = next((frame for frame in reversed(stack) if _PACKAGE in frame.filename), stack[-1])
    return f"{place.name} ({place.filename.rpartition(os.sep)[2]}:{place.lineno})"


def _end_process() -> None:
    """End the process at once; there is nothing to clean up before ROS is initialised."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
