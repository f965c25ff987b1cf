"""What the verbs ask Kafka: how far each consumer group is, and what lies in the dead letter queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from schemas.dead_letter import PREFIX, REPLAYED, DeadLetter, read_dead_letter
from schemas.topics import ARTICLES_DLQ, TOPICS
from services.runtime.reading import read_to_end
from services.runtime.settings import ServiceSettings


@dataclass(frozen=True)
class Lag:
    """How many records of `topic` the consumer group has not committed yet, of `end_offset` in all."""

    topic: str
    group: str
    lag: int
    end_offset: int


def lags(settings: ServiceSettings) -> list[Lag]:
    """The lag of each consumer group, in the order of the topics; raises `LookupError` for a missing topic."""
    found = []
    for topic in TOPICS:
        name = settings.name(topic.name)
        for service in topic.consumers:
            group = settings.name(service)
            consumer = KafkaConsumer(
                bootstrap_servers=settings.servers,
                group_id=group,
                enable_auto_commit=False,
                request_timeout_ms=10_000,
            )
            try:
                partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
                if not partitions:
                    raise LookupError(f"topic {name} does not exist: newsflow setup creates it")
                ends, begins = consumer.end_offsets(partitions), consumer.beginning_offsets(partitions)
                at = {each: max(consumer.committed(each) or 0, begins[each]) for each in partitions}
                lag = sum(max(0, ends[each] - at[each]) for each in partitions)
                found.append(Lag(name, group, lag, sum(ends.values())))
            finally:
                consumer.close(autocommit=False)
    return found


@dataclass(frozen=True)
class DeadRecord:
    """A dead letter as it lies in the queue."""

    letter: DeadLetter
    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes]]


def dead_records(settings: ServiceSettings) -> Iterator[DeadRecord]:
    """The dead letters that have not been replayed, oldest first.

    A record that was redelivered and failed again is one dead letter (its latest); a replayed one is followed by
    a marker with the same id, and is back in the list when it fails again.
    """
    found: dict[str, DeadRecord] = {}
    for record in read_to_end(settings, settings.name(ARTICLES_DLQ.name)):
        _take(found, record)
    yield from found.values()


def _take(found: dict[str, DeadRecord], record: Any) -> None:
    headers = [(name, value or b"") for name, value in record.headers]
    given = dict(headers)
    if REPLAYED in given:
        found.pop(given[REPLAYED].decode("utf-8", "replace"), None)
        return
    try:
        letter = read_dead_letter(headers)
    except (KeyError, ValueError):
        return  # written by somebody else; it is theirs to read
    value = None if given.get(f"{PREFIX}null") else record.value
    found.pop(letter.id, None)
    found[letter.id] = DeadRecord(letter, value, record.key, headers)
