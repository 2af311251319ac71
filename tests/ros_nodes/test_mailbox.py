"""The mailbox: the newest wins, and nobody waits for ever."""

from __future__ import annotations

from threading import Thread
from time import monotonic

from hypothesis import given
from hypothesis import strategies as st

from ros_nodes.segmentation.mailbox import Mailbox


@given(st.lists(st.integers(), min_size=1))
def test_the_newest_is_there_and_every_other_was_dropped(items: list[int]) -> None:
    mailbox: Mailbox[int] = Mailbox()
    dropped = sum(mailbox.put(item) for item in items)
    assert mailbox.take(0.0) == items[-1]
    assert dropped == len(items) - 1
    assert mailbox.take(0.0) is None


def test_who_waits_is_woken_by_a_frame() -> None:
    mailbox: Mailbox[str] = Mailbox()
    Thread(target=lambda: mailbox.put("frame")).start()
    assert mailbox.take(10.0) == "frame"


def test_who_waits_is_woken_by_the_end() -> None:
    mailbox: Mailbox[str] = Mailbox()
    start = monotonic()
    Thread(target=mailbox.close).start()
    assert mailbox.take(10.0) is None
    assert monotonic() - start < 5.0
    mailbox.put("too late")
    assert mailbox.take(0.0) is None


def test_two_threads_lose_nothing_unseen() -> None:
    mailbox: Mailbox[int] = Mailbox()
    count, taken, dropped = 20_000, [], []

    def give() -> None:
        for number in range(count):
            dropped.append(mailbox.put(number))

    giver = Thread(target=give)
    giver.start()
    while giver.is_alive() or not taken or taken[-1] != count - 1:
        item = mailbox.take(0.01)
        if item is not None:
            taken.append(item)
    assert len(taken) + sum(dropped) == count
    assert taken == sorted(taken)
