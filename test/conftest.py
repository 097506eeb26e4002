"""For all tests: Ctrl-C works in the processes that they start."""

from __future__ import annotations

import signal

# A shell that runs the tests in the background ignores Ctrl-C for them, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
