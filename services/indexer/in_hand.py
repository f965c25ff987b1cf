"""The records that the indexer has in hand: read from Kafka, and not yet committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition

from services.indexer.writing import Pending


@dataclass
class _Held:
    """A record in hand."""

    offset: int
    size: int
    done: bool


class InHand:
    """Each record waits, is under way in a request, or is done and behind one that is not.

    Requests come to their end in any order; an offset is given out to be committed when every record up to it is
    done. An article is under way in one request at a time, so that no two threads change one document.
    """

    def __init__(self) -> None:
        self._held: dict[TopicPartition, deque[_Held]] = {}
        self._by_place: dict[tuple[TopicPartition, int], _Held] = {}
        self._waiting: dict[str, list[Pending]] = {}
        self._under_way: set[str] = set()
        self.bytes = 0
        """Of the values of all records in hand."""
        self.waiting = 0
        self.waiting_bytes = 0
        self.again: set[str] = set()
        """Articles that were tried and are still to be written."""

    def __len__(self) -> int:
        """How many records are in hand."""
        return len(self._by_place)

    def add(self, record: Any, pending: Pending | None) -> None:
        """A record that has just been read; without `pending` it is done."""
        place = place_of(record)
        held = _Held(record.offset, _size(record), pending is None)
        self._held.setdefault(place, deque()).append(held)
        self._by_place[place, record.offset] = held
        self.bytes += held.size
        if pending is not None:
            self._wait(pending)

    def take(self, most: int, most_bytes: int) -> list[Pending]:
        """Records for one request: those that wait longest, and with each all others of its article.

        At most so many, of at most so many bytes; where one article has more, all of it and nothing else. None of
        an article that is under way already.
        """
        names: list[str] = []
        count = size = 0
        for name, group in self._waiting.items():
            if name in self._under_way:
                continue
            more = sum(_size(each.record) for each in group)
            if names and (count + len(group) > most or size + more > most_bytes):
                break
            names.append(name)
            count, size = count + len(group), size + more
        taken = [each for name in names for each in self._waiting.pop(name)]
        self._under_way.update(names)
        self.waiting -= count
        self.waiting_bytes -= size
        return taken

    def settle(self, taken: Sequence[Pending], left: Iterable[Pending]) -> None:
        """A request has come to its end: what is `left` of it waits again, before all others; the rest is done."""
        waits = {(place_of(each.record), each.record.offset) for each in left}
        names = {each.id for each in taken}
        self._under_way -= names
        self.again -= names
        later, self._waiting = self._waiting, {}
        for each in taken:
            place = place_of(each.record), each.record.offset
            if place in waits:
                self.again.add(each.id)
                self._wait(each)
            else:
                self._by_place[place].done = True
        if not self._waiting:
            self._waiting = later
            return
        for name, group in later.items():
            self._waiting.setdefault(name, []).extend(group)

    def ends(self) -> dict[TopicPartition, int]:
        """The offset behind the records that are done, where there are new ones; they are in hand no more."""
        found: dict[TopicPartition, int] = {}
        for place, records in self._held.items():
            while records and records[0].done:
                found[place] = records[0].offset + 1
                self._forget(place, records.popleft())
        return found

    def drop(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Put the records of these partitions out of hand; returns the first offset of each that had some.

        Expects that nothing is under way.
        """
        gone = set(places)
        first: dict[TopicPartition, int] = {}
        for place in gone:
            records = self._held.pop(place, deque())
            if records:
                first[place] = records[0].offset
            for held in records:
                self._forget(place, held)
        later, self._waiting = self._waiting, {}
        self.waiting = self.waiting_bytes = 0
        for group in later.values():
            for each in group:
                if place_of(each.record) not in gone:
                    self._wait(each)
        self.again &= self._waiting.keys()
        return first

    def _wait(self, pending: Pending) -> None:
        self._waiting.setdefault(pending.id, []).append(pending)
        self.waiting += 1
        self.waiting_bytes += _size(pending.record)

    def _forget(self, place: TopicPartition, held: _Held) -> None:
        del self._by_place[place, held.offset]
        self.bytes -= held.size


def place_of(record: Any) -> TopicPartition:
    """The partition of a record."""
    return TopicPartition(record.topic, record.partition)


def _size(record: Any) -> int:
    return len(record.value or b"")
