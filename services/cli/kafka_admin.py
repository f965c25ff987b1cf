"""What the verbs ask Kafka: how far each consumer group is, and what lies in the dead letter queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import tenacity
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import RetriableError

from schemas.dead_letter import PREFIX, DeadLetter, closed_id, named_in, read_dead_letter
from schemas.topics import ARTICLES_DLQ, TOPICS
from services.runtime.reading import SILENT_MS
from services.runtime.settings import ServiceSettings


@dataclass(frozen=True)
class Lag:
    """How many records of `topic` the consumer group has not committed yet, of `end_offset` in all."""

    topic: str
    group: str
    lag: int
    end_offset: int


REQUEST_TIMEOUT_MS = 10_000

RETRY_SECONDS = 0.2
"""Between two tries, while a broker that has just started loads the offsets of its groups."""


def lags(settings: ServiceSettings) -> list[Lag]:
    """The lag of each consumer group, in the order of the topics; raises `LookupError` for a missing topic."""
    groups = {settings.name(topic.name): [settings.name(each) for each in topic.consumers] for topic in TOPICS}
    admin = KafkaAdminClient(bootstrap_servers=settings.servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        partitions = _partitions(admin, [name for name, consumers in groups.items() if consumers])
        every = [each for places in partitions.values() for each in places]
        ends = admin.list_partition_offsets(dict.fromkeys(every, OffsetSpec.LATEST))
        begins = admin.list_partition_offsets(dict.fromkeys(every, OffsetSpec.EARLIEST))
        committed = _committed(admin, {group for consumers in groups.values() for group in consumers})
    finally:
        admin.close()
    found = []
    for name, places in partitions.items():
        end = sum(ends[each].offset for each in places)
        for group in groups[name]:
            # Without a commit, or with one whose records were deleted since, a group begins where the topic does.
            at = {each: max(committed[group].get(each, 0), begins[each].offset) for each in places}
            found.append(Lag(name, group, sum(max(0, ends[each].offset - at[each]) for each in places), end))
    return found


def _partitions(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, list[TopicPartition]]:
    described = {topic["name"]: topic["partitions"] for topic in admin.describe_topics(list(names))}
    for name in names:
        if not described.get(name):
            raise LookupError(f"topic {name} does not exist: newsflow setup creates it")
    return {name: [TopicPartition(name, each["partition_index"]) for each in described[name]] for name in names}


def _committed(admin: KafkaAdminClient, groups: Iterable[str]) -> dict[str, dict[TopicPartition, int]]:
    """Of each group the offsets that it has committed."""
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(RetriableError),
        wait=tenacity.wait_fixed(RETRY_SECONDS),
        stop=tenacity.stop_after_delay(REQUEST_TIMEOUT_MS / 1000),
        reraise=True,
    )
    offsets = retry(admin.list_group_offsets, dict.fromkeys(groups))
    return {
        group: {place: each.offset for place, each in offsets.get(group, {}).items() if each.offset >= 0}
        for group in groups
    }


@dataclass(frozen=True)
class Waiting:
    """A dead letter that was neither replayed nor purged, without its value. `place` is its offset in the queue."""

    letter: DeadLetter
    publisher: str | None
    key: bytes | None
    place: int


@dataclass(frozen=True)
class DeadRecord:
    """A dead letter as it lies in the queue."""

    letter: DeadLetter
    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes]]


Wanted = Callable[[Waiting], bool]

Taken = TypeVar("Taken")


def waiting(settings: ServiceSettings, wanted: Wanted = lambda _: True) -> list[Waiting]:
    """The `wanted` ones of the dead letters that wait, oldest first.

    A record that was redelivered and failed again is one dead letter (its latest); a replayed or purged one is
    followed by a marker with the same id, and is back in the list when it fails again.

    Raises `LookupError` where the topic is missing, `TimeoutError` for a silent broker, and `KafkaError`.
    """
    with _queue(settings) as (records, _):
        return _open(records, wanted)


def waiting_letters(settings: ServiceSettings) -> list[DeadLetter]:
    """All dead letters that wait, oldest first, without a look at their values; raises as `waiting` does."""
    with _queue(settings) as (records, _):
        return _not_closed(records, lambda _, letter: letter)


def records_of(settings: ServiceSettings, chosen: Sequence[Waiting]) -> Iterator[DeadRecord]:
    """The dead letters `chosen` with their values, oldest first; fewer, if others were at the queue meanwhile.

    The queue is read again: the values of all might be more than there is memory.
    """
    if not chosen:
        return
    places = {each.place for each in chosen}
    with _queue(settings, min(places), max(places) + 1) as (records, _):
        for record in records:
            if record.offset in places and (found := _dead_record(record)) is not None:
                yield found


def dead_records(settings: ServiceSettings) -> Iterator[DeadRecord]:
    """All dead letters that wait, with their values; raises as `waiting` does."""
    return records_of(settings, waiting(settings))


SHRINK_WAIT_SECONDS = 5.0
"""For the readers of the queue to come to the markers that were just written; what is left is for the next time."""


def shrink(settings: ServiceSettings) -> int:
    """Delete the records of the queue before the oldest dead letter that waits; returns how many there were.

    What a consumer group of the queue has not read yet stays: it would never learn that a dead letter is closed.
    Raises as `waiting` does.
    """
    with _queue(settings) as (records, ends):
        found = min(_not_closed(records, lambda record, _: record.offset), default=ends.end)
    place = TopicPartition(settings.name(ARTICLES_DLQ.name), 0)
    admin = KafkaAdminClient(bootstrap_servers=settings.servers, request_timeout_ms=10_000)
    try:
        until = time.monotonic() + SHRINK_WAIT_SECONDS
        while (read := _read_up_to(admin, settings, place, found)) < found and time.monotonic() < until:
            time.sleep(0.2)
        if read <= ends.begin:
            return 0
        admin.delete_records({place: read}, timeout_ms=10_000)
        return read - ends.begin
    finally:
        admin.close()


def _read_up_to(admin: KafkaAdminClient, settings: ServiceSettings, place: TopicPartition, end: int) -> int:
    """The offset before which every consumer group of the queue has read it, `end` at the most.

    A group that has committed nothing there begins where the queue begins.
    """
    for consumer in ARTICLES_DLQ.consumers:
        group = settings.name(consumer)
        try:
            offset = admin.list_group_offsets({group: [place]}).get(group, {}).get(place)
        except RetriableError:
            return 0  # a broker that has just started cannot tell yet
        if offset is not None and offset.offset >= 0:
            end = min(end, offset.offset)
    return end


@dataclass(frozen=True)
class Ends:
    """The first offset that is read, and the one behind the last."""

    begin: int
    end: int


@contextmanager
def _queue(
    settings: ServiceSettings, begin: int = 0, end: int | None = None
) -> Iterator[tuple[Iterator[Any], Ends]]:
    """The records of the queue in their order, as they are there now, from `begin` on and before `end`."""
    name = settings.name(ARTICLES_DLQ.name)
    consumer = KafkaConsumer(
        bootstrap_servers=settings.servers,
        group_id=None,
        enable_auto_commit=False,
        request_timeout_ms=10_000,
        # Somebody may shrink the queue while it is read: what is left of it is read then.
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=ARTICLES_DLQ.max_bytes,
    )
    try:
        if not consumer.partitions_for_topic(name):
            raise LookupError(f"topic {name} does not exist: newsflow setup creates it")
        place = TopicPartition(name, 0)
        consumer.assign([place])
        last = consumer.end_offsets([place])[place]
        ends = Ends(max(begin, consumer.beginning_offsets([place])[place]), last if end is None else min(end, last))
        consumer.seek(place, ends.begin)
        yield _records(consumer, place, ends.end), ends
    finally:
        consumer.close(autocommit=False)


def _records(consumer: KafkaConsumer, place: TopicPartition, end: int) -> Iterator[Any]:
    silent_since = time.monotonic()
    while consumer.position(place) < end:
        polled = consumer.poll(timeout_ms=500).get(place, [])
        yield from (record for record in polled if record.offset < end)
        if polled:
            silent_since = time.monotonic()
        elif time.monotonic() > silent_since + SILENT_MS / 1000:
            raise TimeoutError(f"Kafka was silent for {SILENT_MS / 1000:g} s while {place.topic} was read")


def _open(records: Iterable[Any], wanted: Wanted) -> list[Waiting]:
    def take(record: Any, letter: DeadLetter) -> Waiting | None:
        found = Waiting(letter, named_in(record.value)[0], record.key, record.offset)
        return found if wanted(found) else None

    return _not_closed(records, take)


def _not_closed(records: Iterable[Any], take: Callable[[Any, DeadLetter], Taken | None]) -> list[Taken]:
    """What `take` makes of each dead letter that waits, oldest first, without those that it makes nothing of."""
    found: dict[str, Taken] = {}
    for record in records:
        headers = _headers(record)
        closed = closed_id(headers)
        if closed is not None:
            found.pop(closed, None)
            continue
        letter = _letter(headers)
        if letter is None:
            continue
        found.pop(letter.id, None)
        each = take(record, letter)
        if each is not None:
            found[letter.id] = each
    return list(found.values())


def _dead_record(record: Any) -> DeadRecord | None:
    headers = _headers(record)
    letter = _letter(headers)
    if letter is None:
        return None
    value = None if dict(headers).get(f"{PREFIX}null") else record.value
    return DeadRecord(letter, value, record.key, headers)


def _headers(record: Any) -> list[tuple[str, bytes]]:
    return [(name, value or b"") for name, value in record.headers]


def _letter(headers: Iterable[tuple[str, bytes]]) -> DeadLetter | None:
    try:
        return read_dead_letter(headers)
    except (KeyError, ValueError):
        return None  # written by somebody else; it is theirs to read
