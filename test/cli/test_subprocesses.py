"""Subprocesses of a command: how they stop and what they report."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from clipose_ros.cli.subprocesses import STOP_SIGNALS, Subprocess, SubprocessDiedError

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(helper.pid, flush=True)
time.sleep(600)
"""


def python(code: str, log: Path, stop_signals=STOP_SIGNALS) -> Subprocess:
    return Subprocess("helper", [sys.executable, "-c", code], os.environ, log, stop_signals)


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "the condition did not hold in time"
        os.sched_yield()


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_subprocess_ends_by_sigint(tmp_path: Path) -> None:
    code = "import time\nprint('up', flush=True)\ntry:\n time.sleep(600)\nexcept KeyboardInterrupt:\n print('clean')"
    with python(code, tmp_path / "log") as process:
        wait_for(lambda: "up" in process.tail())
        process.check()
    assert "clean" in process.tail()
    assert not is_alive(process.pid)


def test_subprocess_that_ignores_signals_is_killed_with_its_helpers(tmp_path: Path) -> None:
    signals = ((signal.SIGINT, 0.1), (signal.SIGTERM, 0.1), (signal.SIGKILL, 30.0))
    with python(STUBBORN, tmp_path / "log", signals) as process:
        wait_for(lambda: (tmp_path / "log").read_text().strip().isdigit())
        helper = int((tmp_path / "log").read_text())
    assert not is_alive(process.pid)
    wait_for(lambda: not is_alive(helper))


def test_subprocess_check_reports_the_last_log_lines(tmp_path: Path) -> None:
    with python("import sys; sys.exit('no weights found')", tmp_path / "log") as process:
        wait_for(lambda: not is_alive(process.pid))
        with pytest.raises(
            SubprocessDiedError, match=r"helper ended unexpectedly \(exit status 1\)(.|\n)*no weights found"
        ):
            process.check()


def test_subprocess_ends_when_its_context_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), python("import time; time.sleep(600)", tmp_path / "log") as process:
        raise KeyboardInterrupt
    assert not is_alive(process.pid)
