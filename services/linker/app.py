"""The linker: articles-deduped to articles-stories. A plain consumer of three topics, each by its partitions.

articles-deduped: an article's fingerprints are spread over the partitions of articles-fingerprints.
articles-fingerprints: the memory of the partition finds what the article shares with others there.
articles-overlaps: the memory of the article's own partition sums up, and writes its story when that changes.

A record is done when all that follows from it is confirmed by Kafka and its memory is saved; then it is committed.
A memory that is behind (another process had the partition, or the folder is gone) reads again the records that it
missed, without sending again what followed from them.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import kafka.codec
import structlog
import tenacity
from kafka import TopicPartition
from kafka.errors import KafkaError
from prometheus_client import Counter
from pydantic import BaseModel

from schemas.reading import Refused, read_record, write_record
from schemas.story import Follow, Leads, Overlap
from schemas.topics import (
    ARTICLES_DEDUPED,
    ARTICLES_DLQ,
    ARTICLES_FINGERPRINTS,
    ARTICLES_OVERLAPS,
    ARTICLES_STORIES,
    MAX_INNER_BYTES,
    Topic,
)
from services.linker.core import Shard, Stories, home_of, spread
from services.linker.settings import LinkerSettings
from services.runtime.codecs import check_codecs
from services.runtime.confirmed import confirming_producer
from services.runtime.group import Partitions, commit, group_consumer, poll, subscribe, write_dead_letter
from services.runtime.health import Health, serve_health
from services.runtime.logging import set_up_logging
from services.runtime.metrics import RECORDS
from services.runtime.partition_store import PartitionStore, StateFolder, topic_id
from services.runtime.remembering import DAY_SECONDS, RECOVERED, RECOVERY_SECONDS
from services.runtime.settings import load_settings
from services.runtime.watchdog import Watchdog

log = structlog.get_logger(__name__)

STAGE = "linker"

EXIT_UNDELIVERABLE = 70
"""Exit status when Kafka takes neither a result nor a dead letter (EX_SOFTWARE of sysexits.h)."""

STORIES = Counter("newsflow_stories_written", "Stories of articles, new and changed")

SOURCES = (ARTICLES_DEDUPED, ARTICLES_FINGERPRINTS, ARTICLES_OVERLAPS)

Out = tuple[Topic, int | None, BaseModel]
"""What is to be sent: topic, partition where not the key picks it, and what is in the record or a part of it."""

RECORD_BYTES = 500_000
"""Of a record that is made of parts, about; a topic takes 900,000."""


class Linker:
    """One linker process."""

    def __init__(self, settings: LinkerSettings) -> None:
        self.settings = settings
        self.health = Health(STAGE)
        self.stopping = False
        self.topics = {settings.name(topic.name): topic for topic in SOURCES}
        self.partitions = Partitions()
        self.folder = StateFolder.take(settings.state_folder, STAGE, settings.state_cache_mb)
        self.stores: dict[TopicPartition, PartitionStore] = {}
        self.memories: dict[TopicPartition, Shard | Stories] = {}
        self.sent_up_to: dict[TopicPartition, int] = {}
        """What followed from earlier records was sent by whoever committed them."""
        self.behind: dict[TopicPartition, float] = {}
        """Partitions whose memory is being made again, and since when."""
        self.consumer = group_consumer(settings, settings.name(STAGE), settings.batch_records)
        self.producer = confirming_producer(settings, MAX_INNER_BYTES, compression_type="lz4", linger_ms=5)
        self.watchdogs = [
            Watchdog(
                self.health,
                settings,
                settings.name(STAGE),
                name,
                partial(self.partitions.of, name),
                self.leave,
            )
            for name in self.topics
        ]

    def run(self) -> None:
        """Work until told to stop. What is in hand then is finished and committed, or left for the next start."""
        subscribe(self.consumer, self.topics, self.partitions)
        for watchdog in self.watchdogs:
            watchdog.start()
        self.health.green("start")
        while not self.stopping:
            self.partitions.gone.clear()
            polled = poll(self.consumer, 0.5)
            if self.partitions.new:
                # What was polled is read again, from where each memory is.
                try:
                    self._take_over()
                except KafkaError as error:
                    log.warning("Kafka does not say where to begin", error=f"{type(error).__name__}: {error}")
            elif polled:
                self._settle(polled)
        self.consumer.close(autocommit=False)
        self.producer.close()
        for store in self.stores.values():
            store.close()
        self.folder.release()

    def _take_over(self) -> None:
        """Open the memories of the new partitions, and go back to the first record that each has missed."""
        for place in sorted(self.partitions.new):
            committed = self.consumer.committed(place) or 0
            start = self.consumer.beginning_offsets([place])[place]
            position = max(committed, start)
            if self.topics[place.topic] is not ARTICLES_DEDUPED:
                position = max(min(self._open(place).position, max(committed, start)), start)
                if position < committed:
                    self.behind[place] = time.monotonic()
                    log.info(
                        "memory is behind: reading again",
                        topic=place.topic,
                        partition=place.partition,
                        records=committed - position,
                    )
            self.sent_up_to[place] = committed
            self.consumer.seek(place, position)
        self.partitions.new.clear()

    def _open(self, place: TopicPartition) -> PartitionStore:
        if place not in self.stores:
            seconds = int(self.settings.window.total_seconds()) + DAY_SECONDS
            store = self.stores[place] = self.folder.open(
                place.topic, place.partition, seconds, topic_id(self.settings.servers, place.topic)
            )
            self.memories[place] = (
                Shard(place.partition, store, self.settings.window, self.settings.most_owners)
                if self.topics[place.topic] is ARTICLES_FINGERPRINTS
                else Stories(
                    store, ARTICLES_FINGERPRINTS.partitions, self.settings.threshold, self.settings.min_shared
                )
            )
        return self.stores[place]

    def _settle(self, polled: dict[TopicPartition, list[Any]]) -> None:
        """Send all that follows from the records, save the memories, then commit."""
        out: list[Out] = []
        again = 0
        for place, records in polled.items():
            for record in records:
                follows = self._take(place, record)
                if record.offset < self.sent_up_to[place]:
                    again += 1
                else:
                    out += follows
        self._send(out)
        for place, records in polled.items():
            if place in self.stores:
                self.stores[place].save(records[-1].offset + 1)
        RECORDS.labels(STAGE).inc(sum(map(len, polled.values())) - again)
        RECOVERED.labels(STAGE).inc(again)
        STORIES.inc(sum(topic is ARTICLES_STORIES for topic, _, _ in out))
        self._commit(polled)
        for place in [each for each in self.behind if self._position(each) >= self.sent_up_to[each]]:
            seconds = time.monotonic() - self.behind.pop(place)
            RECOVERY_SECONDS.labels(STAGE).set(seconds)
            log.info("memory made again", topic=place.topic, partition=place.partition, seconds=round(seconds, 2))
        if again:
            for watchdog in self.watchdogs:
                watchdog.goes_on()

    def _position(self, place: TopicPartition) -> int:
        return self.stores[place].position

    def _take(self, place: TopicPartition, record: Any) -> list[Out]:
        """What follows from a record; a dead letter where it cannot be read."""
        topic = self.topics[place.topic]
        try:
            read = read_record(topic, record.value)
            if topic is ARTICLES_DEDUPED:
                parts = spread(read, record.offset, ARTICLES_FINGERPRINTS.partitions)
                return [(ARTICLES_FINGERPRINTS, number, part) for number, part in parts.items()]
            memory = self.memories[place]
            out: list[Out] = []
            for part in read.root:
                if isinstance(memory, Shard):
                    out += [_to_home(each) for each in memory.take(part)]
                else:
                    others, stories = memory.take(part)
                    out += [_to_home(each) for each in others]
                    out += [(ARTICLES_STORIES, None, story) for story in stories]
            return out
        except Refused as refused:
            self._dead_letter(record, refused.reason, refused.error)
        except Exception as error:  # noqa: BLE001 - whatever one record holds, its neighbours go on
            self._dead_letter(record, "failed", f"{type(error).__name__}: {error}")
        return []

    def _send(self, out: Sequence[Out]) -> None:
        """Returns when the broker has all of it; what it did not take is sent again until the limit."""
        left = [(self.settings.name(name), number, key, value) for name, number, key, value in _records(out)]
        retry = tenacity.Retrying(
            retry=tenacity.retry_if_result(bool),
            wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=5),
            stop=tenacity.stop_after_delay(self.settings.deliver_limit_seconds),
            before_sleep=lambda _: self.health.red("deliver", "Kafka does not take records"),
        )

        def attempt() -> bool:
            nonlocal left
            left = self._send_once(left)
            return bool(left)

        try:
            retry(attempt)
        except tenacity.RetryError:
            self.leave(f"Kafka did not take {len(left)} records in time")
        self.health.green("deliver")

    def _send_once(self, records: Sequence[tuple[str, int | None, bytes | None, bytes]]) -> list[Any]:
        futures = []
        failed = []
        for record in records:
            topic, number, key, value = record
            try:
                futures.append((record, self.producer.send(topic, key=key, value=value, partition=number)))
            except KafkaError as error:
                log.warning("not sent", error=f"{type(error).__name__}: {error}")
                failed.append(record)
        for record, future in futures:
            try:
                future.get(timeout=self.settings.producer_timeout_seconds)
            except KafkaError as error:
                log.warning("not confirmed", error=f"{type(error).__name__}: {error}")
                failed.append(record)
        return failed

    def _commit(self, polled: dict[TopicPartition, list[Any]]) -> None:
        ends = {
            place: records[-1].offset + 1
            for place, records in polled.items()
            if place not in self.partitions.gone and records[-1].offset >= self.sent_up_to[place]
        }
        commit(self.consumer, ends)

    def _dead_letter(self, record: Any, reason: str, error: str) -> None:
        """Returns when the broker has the dead letter; leaves when it does not take it in time."""
        try:
            write_dead_letter(
                self.producer,
                self.settings.name(ARTICLES_DLQ.name),
                record,
                stage=STAGE,
                reason=reason,
                error=error,
                answer_seconds=self.settings.producer_timeout_seconds,
                limit_seconds=self.settings.deliver_limit_seconds,
            )
        except Exception as failure:  # noqa: BLE001 - whatever it is, time is up
            self.leave(f"no dead letter could be written: {type(failure).__name__}: {failure}")

    def leave(self, why: str) -> NoReturn:
        """Stop at once; nothing in hand is committed."""
        log.critical("leaving, nothing in hand is committed", reason=why)
        logging.shutdown()
        os._exit(EXIT_UNDELIVERABLE)


def _to_home(each: Overlap | Follow | Leads) -> Out:
    return (ARTICLES_OVERLAPS, home_of(each.id, ARTICLES_OVERLAPS.partitions), each)


def _records(out: Sequence[Out]) -> list[tuple[str, int | None, bytes | None, bytes]]:
    """Topic, partition, key and value of each record: the parts for one partition share a few."""
    records: list[tuple[str, int | None, bytes | None, bytes]] = []
    parts: dict[tuple[str, int], list[bytes]] = {}
    for topic, number, each in out:
        value = write_record(each)
        if number is None:
            records.append((topic.name, None, each.id.encode(), value))  # type: ignore[attr-defined]
        else:
            parts.setdefault((topic.name, number), []).append(value)
    for (name, number), values in parts.items():
        share: list[bytes] = []
        size = 0
        for value in values:
            if share and size + len(value) > RECORD_BYTES:
                records.append((name, number, None, b"[" + b",".join(share) + b"]"))
                share, size = [], 0
            share.append(value)
            size += len(value) + 1
        records.append((name, number, None, b"[" + b",".join(share) + b"]"))
    return records


def main(settings: LinkerSettings | None = None) -> None:
    """Run one linker process, with the settings from the environment if none are given."""
    settings = settings or load_settings(LinkerSettings)
    set_up_logging(settings.log_level, settings.log_format, STAGE)
    check_codecs(kafka.codec, "kafka-python")
    linker = Linker(settings)
    serve_health(linker.health, settings.health_host, settings.health_port)

    def stop(*_: object) -> None:
        linker.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    linker.run()
