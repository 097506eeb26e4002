"""Processes that simulate."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import cv2

from clipose_ros.errors import DataError


def begin_worker() -> None:
    """Set up a worker of a process pool: one thread, and no life beyond that of the process that started it."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise DataError("workers are started by a process pool alone")

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)  # the queue would be waited on for ever

    threading.Thread(target=end_with_parent, daemon=True).start()
