"""The watch names the silent topic, or the pair whose stamps miss each other and by how much."""

import pytest

from clipose_ros.ros.sync_monitor import SyncMonitor

TOPICS = ("/rgb", "/depth", "/info")
SECOND = 1_000_000_000


@pytest.fixture
def watch():
    return SyncMonitor(TOPICS, timeout_s=5.0, slop_s=0.02, now_s=100.0)


def test_is_content_until_the_time_is_over(watch):
    assert watch.find_sync_problem(104.9) is None


def test_names_all_topics_when_nothing_ever_came(watch):
    complaint = watch.find_sync_problem(105.0)
    assert all(f"'{topic}'" in complaint for topic in TOPICS)


@pytest.mark.parametrize("silent", TOPICS)
def test_names_only_the_silent_topic_and_how_long(watch, silent):
    for topic in TOPICS:
        watch.add_stamp(topic, 0, 101.0 if topic == silent else 107.0)
    complaint = watch.find_sync_problem(108.0)
    assert f"'{silent}' for 7 s" in complaint
    assert not any(f"'{topic}'" in complaint for topic in TOPICS if topic != silent)


def test_names_the_pair_that_never_matches_and_its_distance(watch):
    for n in range(10):
        watch.add_stamp("/rgb", n * SECOND, 100.0 + n)
        watch.add_stamp("/depth", n * SECOND + 350_000_000, 100.0 + n)
        watch.add_stamp("/info", n * SECOND, 100.0 + n)
    complaint = watch.find_sync_problem(109.5)
    assert "'/rgb' and '/depth'" in complaint
    assert "350.0 ms apart" in complaint and "20.0 ms are allowed" in complaint
    assert "sync.slop_s" in complaint


def test_names_two_topics_that_both_match_the_first_but_never_each_other(watch):
    for n in range(20):
        watch.add_stamp("/rgb", n * SECOND, 100.0 + n)
        watch.add_stamp("/info" if n % 2 else "/depth", n * SECOND, 100.0 + n)
    complaint = watch.find_sync_problem(119.5)
    assert "'/depth' and '/info'" in complaint and "1000.0 ms apart" in complaint


@pytest.mark.parametrize("late", TOPICS)
def test_names_the_topic_that_comes_too_late_for_the_others_queue(watch, late):
    for n in range(40):
        for topic in TOPICS:
            watch.add_stamp(topic, SECOND + 33_000_000 * (n - 12 * (topic == late)), 100.0 + n)
    complaint = watch.find_sync_problem(139.5)
    assert complaint.startswith(f"'{late}' arrives 396 ms late") and "raise sync.queue_size" in complaint
    assert "slop" not in complaint
    assert not any(f"'{topic}'" in complaint for topic in TOPICS if topic != late)


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


def test_caution_waits_for_enough_stamps_and_never_concerns_exact_matching():
    watch = SyncMonitor(TOPICS, timeout_s=5.0, slop_s=0.02, now_s=100.0)
    watch.add_stamp("/rgb", SECOND, 100.0)
    watch.add_stamp("/rgb", SECOND + 1000, 100.0)
    assert watch.find_slop_problem() is None
    assert filmed(SyncMonitor(TOPICS, timeout_s=5.0, slop_s=0.0, now_s=100.0), 1_000_000).find_slop_problem() is None


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
