"""The indexer's loop with several requests at once, and with partitions that go away meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from services.indexer.index import Outcome, Unavailable
from tests.unit.indexer.articles import tagged
from tests.unit.indexer.scene import Make, Scene, make, place, record, scene

__all__ = ["make", "scene"]  # fixtures

FULL = "word " * 180
"""Fills a request of 1,024 bytes, the smallest that can be set; beside a short one there is room in the hand."""


# ---------------------------------------------------------------- more than one request at once


def test_full_requests_are_written_at_once_and_an_article_by_one_thread(make: Make) -> None:
    scene = make(bulk_records=2, bulk_in_flight=2)
    together = threading.Barrier(2, timeout=10)

    def both(names: list[str]) -> dict[str, Outcome]:
        together.wait()  # broken where one waits for the other
        return {}

    scene.index.fault = both
    scene.settle(
        record(0, tagged("a")),
        record(1, tagged("b")),
        record(2, tagged("c")),
        record(3, tagged("a", "new", revision=2)),
    )
    assert sorted(scene.index.requests) == [["a"], ["b", "c"]]
    assert scene.index.documents["a"][1]["body"] == "new"
    assert scene.consumer.committed == {0: 4}


def test_what_fills_no_request_is_not_torn_apart(make: Make) -> None:
    """Each request costs the index a write to disk."""
    scene = make(bulk_records=10, bulk_in_flight=4)
    scene.settle(*[record(offset, tagged(name)) for offset, name in enumerate("abcdef")])
    assert scene.index.requests == [list("abcdef")]


def test_the_next_records_are_read_and_written_while_others_are_written(scene: Scene) -> None:
    scene.consumer.polled = [{}, {place(0): [record(1, tagged("b"))], place(1): [record(7, tagged("c"), 1)]}]
    written = threading.Event()

    def slow(names: list[str]) -> dict[str, Outcome]:
        if "a" in names:
            assert written.wait(10)
            assert 0 not in scene.consumer.committed, "what is behind it is not committed"
        else:
            written.set()
        return {}

    scene.index.fault = slow
    scene.settle(record(0, tagged("a")))
    assert scene.index.requests == [["a"], ["b", "c"]]
    assert scene.consumer.committed == {0: 2, 1: 8}


def test_an_article_is_in_one_request_at_a_time(make: Make) -> None:
    """Read, changed and written by two threads at once, one change is lost."""
    scene = make(bulk_records=1)
    scene.consumer.polled = [{place(0): [record(1, tagged("a", "new", revision=2)), record(2, tagged("b"))]}]
    b_written = threading.Event()
    order: list[str] = []

    def slow(names: list[str]) -> dict[str, Outcome]:
        if order.count("a") == 0 and "a" in names:
            assert b_written.wait(10)
        order.extend(names)
        if "b" in names:
            b_written.set()
        return {}

    scene.index.fault = slow
    scene.settle(record(0, tagged("a")))
    assert order == ["b", "a", "a"]
    assert scene.index.documents["a"][1]["body"] == "new"
    assert [each["body"] for each in scene.index.documents["a"][1]["history"]] == ["A text."]


def test_a_rebalance_waits_for_what_is_being_written(scene: Scene) -> None:
    """The next owner writes the same documents: read, changed and written by two at once, one change is lost."""
    writes, revoked = threading.Event(), threading.Event()
    order = []

    def slow(names: list[str]) -> dict[str, Outcome]:
        writes.set()
        revoked.wait(0.2)
        order.append("written")
        return {}

    def rebalance() -> None:
        if order == [] and writes.wait(10):
            scene.consumer.places = {place(0)}
            scene.indexer.partitions.on_partitions_revoked([place(1)])
            order.append("revoked")
            revoked.set()

    scene.index.fault = slow
    scene.consumer.while_polling = rebalance
    scene.settle(record(0, tagged("a")), record(50, tagged("b"), partition=1))
    assert order == ["written", "revoked"]
    assert scene.consumer.committed == {0: 1}


def test_a_rebalance_does_not_wait_for_what_has_not_begun(make: Make) -> None:
    scene = make(bulk_bytes=1_024, bulk_in_flight=1)
    began, revoked = threading.Event(), threading.Event()

    def slow(names: list[str]) -> dict[str, Outcome]:
        began.set()
        revoked.wait(0.2)
        return {}

    def rebalance() -> None:
        if began.wait(10) and not revoked.is_set():
            scene.consumer.places = {place(0)}
            scene.indexer.partitions.on_partitions_revoked([place(1)])
            revoked.set()

    scene.index.fault = slow
    scene.consumer.while_polling = rebalance
    scene.settle(record(0, tagged("a")), record(50, tagged("b", FULL), partition=1))
    assert scene.index.requests == [["a"]], "the other is another process's now"
    assert scene.consumer.committed == {0: 1}


@pytest.mark.parametrize("revoked_and_back", [True, False])
def test_what_was_in_hand_and_then_revoked_is_read_again(scene: Scene, *, revoked_and_back: bool) -> None:
    """Also what the client gives out in the very poll in which the partition goes and comes."""

    def rebalance() -> None:
        scene.consumer.while_polling = lambda: None
        scene.indexer.partitions.on_partitions_revoked([place(1)])
        if revoked_and_back:
            scene.indexer.partitions.on_partitions_assigned([place(1)])
        else:
            scene.consumer.places = {place(0)}

    scene.consumer.while_polling = rebalance
    scene.consumer.polled = [{place(1): [record(70, tagged("b"), partition=1)]}]
    scene.hold(record(60, tagged("c"), partition=1))
    scene.indexer.fills_until = float("inf")
    scene.step()
    assert len(scene.indexer.hand) == 0
    assert scene.consumer.sought == ([(1, 60)] if revoked_and_back else [])
    assert scene.consumer.commits == []


def test_no_more_bytes_are_in_hand_than_said(make: Make) -> None:
    scene = make(bulk_bytes=1_024, bulk_in_flight=1, bulk_wait_seconds=30)
    large = "word " * 200
    full = threading.Event()

    def slow(names: list[str]) -> dict[str, Outcome]:
        assert full.wait(10)
        return {}

    scene.index.fault = slow
    scene.consumer.polled = [{place(0): [record(number, tagged(str(number), large))]} for number in range(9)]
    for _ in range(4):
        scene.step()
    assert len(scene.consumer.polled) == 7
    full.set()
    while scene.consumer.polled or len(scene.indexer.hand):
        scene.step()
        scene.indexer.fills_until = 0
    assert scene.consumer.committed == {0: 9}


def test_what_is_revoked_while_a_bulk_fills_up_is_not_committed(make: Make) -> None:
    scene = make(bulk_wait_seconds=0.05)
    scene.consumer.polled = [{place(1): [record(7, tagged("a"), 1)]}, {place(0): [record(0, tagged("b"))]}]

    def revoke() -> None:
        if len(scene.consumer.polled) == 1:
            scene.consumer.places = {place(0)}
            scene.indexer.partitions.on_partitions_revoked([place(1)])

    scene.consumer.while_polling = revoke
    while not scene.consumer.commits:
        scene.step()
    assert scene.consumer.committed == {0: 1}
    assert scene.index.documents.keys() == {"b"}, "the other is another process's now"


# ---------------------------------------------------------------- partitions that go away


def away_until(scene: Scene, polled: Callable[[], None]) -> None:
    """The first request has no answer; then `polled` is called in the next poll, once."""

    def away(names: list[str]) -> dict[str, Outcome]:
        scene.index.fault = lambda _: {}
        raise Unavailable("503")

    def poll() -> None:
        if scene.index.requests and not scene.indexer.work:
            scene.consumer.while_polling = lambda: None
            polled()

    # The pause that follows lasts until the next poll.
    scene.indexer.settings = scene.settings.model_copy(update={"backoff_max_seconds": 30.0})
    scene.index.fault = away
    scene.consumer.while_polling = poll


def test_what_was_revoked_is_not_committed(scene: Scene) -> None:
    def revoke() -> None:
        scene.consumer.places = {place(0)}
        scene.indexer.partitions.on_partitions_revoked([place(1)])

    away_until(scene, revoke)
    scene.settle(record(0, tagged("a")), record(50, tagged("b"), partition=1))
    assert scene.index.requests == [["a", "b"], ["a"]], "the other half belongs to another process now"
    assert scene.consumer.committed == {0: 1}
    assert scene.consumer.sought == []
    assert scene.indexer.partitions.assigned == {place(0)}


def test_what_was_revoked_and_came_back_is_read_again(scene: Scene) -> None:
    def rebalance() -> None:
        scene.indexer.partitions.on_partitions_revoked([place(1)])
        scene.indexer.partitions.on_partitions_assigned([place(1)])

    away_until(scene, rebalance)
    scene.settle(record(0, tagged("a")), record(50, tagged("b"), partition=1), record(51, tagged("c"), partition=1))
    assert scene.consumer.committed == {0: 1}
    assert scene.consumer.sought == [(1, 50)], "from the first one in hand"
    assert scene.indexer.partitions.assigned == {place(0), place(1)}


def test_when_all_was_revoked_there_is_nothing_to_write_or_commit(scene: Scene) -> None:
    def revoke() -> None:
        scene.consumer.places = set()
        scene.indexer.partitions.on_partitions_revoked([place(0), place(1)])

    away_until(scene, revoke)
    scene.settle(record(0, tagged("a")))
    assert len(scene.index.requests) == 1
    assert scene.consumer.commits == []
    scene.step()
    assert scene.indexer.health.reason is None
