"""Records in hand: none lost, none given out twice, nothing committed before all up to it is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from kafka import TopicPartition

from services.indexer.in_hand import InHand
from services.indexer.writing import Pending
from tests.unit.indexer.articles import tagged


def record(offset: int, partition: int = 0, size: int = 10) -> Any:
    return SimpleNamespace(topic="tagged", partition=partition, offset=offset, value=b"x" * size)


def place(partition: int = 0) -> TopicPartition:
    return TopicPartition("tagged", partition)


def offsets(taken: list[Pending]) -> list[int]:
    return [each.record.offset for each in taken]


def filled(*names: str, size: int = 10) -> InHand:
    """A record for each article, from offset 0 on; none where the name is empty."""
    hand = InHand()
    for offset, name in enumerate(names):
        one = record(offset, size=size)
        hand.add(one, Pending(one, tagged(name)) if name else None)
    return hand


def test_a_request_has_those_that_wait_longest() -> None:
    hand = filled(*"abcd")
    assert offsets(hand.take(3, 1_000)) == [0, 1, 2]
    assert offsets(hand.take(3, 1_000)) == [3]
    assert hand.take(3, 1_000) == []


def test_a_request_keeps_its_bound_of_bytes_and_a_larger_record_goes_alone() -> None:
    hand = filled(*"abc", size=40)
    assert offsets(hand.take(9, 80)) == [0, 1]
    hand = filled(*"abc", size=100)
    assert offsets(hand.take(9, 80)) == [0]


def test_all_records_of_an_article_that_wait_are_in_one_request() -> None:
    hand = filled(*"abcab")
    assert offsets(hand.take(2, 1_000)) == [0, 3]
    assert offsets(hand.take(3, 1_000)) == [1, 4, 2]


def test_an_article_under_way_is_in_no_other_request() -> None:
    hand = filled("a")
    first = hand.take(9, 1_000)
    for offset, name in ((1, "a"), (2, "b")):
        one = record(offset)
        hand.add(one, Pending(one, tagged(name)))
    second = hand.take(9, 1_000)
    assert (offsets(first), offsets(second)) == ([0], [2])
    hand.settle(first, [])
    assert offsets(hand.take(9, 1_000)) == [1]


def test_what_is_left_waits_before_all_others_and_in_its_order() -> None:
    hand = filled(*"abc")
    first = hand.take(2, 1_000)
    later = record(3)
    hand.add(later, Pending(later, tagged("b")))
    hand.settle(first, first[1:])
    assert hand.again == {"b"}
    assert offsets(hand.take(9, 1_000)) == [1, 3, 2]


def test_an_offset_is_given_out_when_all_up_to_it_is_done() -> None:
    hand = filled("a", "b", "", "c")
    first, second = hand.take(1, 1_000), hand.take(1, 1_000)
    hand.settle(second, [])
    assert hand.ends() == {}
    hand.settle(first, [])
    assert hand.ends() == {place(): 3}
    assert hand.ends() == {}, "once"
    hand.settle(last := hand.take(1, 1_000), [])
    assert offsets(last) == [3]
    assert hand.ends() == {place(): 4}
    assert (len(hand), hand.bytes, hand.waiting, hand.waiting_bytes) == (0, 0, 0, 0)


def test_what_is_dropped_is_named_by_its_first_offset_that_is_not_committed() -> None:
    hand = filled("a", "b")
    taken = hand.take(1, 1_000)
    other = record(7, partition=1)
    hand.add(other, Pending(other, tagged("c")))
    hand.settle(taken, taken)
    assert hand.drop([place(), place(5)]) == {place(): 0}
    assert hand.again == set()
    assert (len(hand), hand.bytes, hand.waiting, hand.waiting_bytes) == (1, 10, 1, 10)
    assert offsets(hand.take(9, 1_000)) == [7]


class AnyOrder(RuleBasedStateMachine):
    """Records come, requests begin and end, well or not, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.hand = InHand()
        self.end = {0: 0, 1: 0}
        self.committed = {0: 0, 1: 0}
        self.under_way: list[list[Pending]] = []
        self.done: set[tuple[int, int]] = set()

    @rule(partition=st.integers(0, 1), article=st.sampled_from(["", "a", "b", "c"]), size=st.integers(0, 50))
    def read(self, partition: int, article: str, size: int) -> None:
        one = record(self.end[partition], partition, size)
        self.end[partition] += 1
        # As with Kafka's keys: all records of an article in one partition.
        self.hand.add(one, Pending(one, tagged(f"{article}{partition}")) if article else None)
        if not article:
            self.done.add((partition, one.offset))

    @rule(most=st.integers(1, 4), most_bytes=st.integers(1, 100))
    def begin(self, most: int, most_bytes: int) -> None:
        busy = {each.id for request in self.under_way for each in request}
        taken = self.hand.take(most, most_bytes)
        assert not busy & {each.id for each in taken}
        assert taken or not self.hand.waiting or busy
        if taken:
            self.under_way.append(taken)

    @rule(which=st.integers(0, 9), well=st.sets(st.integers(0, 9)))
    def come_to_an_end(self, which: int, well: set[int]) -> None:
        if not self.under_way:
            return
        taken = self.under_way.pop(which % len(self.under_way))
        left = [each for number, each in enumerate(taken) if number not in well]
        self.hand.settle(taken, left)
        for each in taken:
            place = (each.record.partition, each.record.offset)
            if not any(each is one for one in left):
                assert place not in self.done, "done twice"
                self.done.add(place)
        assert {each.id for each in left} <= self.hand.again

    @invariant()
    def nothing_is_committed_too_early(self) -> None:
        self.committed |= {place.partition: offset for place, offset in self.hand.ends().items()}
        for partition, offset in self.committed.items():
            assert all((partition, each) in self.done for each in range(offset))

    def teardown(self) -> None:
        while self.under_way:
            self.come_to_an_end(0, set(range(1_000)))
        while self.hand.waiting:
            self.begin(3, 60)
            self.come_to_an_end(0, set(range(1_000)))
        self.nothing_is_committed_too_early()
        assert self.committed == self.end, "all comes to its end"
        assert (len(self.hand), self.hand.bytes, self.hand.waiting, self.hand.waiting_bytes) == (0, 0, 0, 0)
        assert self.hand.again == set()


test_nothing_is_lost_done_twice_or_committed_too_early = AnyOrder.TestCase
