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
from collections.abc import Callable

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@functools.cache
def receive_termination_signals() -> TerminationSignals:
    """Begin to wait for signals, once per process; call it in the main thread, before the imports that take long."""
    return TerminationSignals()


class TerminationSignals:
    """Waits for SIGINT, SIGTERM and SIGHUP from its construction to the end of the process.

    At first a signal ends the process with status 0. After ``hold`` it is kept, and after ``call`` it calls a function.
    Only the first signal counts. Signals that the parent process had ignored, as with ``nohup``, stay ignored.

    Construct it in the main thread, before other threads exist: they inherit the blocked signals. Otherwise one of
    them may receive a signal, and the main thread handles it when it next runs Python code.
    """

    def __init__(self) -> None:
        self._received = False
        self._on_signal: Callable[[], object] | None = _end_process
        self._lock = threading.RLock()
        self._signals = {number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN}
        for number in self._signals:
            signal.signal(number, lambda *_: self._receive())
        if self._signals:
            signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
            threading.Thread(target=self._wait, name="signals", daemon=True).start()

    def hold(self) -> None:
        """Keep a signal until ``call``."""
        with self._lock:
            self._on_signal = None

    def call(self, on_signal: Callable[[], object]) -> None:
        """Call a function when a signal arrives, from another thread; at once if one has been kept."""
        with self._lock:
            self._on_signal = on_signal
            received = self._received
        if received:
            on_signal()

    def _wait(self) -> None:
        signal.sigwait(self._signals)
        self._receive()

    def _receive(self) -> None:
        with self._lock:
            self._received = True
            on_signal = self._on_signal
        if on_signal is not None:
            on_signal()


def _end_process() -> None:
    """End the process at once; there is nothing to clean up before ROS is initialised."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
