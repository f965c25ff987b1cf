"""A topic read from its beginning to where it ends now, by nobody's consumer group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from services.runtime.settings import ServiceSettings

SILENT_MS = 10_000
"""A broker that brings nothing for so many milliseconds, though there is more, has failed."""


def read_to_end(settings: ServiceSettings, name: str) -> Iterator[Any]:
    """The records that are on the topic `name` now; of a partition in their order.

    Raises `LookupError` where the topic is missing, `TimeoutError` for a silent broker, and `KafkaError`.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=settings.servers,
        group_id=None,
        enable_auto_commit=False,
        # Where records are deleted while we read, go on with the first that is left, and not at the end.
        auto_offset_reset="earliest",
        request_timeout_ms=10_000,
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
            for records in polled.values():
                yield from records
    finally:
        consumer.close(autocommit=False)
