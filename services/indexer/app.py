"""The indexer: five topics to Elasticsearch. A plain consumer: poll, bulk, judge, commit.

What becomes of each record is in `writing.py`. All topics of articles have the same number of partitions and the
client gives equal numbers to one process, so that one process has all records of an article, and no two processes
change one document. Within a process, several threads write at once, each with articles of its own.

While Elasticsearch takes nothing, the partitions are paused and polling goes on, so that the group membership is
kept and no record is fetched; there is no limit to this. Nothing is committed before every record up to it is
written, superseded or a dead letter.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import kafka.codec
import structlog
from kafka import TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor

from schemas.document import DEAD_LETTERS_ALIAS, INDEX_ALIAS, STANDBY_ALIAS, STORIES_ALIAS, ArticleDocument
from schemas.topics import ARTICLES_DLQ, ARTICLES_TAGGED, MAX_INNER_BYTES
from services.indexer.elasticsearch_index import ElasticsearchIndex
from services.indexer.index import DocumentIndex, Forbidden, Unavailable
from services.indexer.retention import Retention
from services.indexer.settings import IndexerSettings
from services.indexer.writing import Pending, Writing
from services.runtime.codecs import check_codecs
from services.runtime.confirmed import confirming_producer
from services.runtime.group import Partitions, commit, group_consumer, poll, subscribe, write_dead_letter
from services.runtime.health import Health, serve_health
from services.runtime.logging import set_up_logging
from services.runtime.metrics import RECORDS
from services.runtime.settings import load_settings
from services.runtime.watchdog import Watchdog

log = structlog.get_logger(__name__)

STAGE = "indexer"

EXIT_FORBIDDEN = 77
"""Exit status when Elasticsearch does not let us write (EX_NOPERM of sysexits.h)."""

EXIT_UNDELIVERABLE = 70
"""Exit status when Kafka takes no dead letter (EX_SOFTWARE of sysexits.h)."""

COLLECT_AFTER_OBJECTS = 50_000
"""New objects between two looks for circles among them; Python's own number is 700."""

SHARES = 3
"""Requests of a round for each thread: while one waits for Elasticsearch, another makes documents. With one for
each, all would do the same at the same time, and Elasticsearch would wait for them."""

IDLE_SECONDS = 0.5
"""To wait for a record when none is in hand, until it is looked whether to stop."""

LOOK_SECONDS = 0.05
"""To wait for more records while others are written, until it is looked whether these are done."""

POLLED_AT_ONCE = 50
"""Records taken from the client at once: between two looks at how many bytes are in hand."""

FIELDS = [field.alias or name for name, field in ArticleDocument.model_fields.items()] + ["retracted"]
"""What the index must know before a document is sent: it takes no field that it does not know."""


@dataclass
class Batch:
    """Records in hand, and those of them that are to be written."""

    records: list[Any] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)

    def without(self, gone: set[TopicPartition]) -> Batch:
        """The batch without the records of these partitions."""
        return Batch(
            [record for record in self.records if _place(record) not in gone],
            [each for each in self.pending if _place(each.record) not in gone],
        )


Work = list["Future[tuple[list[Pending], str]]"]


class Indexer:
    """One indexer process."""

    def __init__(
        self, settings: IndexerSettings, index: DocumentIndex, stories: DocumentIndex, dead_letters: DocumentIndex
    ) -> None:
        self.settings = settings
        self.index = index
        self.health = Health(STAGE)
        self.stopping = False
        self.group = settings.name(STAGE)
        self.writing = Writing(settings, index, stories, dead_letters, self._dead_letter, self._record_done)
        self.partitions = Partitions(self._finish_work)
        self.threads = ThreadPoolExecutor(settings.bulk_in_flight, thread_name_prefix="bulk")
        self.work: Work = []
        self.away = ""
        self.consumer = group_consumer(
            settings,
            self.group,
            POLLED_AT_ONCE,
            # What the client has fetched and not yet given out is in memory too.
            fetch_max_bytes=settings.bulk_bytes * settings.bulk_in_flight,
            # Equal numbers of all topics to one process: who has an article has its story.
            partition_assignment_strategy=[RangePartitionAssignor],
        )
        self.producer = confirming_producer(settings, MAX_INNER_BYTES, compression_type="lz4")
        self.watchdogs = [
            Watchdog(
                self.health,
                settings,
                self.group,
                topic,
                partial(self.partitions.of, topic),
                partial(self.leave, EXIT_UNDELIVERABLE),
            )
            for topic in self.writing.topics
        ]

    def run(self) -> None:
        """Work until told to stop. What is in hand then is written and committed, or left for the next start."""
        self._wait_for_the_index()
        subscribe(self.consumer, self.writing.topics, self.partitions)
        for watchdog in self.watchdogs:
            watchdog.start()
        self.health.green("start")
        batch = Batch()
        while not self.stopping:
            if not batch.records:
                self.partitions.gone.clear()
            batch = self._settle(batch) if batch.records else self._fetch(IDLE_SECONDS)
        self.consumer.close(autocommit=False)
        self.producer.close()
        self.threads.shutdown(cancel_futures=True)

    def has(self, place: TopicPartition) -> bool:
        """Whether the partition is this process's."""
        return place in self.partitions.assigned

    def leave(self, status: int, why: str) -> NoReturn:
        """Stop at once; nothing in hand is committed."""
        log.critical("leaving, nothing in hand is committed", reason=why)
        logging.shutdown()
        os._exit(status)

    def _wait_for_the_index(self) -> None:
        """Until the index knows each field of a document: else all articles would become dead letters."""
        while not self.stopping:
            try:
                missing = self.index.without(FIELDS)
            except Unavailable as error:
                self.health.red("index", f"Elasticsearch does not answer: {error}")
            except Forbidden as error:
                self._forbidden(error)
            else:
                if not missing:
                    self.health.green("index")
                    return
                self.health.red("index", f"the index has not the fields {', '.join(missing)}: run newsflow setup")
            time.sleep(1)

    def _fetch(self, seconds: float, enough: Callable[[], bool] = lambda: True) -> Batch:
        """Records for one round: as many as come in `seconds`, or from the first one on while a bulk fills.

        Goes on beyond that until it is `enough`, or no more may be in hand.
        """
        batch, size = Batch(), 0
        most = self.settings.bulk_records * self.settings.bulk_in_flight * SHARES
        most_bytes = self.settings.bulk_bytes * self.settings.bulk_in_flight
        end = time.monotonic() + seconds
        while not self.stopping and len(batch.records) < most and size < most_bytes:
            left = end - time.monotonic()
            if left <= 0 and enough():
                break
            missing = min(POLLED_AT_ONCE, most - len(batch.records))
            polled = poll(self.consumer, left if left > 0 else LOOK_SECONDS, missing)
            records = [record for found in polled.values() for record in found]
            if records and not batch.records:
                end = time.monotonic() + self.settings.bulk_wait_seconds
            size += sum(len(record.value or b"") for record in records)
            batch.records += records
            batch.pending += [item for record in records if (item := self.writing.prepare(record))]
        return batch

    def _settle(self, batch: Batch) -> Batch:
        """Bring every record to its end, then commit; without a commit when told to stop before that.

        Returns what was fetched meanwhile.
        """
        RECORDS.labels(STAGE).inc(len(batch.records))
        for watchdog in self.watchdogs:
            watchdog.batch_begins()
        pending = batch.without(self.partitions.gone).pending
        following: Batch | None = None
        tries = 0
        while pending and not self.stopping:
            self.work = self._start(pending)
            if following is None:
                following = self._fetch(0, self._is_done)
            left, reason = self._results()
            tries = 0 if len(left) < len(pending) else tries + 1
            if left:
                self.health.red("elasticsearch", reason or "Elasticsearch is busy or blocked")
                self._wait(min(self.settings.backoff_max_seconds, 0.2 * 2 ** min(tries, 16)))
            pending = [item for item in left if _place(item.record) not in self.partitions.gone]
        following = following or Batch()
        self._read_again([*batch.records, *following.records])
        if not pending:
            self.health.green("elasticsearch")
            done = batch.without(self.partitions.gone).records
            commit(self.consumer, {_place(record): record.offset + 1 for record in done})
        following = following.without(self.partitions.gone)
        self.partitions.gone.clear()
        return following

    def _start(self, pending: Sequence[Pending]) -> Work:
        """Begin to write, in as many threads as there are full requests; all records of an article in one."""
        size = sum(len(each.record.value or b"") for each in pending)
        full = max(len(pending) / self.settings.bulk_records, size / self.settings.bulk_bytes)
        lanes: list[list[Pending]] = [
            [] for _ in range(min(self.settings.bulk_in_flight * SHARES, math.ceil(full)))
        ]
        lane_of: dict[str, int] = {}
        for each in pending:
            lanes[lane_of.setdefault(each.id, len(lane_of) % len(lanes))].append(each)
        self.away = ""
        return [self.threads.submit(self._bring_in, lane) for lane in lanes if lane]

    def _bring_in(self, lane: list[Pending]) -> tuple[list[Pending], str]:
        """In a thread. After one without an answer the others would only wait in vain, one after the other."""
        if self.away:
            return lane, self.away
        left, reason = self.writing.bring_in(lane)
        self.away = self.away or reason
        return left, reason

    def _is_done(self) -> bool:
        return all(each.done() for each in self.work)

    def _results(self) -> tuple[list[Pending], str]:
        """What is left to be written, and why if the index as a whole takes nothing."""
        left: list[Pending] = []
        reason = ""
        for each in self.work:
            try:
                some, why = each.result()
            except Forbidden as error:
                self._forbidden(error)
            left += some
            reason = reason or why
        self.work = []
        return left, reason

    def _finish_work(self) -> None:
        """Whoever gets our partitions next writes these documents too: not at the same time."""
        wait(self.work)

    def _read_again(self, records: Sequence[Any]) -> None:
        """A rebalance gave these partitions back, or has not yet taken them.

        The client keeps its position then, behind records that are neither committed nor in hand any more.
        """
        for place in self.partitions.gone & self.consumer.assignment():
            offsets = [record.offset for record in records if _place(record) == place]
            if offsets:
                self.consumer.seek(place, min(offsets))

    def _forbidden(self, error: Forbidden) -> NoReturn:
        self.leave(EXIT_FORBIDDEN, f"Elasticsearch refuses us: {error}; check ELASTICSEARCH_API_KEY and its role")

    def _record_done(self) -> None:
        for watchdog in self.watchdogs:
            watchdog.record_done()

    def _wait(self, most_seconds: float) -> None:
        """Wait with every partition paused and the group membership kept."""
        seconds = most_seconds * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
        log.warning("waiting for Elasticsearch", seconds=round(seconds, 1), reason=self.health.reason)
        end = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < end:
            self.consumer.pause(*self.consumer.assignment())
            # A partition that a rebalance has just given us may bring records in this very poll: it is read
            # again from its last commit.
            for place, polled in poll(self.consumer, 0.2, POLLED_AT_ONCE).items():
                self.consumer.seek(place, polled[0].offset)
            self._record_done()
        self.consumer.resume(*self.consumer.paused())

    def _dead_letter(self, record: Any, reason: str, error: str) -> None:
        """Returns when the broker has the dead letter; leaves when it does not take it in time."""
        if self.writing.topics[record.topic] is ARTICLES_DLQ:
            # It is in the queue already; one for it would have one of its own, and so on.
            log.error("a dead letter cannot be shown in the index", offset=record.offset, error=error[:200])
            return
        try:
            write_dead_letter(
                self.producer,
                self.settings.name(ARTICLES_DLQ.name),
                record,
                stage=STAGE,
                reason=reason,
                error=error,
                answer_seconds=30,
                limit_seconds=self.settings.deliver_limit_seconds,
            )
        except Exception as failure:  # noqa: BLE001 - whatever it is, time is up
            self.leave(EXIT_UNDELIVERABLE, f"no dead letter could be written: {type(failure).__name__}: {failure}")


def _place(record: Any) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


def main(settings: IndexerSettings | None = None) -> None:
    """Run one indexer process, with the settings from the environment if none are given."""
    settings = settings or load_settings(IndexerSettings)
    set_up_logging(settings.log_level, settings.log_format, STAGE)
    check_codecs(kafka.codec, "kafka-python")
    client = settings.connect(connections_per_node=settings.bulk_in_flight)
    timeout = settings.bulk_timeout_seconds
    index = ElasticsearchIndex(client, settings.name(INDEX_ALIAS), timeout, standby=settings.name(STANDBY_ALIAS))
    stories = ElasticsearchIndex(client, settings.name(STORIES_ALIAS), timeout)
    dead_letters = ElasticsearchIndex(client, settings.name(DEAD_LETTERS_ALIAS), timeout)
    indexer = Indexer(settings, index, stories, dead_letters)
    serve_health(indexer.health, settings.health_host, settings.health_port)
    if settings.retention is not None:
        # One process of all: whoever has this partition.
        mine = partial(indexer.has, TopicPartition(settings.name(ARTICLES_TAGGED.name), 0))
        Retention(client, settings.name(INDEX_ALIAS), index, stories, settings.retention).start(
            settings.retention_look_seconds, mine
        )

    def stop(*_: object) -> None:
        indexer.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # A batch is a hundred thousand objects that refer to each other in no circle. Looked through as often as Python
    # does by itself, reading a record takes three to five times as long (0.29 ms for 0.05 to 0.1, measured).
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    indexer.run()
