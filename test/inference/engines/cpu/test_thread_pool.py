"""The network's threads: steps wait for each other, errors come out, nobody hangs."""

from __future__ import annotations

import pytest
import torch

from clipose_ros.inference.engines.cpu.thread_pool import ThreadPool


def test_a_step_begins_when_the_one_before_is_done_in_all_threads() -> None:
    team, done = ThreadPool(3), [[0] * 3 for _ in range(20)]

    def step(number: int, turn: int) -> None:
        assert turn == 0 or all(done[turn - 1])
        done[turn][number] = 1

    team.run([lambda number, turn=turn: step(number, turn) for turn in range(20)])
    assert all(all(row) for row in done)


def test_an_error_of_one_thread_ends_the_work_of_all_and_the_team_lives_on() -> None:
    team = ThreadPool(2)

    def broken(number: int) -> None:
        if number == 1:
            raise ZeroDivisionError("here")

    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="here"):
            team.run([lambda _: None, broken, lambda _: None])
    seen: list[int] = []
    team.run([seen.append])
    assert sorted(seen) == [0, 1]


def test_inside_torch_has_one_thread_and_outside_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        team, inside = ThreadPool(), [0, 0]

        def look(number: int) -> None:
            inside[number] = torch.get_num_threads()

        team.run([look])
        assert team.size == 2 and inside == [1, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
