"""The states of sources as they are kept: on the compacted topic `source-states`."""

from __future__ import annotations

from kafka import KafkaConsumer, TopicPartition

from schemas.reading import Refused, read_record
from schemas.source import SourceState
from schemas.topics import SOURCE_STATES
from services.runtime.settings import ServiceSettings

SILENT_MS = 10_000
"""Reading the states up to their end, a broker that brings nothing for so many milliseconds has failed."""


def read_states(settings: ServiceSettings) -> list[SourceState]:
    """The state of every part of every source, the last one of each, by source and part.

    Raises `LookupError` where the topic is missing, `TimeoutError` for a silent broker, and `KafkaError`.
    """
    name = settings.name(SOURCE_STATES.name)
    found: dict[bytes, SourceState] = {}
    consumer = KafkaConsumer(
        bootstrap_servers=settings.servers, group_id=None, enable_auto_commit=False, request_timeout_ms=10_000
    )
    try:
        partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
        if not partitions:
            raise LookupError(f"topic {name} does not exist: newsflow setup creates it")
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(each) < ends[each] for each in partitions):
            polled = consumer.poll(timeout_ms=SILENT_MS)
            if not polled:
                raise TimeoutError(f"Kafka was silent for {SILENT_MS / 1000:g} s while {name} was read")
            for record in (each for records in polled.values() for each in records):
                try:
                    found[record.key or b""] = read_record(SOURCE_STATES, record.value)
                except Refused:
                    found.pop(record.key or b"", None)  # a tombstone, or what an older version cannot read
    finally:
        consumer.close(autocommit=False)
    return sorted(found.values(), key=lambda state: (state.source, state.part))
