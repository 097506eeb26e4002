"""Threads of the CPU engine: steps wait for each other, and errors are raised without a deadlock."""

from __future__ import annotations

import pytest
import torch

from clipose_ros.inference.engines.cpu.thread_pool import ThreadPool


def test_a_step_begins_when_the_one_before_is_done_in_all_threads() -> None:
    pool, done = ThreadPool(3), [[0] * 3 for _ in range(20)]

    def step(number: int, turn: int) -> None:
        assert turn == 0 or all(done[turn - 1])
        done[turn][number] = 1

    pool.run([lambda number, turn=turn: step(number, turn) for turn in range(20)])
    assert all(all(row) for row in done)


def test_an_error_in_one_thread_ends_the_run_and_the_pool_stays_usable() -> None:
    pool = ThreadPool(2)

    def broken(number: int) -> None:
        if number == 1:
            raise ZeroDivisionError("here")

    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="here"):
            pool.run([lambda _: None, broken, lambda _: None])
    seen: list[int] = []
    pool.run([seen.append])
    assert sorted(seen) == [0, 1]


def test_torch_has_one_thread_inside_the_pool_and_keeps_its_number_outside() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        pool, inside = ThreadPool(), [0, 0]

        def read_threads(number: int) -> None:
            inside[number] = torch.get_num_threads()

        pool.run([read_threads])
        assert pool.size == 2 and inside == [1, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
