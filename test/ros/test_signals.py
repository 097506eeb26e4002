"""A termination signal never interrupts: it ends the process with status 0, is kept, or calls a function."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
BEGIN = """
import signal, sys, threading, time
from clipose_ros.ros.signals import receive_termination_signals
signals = receive_termination_signals()
"""


def run_program(program: str, number: signal.Signals, **options: object) -> subprocess.Popen[str]:
    """Run a program to its end; send it a signal when it prints a line."""
    process = subprocess.Popen([sys.executable, "-c", BEGIN + program], stdout=subprocess.PIPE, text=True, **options)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.wait(60.0)
    return process


@pytest.mark.parametrize("number", NUMBERS)
def test_at_first_a_signal_ends_the_process(number: signal.Signals) -> None:
    process = run_program("print('ready', flush=True)\nwhile True: time.sleep(0.01)", number)
    assert process.returncode == 0
    process.stdout.close()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_kept_until_a_function_is_set(number: signal.Signals) -> None:
    program = """
signals.hold()
print('ready', flush=True)
while not signals.received: time.sleep(0.01)
print('alive')
called = threading.Event()
signals.call(called.set)
sys.exit(3 if called.is_set() else 4)
"""
    process = run_program(program, number)
    assert process.returncode == 3 and process.stdout.read() == "alive\n"
    process.stdout.close()


def test_a_signal_calls_a_function_from_another_thread() -> None:
    program = """
called = threading.Event()
signals.call(called.set)
print('ready', flush=True)
sys.exit(3 if called.wait(60) else 4)
"""
    process = run_program(program, signal.SIGHUP)
    assert process.returncode == 3
    process.stdout.close()


def test_a_signal_that_is_received_but_not_obeyed_ends_the_process_later() -> None:
    program = """
from clipose_ros.ros import signals as module
module.LAST_RESORT_S = 0.2
signals.hold()
print('ready', flush=True)
while True: time.sleep(0.01)
"""
    process = run_program(program, signal.SIGTERM, stderr=subprocess.PIPE)
    assert process.returncode == 0
    assert "ended 0.2 s after the signal, in <module> (<string>:" in process.stderr.read()
    process.stdout.close()
    process.stderr.close()


def test_a_pipe_that_nobody_reads_does_not_keep_the_process_alive() -> None:
    program = """
from clipose_ros.ros import signals as module
module.LAST_RESORT_S = module._REPORT_S = 0.2
signals.hold()
print('ready', flush=True)
while True: sys.stderr.write("full " * 1000)
"""
    process = run_program(program, signal.SIGTERM, stderr=subprocess.PIPE)
    assert process.returncode == 0
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_a_shell_ignores_in_the_background_end_the_process(number: signal.Signals) -> None:
    program = "print('ready', flush=True)\nwhile True: time.sleep(0.01)"
    process = run_program(program, number, preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    assert process.returncode == 0
    process.stdout.close()


def test_a_hangup_that_the_parent_ignores_stays_ignored() -> None:
    program = """
print('ready', flush=True)
while not sys.stdin.readline(): time.sleep(0.01)
sys.exit(3)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    process.communicate("go on\n", timeout=60.0)
    assert process.returncode == 3


def test_a_signal_counts_although_no_thread_can_start() -> None:
    program = """
def refuse(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
print('ready', flush=True)
while True: time.sleep(0.01)
"""
    process = run_program(program, signal.SIGTERM)
    assert process.returncode == 0
    process.stdout.close()


def test_the_end_is_immediate_only_after_a_signal() -> None:
    program = """
import atexit
atexit.register(print, "freed")
signals.hold()
assert signals.end_process(3) == 3
print('ready', flush=True)
while not signals.received: time.sleep(0.01)
sys.exit(signals.end_process(5))
"""
    process = run_program(program, signal.SIGTERM)
    assert process.returncode == 5 and process.stdout.read() == ""
    process.stdout.close()
