"""The mailbox keeps the newest item, tells what it threw away, and lets its reader go when closed."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.ros.mailbox import Mailbox


@given(st.lists(st.one_of(st.integers(), st.none()), max_size=50))
def test_every_item_is_taken_or_counted_as_dropped(steps):
    """None takes, an integer puts; what is taken is always the last one put."""
    mailbox, dropped, taken, put, last = Mailbox(), 0, [], 0, None
    for step in steps:
        if step is None:
            item = mailbox.take(timeout_s=0.0)
            assert item == last
            taken += [] if item is None else [item]
            last = None
        else:
            dropped += mailbox.put(step)
            put, last = put + 1, step
    assert put == len(taken) + dropped + (last is not None)


def test_reader_that_waits_gets_what_comes():
    mailbox, got = Mailbox(), []
    reader = threading.Thread(target=lambda: got.append(mailbox.take()))
    reader.start()
    mailbox.put("frame")
    reader.join(30.0)
    assert got == ["frame"]


def test_closing_lets_the_reader_go_and_refuses_later_items():
    mailbox, got = Mailbox(), []
    reader = threading.Thread(target=lambda: got.append(mailbox.take()))
    reader.start()
    mailbox.close()
    reader.join(30.0)
    assert got == [None]
    assert mailbox.put("late") is False
    assert mailbox.take() is None


def test_what_waits_at_closing_is_thrown_away():
    mailbox = Mailbox()
    mailbox.put("frame")
    mailbox.close()
    assert mailbox.take() is None


def test_handing_over_waits_until_the_item_is_taken():
    mailbox, results = Mailbox(), []
    giver = threading.Thread(target=lambda: results.append(mailbox.hand_over("frame")))
    giver.start()
    assert mailbox.take(timeout_s=30.0) == "frame"
    giver.join(30.0)
    assert results == [True]


def test_closing_lets_the_giver_go():
    mailbox, results, waits = Mailbox(), [], threading.Event()

    def give():
        waits.set()
        results.append(mailbox.hand_over("frame"))

    giver = threading.Thread(target=give)
    giver.start()
    assert waits.wait(30.0)
    mailbox.close()
    giver.join(30.0)
    assert results == [False] and mailbox.hand_over("late") is False and mailbox.take() is None
