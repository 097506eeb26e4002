"""Termination signals, received by one thread instead of interrupting what runs.

A signal that interrupts the creation or destruction of a DDS participant leaves its files in /dev/shm, and one that
interrupts an import leaves a trace. Blocked signals interrupt nothing: a thread waits for them. This module imports
neither ROS nor NumPy, so that it works before their imports, which take seconds.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable

from clipose_ros.ros.shared_memory import remove_own_files

LAST_RESORT_S = 5.0
"""Seconds from a signal to the end of a process that has not ended by itself; launch files kill it after 10 s."""
_REPORT_S = 1.0
"""Longest time for the message of the last resort, seconds."""
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

    def hold(self) -> None:
        """Keep a signal until ``call``."""
        with self._lock:
            self._on_signal = None

    def call(self, on_signal: Callable[[], object]) -> None:
        """Call a function when a signal arrives, from another thread; at once if one has been kept."""
        with self._lock:
            self._on_signal = on_signal
            received = self.received
        if received:
            on_signal()

    def end_process(self, status: int) -> int:
        """End the process at once if a signal has arrived: the interpreter takes seconds to free the libraries.

        Returns:
            The exit status, if no signal has arrived.
        """
        if self.received:
            _end_process(status)
        return status

    def _wait(self) -> None:
        signal.sigwait(self._signals)
        self._receive()

    def _receive(self) -> None:
        with self._lock:
            is_first = not self.received
            self._received.set()
            on_signal = self._on_signal
        if is_first:
            with contextlib.suppress(RuntimeError):  # no thread is left; the signal counts nevertheless
                threading.Thread(target=self._end_late, name="last_resort", daemon=True).start()
        if on_signal is not None:
            on_signal()

    def _end_late(self) -> None:
        """End the process with status 0 if it has not ended by itself."""
        time.sleep(LAST_RESORT_S)
        report = threading.Thread(target=_report_late_end, name="report", daemon=True)  # a full pipe would stop it
        report.start()
        report.join(_REPORT_S)
        # No destruction of the participant: what the process hangs at may hold its locks.
        remove_own_files()
        os._exit(0)


def _report_late_end() -> None:
    message = f"[WARN] [pose_node]: ended {LAST_RESORT_S:g} s after the signal, in {_describe_main_thread()}\n"
    os.write(sys.stderr.fileno(), message.encode())


def _describe_main_thread() -> str:
    """Return function, file and line of this package that the main thread executes."""
    stack = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident or 0])
    place = next((frame for frame in reversed(stack) if _PACKAGE in frame.filename), stack[-1])
    return f"{place.name} ({place.filename.rpartition(os.sep)[2]}:{place.lineno})"


def _end_process(status: int = 0) -> None:
    """End the process at once, where nothing is to be cleaned up: before ROS is initialised, and after its shutdown."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # its reader may have ended
            stream.flush()
    os._exit(status)
