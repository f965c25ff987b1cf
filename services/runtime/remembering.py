"""What a stage remembers from record to record: one memory for each partition that it reads, made from Kafka alone.

A memory holds what the records of its partition said, in their order, and the facts on the partition of the same
number of a compacted topic. Its store on disk spares reading all of that again at each start. Where the store is
behind, since another process had the partition or the folder is gone, the records in between are read again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from kafka import KafkaConsumer, TopicPartition
from prometheus_client import Counter, Gauge

from schemas.reading import Refused, read_record
from schemas.topics import MAX_INNER_BYTES, Topic
from services.runtime.partition_store import PartitionStore, StateFolder, topic_id
from services.runtime.settings import RememberingSettings

log = structlog.get_logger(__name__)

DAY_SECONDS = 24 * 60 * 60
"""State outlives the window by a day: records may come late."""

RECOVERED = Counter(
    "newsflow_recovered", "Records read again to make a memory that was missing or behind", ["stage"]
)
RECOVERY_SECONDS = Gauge("newsflow_recovery_seconds", "How long the last memory took to be made again", ["stage"])


@dataclass(frozen=True)
class Record:
    """A record as it lies in Kafka. `seconds` is its timestamp."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    seconds: float
    headers: list[tuple[str, bytes]]


class Taken(Protocol):
    """What a memory made of a record."""

    @property
    def article(self) -> Any | None:
        """The result in the place of the step's, if the memory changes it."""

    @property
    def again(self) -> Sequence[int]:
        """Offsets of earlier records of the partition that come out differently now."""

    @property
    def facts(self) -> Sequence[Any]:
        """What is to be written to the compacted topic; each record has a `key`."""


class Memory(Protocol):
    """What is remembered of one partition."""

    def told(self, fact: Any) -> None:
        """Take in a record of the compacted topic."""

    def take(self, note: Any, offset: int, read: Callable[[], Any]) -> Taken:
        """Take in what the step noted of a record; `read` gives the step's result."""


@dataclass(frozen=True)
class Remembering:
    """How a stage remembers: the compacted topic, and what makes a memory from the settings and a store."""

    facts: Topic
    create: Callable[[Any, PartitionStore], Memory]


class PartitionMemories:
    """The memories of the partitions that this process has read from."""

    def __init__(self, source: Topic, remembering: Remembering, settings: RememberingSettings) -> None:
        self._source, self._remembering, self._settings = source, remembering, settings
        self._topic, self._facts = settings.name(source.name), settings.name(remembering.facts.name)
        self._stage = source.consumers[0]
        self._topic_id = ""
        self._folder = StateFolder.take(settings.state_folder, self._stage, settings.state_cache_mb)
        self._stores: dict[int, PartitionStore] = {}
        self._memories: dict[int, Memory] = {}
        self._records = self._consumer()
        self._told = self._consumer()

    def _consumer(self) -> KafkaConsumer:
        """A consumer without a group: what it reads is nobody's progress."""
        return KafkaConsumer(
            bootstrap_servers=self._settings.servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MAX_INNER_BYTES + 65_536,
            reconnect_backoff_max_ms=1_000,
        )

    def of(self, partition: int) -> Memory:
        """The memory of a partition; `catch_up` has opened it."""
        return self._memories[partition]

    async def catch_up(self, partition: int, offset: int) -> AsyncIterator[Sequence[Record]]:
        """Open the memory, and give the records that it has not taken, up to `offset`, in batches.

        The caller takes in each batch and saves it. Then it knows all facts that were told until now.
        """
        store = self._stores.get(partition)
        if store is not None and store.position >= offset:
            return
        began = time.monotonic()
        await asyncio.to_thread(self._open, partition)
        await asyncio.to_thread(self._listen, [partition])
        store = self._stores[partition]
        start = await asyncio.to_thread(self._start, partition)
        position = max(store.position, start)
        if position >= offset:
            return
        count = 0
        while position < offset:
            records = await asyncio.to_thread(self._read, partition, position, offset)
            if records:
                yield records
                count += len(records)
                position = records[-1].offset + 1
            else:
                position = offset  # what is left was compacted or never held a record
        RECOVERED.labels(self._stage).inc(count)
        RECOVERY_SECONDS.labels(self._stage).set(time.monotonic() - began)
        log.info(
            "memory made again",
            topic=self._topic,
            partition=partition,
            records=count,
            seconds=round(time.monotonic() - began, 2),
        )

    def fetch(self, places: Iterable[tuple[int, int]]) -> list[Record]:
        """The records at these partitions and offsets, as far as Kafka still has them."""
        found = []
        for partition, offset in sorted(set(places)):
            records = self._read(partition, offset, offset + 1)
            found += records
            if not records:
                log.warning(
                    "a record to be sent again is gone", topic=self._topic, partition=partition, offset=offset
                )
        return found

    def save(self, records: Sequence[Record]) -> None:
        """Keep what these records have changed; they are not read again by this process."""
        ends: dict[int, int] = {}
        for record in records:
            ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
        for partition, end in ends.items():
            store = self._stores[partition]
            store.save(max(end, store.position))

    def _open(self, partition: int) -> None:
        if partition in self._memories:
            return
        if not self._topic_id:
            self._topic_id = topic_id(self._settings.servers, self._topic)
        seconds = int(self._settings.window.total_seconds()) + DAY_SECONDS
        store = self._folder.open(self._topic, partition, seconds, self._topic_id)
        self._stores[partition] = store
        self._memories[partition] = self._remembering.create(self._settings, store)
        place = TopicPartition(self._facts, partition)
        positions = {each: self._told.position(each) for each in self._told.assignment()}
        self._told.assign([*positions, place])
        for each, position in positions.items():
            self._told.seek(each, position)
        self._told.seek_to_beginning(place)

    def listen(self) -> None:
        """Take in the facts that have come meanwhile; does not wait for any."""
        if self._memories:
            self._tell(self._told.poll(timeout_ms=0, max_records=1000))

    def _listen(self, partitions: Iterable[int]) -> None:
        """Take in all facts that are there now."""
        places = [TopicPartition(self._facts, each) for each in partitions]
        ends = self._told.end_offsets(places)
        while any(self._told.position(place) < ends[place] for place in places):
            self._tell(self._told.poll(timeout_ms=200, max_records=1000))

    def _tell(self, polled: dict[TopicPartition, list[Any]]) -> None:
        for place, records in polled.items():
            for record in records:
                if record.value is None:
                    continue
                try:
                    self._memories[place.partition].told(read_record(self._remembering.facts, record.value))
                except Refused as refused:
                    log.error("a fact cannot be read and is passed over", topic=self._facts, error=refused.error)

    def _start(self, partition: int) -> int:
        """The first offset that the source still has."""
        place = TopicPartition(self._topic, partition)
        start: int = self._records.beginning_offsets([place])[place]
        return start

    def _read(self, partition: int, start: int, end: int) -> list[Record]:
        """Some records from `start` on, before `end`; none if there are none between the two."""
        place = TopicPartition(self._topic, partition)
        self._records.assign([place])
        self._records.seek(place, start)
        until = time.monotonic() + self._settings.recovery_answer_seconds
        while time.monotonic() < until:
            polled = self._records.poll(timeout_ms=500, max_records=self._settings.batch_records)
            records = [each for each in polled.get(place, []) if start <= each.offset < end]
            if records:
                return [
                    Record(
                        topic=each.topic,
                        partition=each.partition,
                        offset=each.offset,
                        key=each.key,
                        value=each.value,
                        seconds=each.timestamp / 1000,
                        headers=[(name, value or b"") for name, value in each.headers],
                    )
                    for each in records
                ]
            if polled.get(place) or self._records.position(place) >= end:
                return []
        raise TimeoutError(f"{self._topic}/{partition} could not be read from {start} on")
