"""The monitor names the silent, lossy or late topic, other clocks, or the pair whose stamps miss each other."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.config import SyncConfig
from clipose_ros.ros.sync_monitor import SyncMonitor

TOPICS = ("/rgb", "/depth", "/info")
SECOND = 1_000_000_000
FRAME = 33_333_333


class Hints:
    loss_remedy = "REMEDY"

    def explain_silence(self, topic, others_arrive):
        return f"SILENCE {others_arrive}"


def make_monitor(now_s=100.0, **settings):
    return SyncMonitor(TOPICS, SyncConfig(**settings), Hints(), now_s)


def complaint_of(monitor, now_s, kind="sync"):
    problem = monitor.find_sync_problem(now_s)
    assert problem is not None and problem.kind == kind, problem
    return problem.message


@pytest.fixture
def watch():
    return make_monitor()


def test_is_content_until_the_time_is_over(watch):
    assert watch.find_sync_problem(104.9) is None


def test_names_all_topics_when_nothing_ever_came(watch):
    complaint = complaint_of(watch, 105.0)
    assert all(f"'{topic}'" in complaint for topic in TOPICS)


@pytest.mark.parametrize("silent", TOPICS)
def test_names_only_the_silent_topic_and_how_long(watch, silent):
    for topic in TOPICS:
        watch.add_stamp(topic, 0, 101.0 if topic == silent else 107.0)
    complaint = complaint_of(watch, 108.0)
    assert f"'{silent}' for 7 s: SILENCE True" in complaint
    assert not any(f"'{topic}'" in complaint for topic in TOPICS if topic != silent)


def test_names_the_pair_that_never_matches_and_its_distance(watch):
    for n in range(10):
        watch.add_stamp("/rgb", n * SECOND, 100.0 + n)
        watch.add_stamp("/depth", n * SECOND + 350_000_000, 100.0 + n)
        watch.add_stamp("/info", n * SECOND, 100.0 + n)
    complaint = complaint_of(watch, 109.5)
    assert "'/rgb' and '/depth'" in complaint
    assert "350.0 ms apart" in complaint and "20.0 ms are allowed" in complaint
    assert "sync.slop_s" in complaint


def test_names_two_topics_that_both_match_the_first_but_never_each_other(watch):
    for n in range(20):
        watch.add_stamp("/rgb", n * SECOND, 100.0 + n)
        watch.add_stamp("/info" if n % 2 else "/depth", n * SECOND, 100.0 + n)
    complaint = complaint_of(watch, 119.5)
    assert "'/depth' and '/info'" in complaint and "1000.0 ms apart" in complaint


@pytest.mark.parametrize("late", TOPICS)
def test_names_the_topic_that_comes_too_late_for_the_others_queue(watch, late):
    for n in range(200):
        for topic in TOPICS:
            watch.add_stamp(topic, SECOND + FRAME * (n - 12 * (topic == late)), 100.0 + n * FRAME * 1e-9)
    complaint = complaint_of(watch, 106.7)
    assert complaint.startswith(f"'{late}' arrives 400 ms late") and "raise sync.queue_size from 10 to 14" in complaint
    assert "slop" not in complaint
    assert not any(f"'{topic}'" in complaint for topic in TOPICS if topic != late)


def chance(*key):
    """A number in [0, 1) that depends on the key alone."""
    return random.Random(repr(key)).random()


def play(monitor, frames=300, arrives=lambda topic, n: True, matches=lambda n: True, shift_ns=None):
    """Frames at 30 Hz with stamps since 1970; the end in seconds."""
    for n in range(frames):
        now_s = 100.0 + n * FRAME * 1e-9
        for topic in TOPICS:
            if arrives(topic, n):
                monitor.add_stamp(topic, 1_795_000_000 * SECOND + n * FRAME + (shift_ns or {}).get(topic, 0), now_s)
        if matches(n):
            monitor.add_match(now_s)
    return 100.0 + frames * FRAME * 1e-9


@given(st.integers(0, 2**32), st.floats(0.0, 0.85))
def test_losses_that_the_middleware_reports_are_loss_of_messages(seed, kept):
    monitor, images = make_monitor(), set(TOPICS) - {"/info"}

    def arrives(topic, n):
        lost = topic in images and chance(seed, topic, n) >= kept
        if lost:
            monitor.add_lost(topic, 1, 100.0 + n * FRAME * 1e-9)
        return not lost

    end_s = play(monitor, arrives=arrives, matches=lambda n: n % 12 == 0)
    complaint = complaint_of(monitor, end_s, "transport")
    assert (
        "300 of 300 on '/info'" in complaint and "25 sets were complete" in complaint and complaint.endswith("REMEDY")
    )
    assert "queue_size" not in complaint and "slop" not in complaint


@pytest.mark.parametrize("kept", [0.05, 0.1, 0.4])
@pytest.mark.parametrize("matched", [False, True])
def test_irregular_arrivals_are_loss_where_the_middleware_reports_none(watch, kept, matched):
    end_s = play(
        watch,
        arrives=lambda topic, n: topic == "/info" or n == 0 or chance(topic, n) < kept,
        matches=lambda n: matched and n % 50 == 0,
    )
    complaint = complaint_of(watch, end_s, "transport")
    assert "lost or never published" in complaint and "300 on '/info'" in complaint and complaint.endswith("REMEDY")


@pytest.mark.parametrize("every", [2, 3, 6])
def test_a_regular_slower_topic_is_no_loss(watch, every):
    end_s = play(watch, arrives=lambda topic, n: topic != "/depth" or n % every == 0, matches=lambda n: n % every == 0)
    assert watch.find_sync_problem(end_s) is None


def test_a_slow_detector_is_no_loss(watch):
    """Labels come irregularly, some frames after their image."""
    for n in range(300):
        now_s = 100.0 + n * FRAME * 1e-9
        for topic in ("/rgb", "/info"):
            watch.add_stamp(topic, SECOND + n * FRAME, now_s)
        if chance(n) < 0.2:
            watch.add_stamp("/depth", SECOND + (n - 6) * FRAME, now_s)
            watch.add_match(now_s)
    assert watch.find_sync_problem(110.0) is None


def test_a_few_lost_messages_are_no_problem(watch):
    end_s = play(watch)
    watch.add_lost("/depth", 20, end_s - 1.0)
    assert watch.find_sync_problem(end_s) is None


def test_losses_long_ago_are_no_problem(watch):
    watch.add_lost("/depth", 500, 95.0)
    assert watch.find_sync_problem(play(watch, frames=450)) is None


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize(
    ("shift_s", "words"),
    [
        (-1_794_990_000, "10009.967 s since the start of a machine or simulation"),
        (-3600, "since 1970"),
        (7200, "since 1970"),
    ],
)
def test_stamps_of_different_clocks_are_called_that_with_both_stamps(watch, topic, shift_s, words):
    end_s = play(watch, matches=lambda n: False, shift_ns={topic: shift_s * SECOND})
    complaint = complaint_of(watch, end_s, "clock")
    assert f"'{topic}' (" in complaint and "1795000009.967 s since 1970" in complaint and words in complaint
    assert "different clocks" in complaint and f"{abs(shift_s)} s apart" in complaint
    assert "slop" not in complaint and "queue_size" not in complaint


def test_rare_matches_are_explained_as_missing_ones_are():
    monitor = make_monitor(slop_s=0.005)
    end_s = play(monitor, matches=lambda n: n % 20 == 0, shift_ns={"/depth": 21_000_000})
    complaint = complaint_of(monitor, end_s)
    assert "matched in only 15 of 300 frames" in complaint and "12.3 ms apart" in complaint


def filmed(watch, period_ns, topic="/depth"):
    """One topic of that period, the others slow."""
    for n in range(12):
        for each in TOPICS:
            watch.add_stamp(each, n * (period_ns if each == topic else 100_000_000), 100.0)
    return watch


@pytest.mark.parametrize("topic", TOPICS)
def test_a_slop_that_pairs_neighbouring_frames_is_told_with_what_would_be_right(watch, topic):
    caution = filmed(watch, 16_666_667, topic).find_slop_problem()
    assert f"'{topic}'" in caution and "16.7 ms apart" in caution and "20.0 ms" in caution
    assert "sync.exact" in caution and "sync.slop_s below 0.0083" in caution
    assert not any(f"'{other}'" in caution for other in TOPICS if other != topic)


@pytest.mark.parametrize("rate_hz", [30, 40])
def test_a_slop_below_the_period_is_no_reason_for_caution(watch, rate_hz):
    assert filmed(watch, 1_000_000_000 // rate_hz).find_slop_problem() is None


def test_caution_waits_for_enough_stamps_and_never_concerns_exact_matching(watch):
    watch.add_stamp("/rgb", SECOND, 100.0)
    watch.add_stamp("/rgb", SECOND + 1000, 100.0)
    assert watch.find_slop_problem() is None
    for settings in ({"exact": True}, {"slop_s": 0.0}):
        assert filmed(make_monitor(**settings), 1_000_000).find_slop_problem() is None


def test_one_pair_of_close_stamps_is_no_fast_topic(watch):
    filmed(watch, 33_333_333).add_stamp("/depth", 12 * 33_333_333 - 30_000_000, 101.0)
    assert watch.find_slop_problem() is None


def test_a_match_ends_the_complaint(watch):
    watch.add_match(106.0)
    assert watch.find_sync_problem(107.0) is None


def test_time_that_jumps_back_is_told_once_and_old_stamps_are_forgotten(watch):
    watch.add_stamp("/rgb", 100 * SECOND, 101.0)
    watch.add_stamp("/depth", 100 * SECOND, 101.0)
    assert watch.add_stamp("/rgb", SECOND, 102.0) == 99 * SECOND
    assert not watch.add_stamp("/depth", SECOND, 102.0)
    assert not watch.add_stamp("/rgb", 2 * SECOND, 103.0)


def test_small_disorder_is_no_jump(watch):
    watch.add_stamp("/rgb", 10 * SECOND, 101.0)
    assert not watch.add_stamp("/rgb", 10 * SECOND - 30_000_000, 101.1)


def test_a_topic_without_stamps_is_neither_silent_nor_compared(watch):
    for topic in TOPICS:
        watch.add_stamp(topic, 7 * SECOND, 106.0) if topic != "/depth" else watch.add_unstamped(topic, 106.0)
    assert watch.find_sync_problem(107.0) is None
