"""A member of a consumer group on kafka-python, which commits by hand what it has brought to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import structlog
import tenacity
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import CommitFailedError, KafkaError
from kafka.structs import OffsetAndMetadata

from schemas.dead_letter import dead_letter_headers, dead_letter_id
from schemas.topics import MAX_INNER_BYTES
from services.runtime.metrics import DEAD_LETTERS
from services.runtime.settings import ServiceSettings
from services.runtime.watchdog import DEAD_LETTER_QUEUE

log = structlog.get_logger(__name__)


class Partitions(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """Which partitions are ours, and which of them are new or went away since somebody looked."""

    def __init__(self, before_they_go: Callable[[], None] = lambda: None) -> None:
        """`before_they_go` returns when nothing that is done with their records is under way any more."""
        self._before_they_go = before_they_go
        self.assigned: set[TopicPartition] = set()
        self.new: set[TopicPartition] = set()
        self.gone: set[TopicPartition] = set()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Their records in hand come again to whoever gets them."""
        self._before_they_go()
        self.gone |= set(revoked)
        self.assigned -= set(revoked)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """They are read from the last commit on, if nobody seeks another place."""
        self.new |= set(assigned)
        self.assigned |= set(assigned)

    def of(self, topic: str) -> set[int]:
        """The numbers of a topic's partitions that are ours."""
        return {each.partition for each in self.assigned if each.topic == topic}


def group_consumer(settings: ServiceSettings, group: str, most_records: int, **options: Any) -> KafkaConsumer:
    """A consumer that has not subscribed yet; `options` are the client's own."""
    return KafkaConsumer(
        bootstrap_servers=settings.servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=most_records,
        max_partition_fetch_bytes=MAX_INNER_BYTES + 65_536,
        session_timeout_ms=int(settings.session_timeout_seconds * 1000),
        heartbeat_interval_ms=int(settings.session_timeout_seconds * 250),
        max_poll_interval_ms=int(settings.max_poll_interval_seconds * 1000),
        # The client's default grows to 30 s: on a broker that is back it would sit still that long.
        reconnect_backoff_max_ms=1_000,
        # A topic that the client did not know when it joined is given to nobody until it looks again.
        metadata_max_age_ms=10_000,
        **options,
    )


def subscribe(consumer: KafkaConsumer, topics: Iterable[str], partitions: Partitions) -> None:
    """All topics are known before the group is joined: for what it learns later, the client joins again."""
    consumer.subscribe(list(topics), listener=partitions)
    with suppress(KafkaError):
        consumer.topics()


def poll(consumer: KafkaConsumer, seconds: float, most: int | None = None) -> dict[TopicPartition, list[Any]]:
    """Records by partition; none while the broker is away, which the client now and then raises."""
    try:
        polled: dict[TopicPartition, list[Any]] = consumer.poll(timeout_ms=int(seconds * 1000), max_records=most)
    except KafkaError as error:
        # What never passes, such as a missing right, turns the watchdog red and ends the process in time.
        log.warning("nothing could be fetched", error=f"{type(error).__name__}: {error}")
        time.sleep(seconds)
        return {}
    return polled


COMMIT_LIMIT_SECONDS = 60.0
"""For a commit, with all its tries: longer than a broker takes to start again, and shorter than any standstill that
the watchdog looks for."""


def commit(consumer: KafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
    """Commit the offset of each partition's next record; what could not be committed comes again.

    It is tried again while the broker is away: nothing else can be done then, and if no record comes after these,
    no later commit would cover them, so that they would seem to wait until the watchdog ends the process.
    """
    offsets = {place: OffsetAndMetadata(end, "", -1) for place, end in ends.items()}
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_passes),
        wait=tenacity.wait_fixed(0.5),
        stop=tenacity.stop_after_delay(COMMIT_LIMIT_SECONDS),
        reraise=True,
    )
    try:
        if offsets:
            retry(consumer.commit, offsets)
    except CommitFailedError:
        log.warning("the group was rebalanced before the commit; these records come again")
    except KafkaError as error:
        # They come again after a restart; else the next commit covers them.
        log.warning("not committed", error=f"{type(error).__name__}: {error}")


def _passes(error: BaseException) -> bool:
    return isinstance(error, KafkaError) and not isinstance(error, CommitFailedError)


class QueueFull(Exception):
    """The dead letter queue may hold no more records; the text says what to do."""


def write_dead_letter(
    producer: KafkaProducer,
    topic: str,
    record: Any,
    *,
    stage: str,
    reason: str,
    error: str,
    answer_seconds: float,
    limit_seconds: float,
) -> None:
    """Returns when the broker has the dead letter; raises the last failure when it does not take it in time.

    Raises `QueueFull` where the queue has reached its limit: then nothing is written.
    """
    if full := DEAD_LETTER_QUEUE.take_room():
        raise QueueFull(full)
    headers = dead_letter_headers(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        stage=stage,
        reason=reason,
        error=error,
        headers=[(name, value or b"") for name, value in record.headers],
        null=record.value is None,
        timestamp=record.timestamp,
    )
    place = dead_letter_id(record.topic, record.partition, record.offset)
    retry = tenacity.Retrying(
        wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=5),
        stop=tenacity.stop_after_delay(limit_seconds),
        reraise=True,
    )
    for attempt in retry:
        with attempt:
            producer.send(topic, key=record.key or place.encode(), value=record.value or b"", headers=headers).get(
                timeout=answer_seconds
            )
    DEAD_LETTERS.labels(stage, reason).inc()
    log.warning("dead letter", id=place, reason=reason, error=error[:200])
