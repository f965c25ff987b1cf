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
import os
import random
import signal
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, NoReturn

import kafka.codec
import structlog
from kafka import TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor

from schemas.document import DEAD_LETTERS_ALIAS, INDEX_ALIAS, STANDBY_ALIAS, STORIES_ALIAS, ArticleDocument
from schemas.topics import ARTICLES_DLQ, ARTICLES_TAGGED, MAX_INNER_BYTES
from services.indexer.elasticsearch_index import ElasticsearchIndex
from services.indexer.in_hand import InHand
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

COLLECT_AFTER_OBJECTS = 1_000_000
"""More objects than at the last look for circles among them until there is another; Python's own number is 700.

The records in hand are some 500,000, which come and go: with a smaller number, each look goes through all of them
in vain, and a quarter of the indexer's time is spent on that (0.34 ms for a record, and 0.26 without, measured).
"""

BEGUN = 2
"""Requests begun beyond those in flight: a thread that is done with one finds the next there."""

IN_HAND = 2
"""Times the records and bytes that may be in flight at once: as many again wait or are coming in."""

IDLE_SECONDS = 0.5
"""To wait for a record when none is in hand, until it is looked whether to stop."""

LOOK_SECONDS = 0.05
"""To wait for more records, or for a request, while some are in hand, until it is looked what is to be done."""

PAUSE_LOOK_SECONDS = 0.2
"""To wait for a rebalance while Elasticsearch takes nothing, until it is looked whether to try again."""

POLLED_AT_ONCE = 50
"""Records taken from the client at once: between two looks at how many bytes are in hand."""

FIELDS = [field.alias or name for name, field in ArticleDocument.model_fields.items()] + ["retracted"]
"""What the index must know before a document is sent: it takes no field that it does not know."""


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
        self.hand = InHand()
        self.work: dict[Future[tuple[list[Pending], str]], list[Pending]] = {}
        self.away = ""
        self.tries = 0
        self.pause_ends = self.fills_until = 0.0
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
        while not self.stopping:
            self._step()
        self._leave_off()
        self.consumer.close(autocommit=False)
        self.producer.close()
        self.threads.shutdown()

    def _leave_off(self) -> None:
        """Commit what has come to its end; the rest comes again at the next start."""
        self._finish_work()
        self._settle()
        self._commit()

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

    def _step(self) -> None:
        """Begin the requests that are full, read what comes meanwhile, and commit what has come to its end."""
        if time.monotonic() >= self.pause_ends:
            self.consumer.resume(*self.consumer.paused())
            self._begin_requests()
            # While something is to be tried again no more is taken: each try would add to what waits.
            if self._has_room() and not self.hand.again:
                self._read()
            else:
                wait(self.work, LOOK_SECONDS, FIRST_COMPLETED)
        else:
            self._pause()
        self._settle()
        self._commit()

    def _has_room(self) -> bool:
        settings = self.settings
        return (
            len(self.hand) < settings.bulk_records * settings.bulk_in_flight * IN_HAND
            and self.hand.bytes < settings.bulk_bytes * settings.bulk_in_flight * IN_HAND
        )

    def _read(self) -> None:
        """Take into the hand what the client has."""
        polled = self._poll(LOOK_SECONDS if len(self.hand) else IDLE_SECONDS)
        if not self.hand.waiting:
            self.fills_until = time.monotonic() + self.settings.bulk_wait_seconds
        for records in polled.values():
            RECORDS.labels(STAGE).inc(len(records))
            for record in records:
                self.hand.add(record, self.writing.prepare(record))

    def _poll(self, seconds: float) -> dict[TopicPartition, list[Any]]:
        """Records of partitions that are ours and were not taken from us in this very poll."""
        polled = poll(self.consumer, seconds, POLLED_AT_ONCE)
        gone, self.partitions.gone = self.partitions.gone, set()
        if gone:
            self._settle()
            # Where a rebalance has given a partition back, or not yet taken it, the client keeps its position,
            # behind records that are neither committed nor in hand any more.
            first = {place: records[0].offset for place in gone if (records := polled.pop(place, None))}
            for place, offset in self.hand.drop(gone).items():
                first[place] = min(offset, first.get(place, offset))
            for place in first.keys() & self.consumer.assignment():
                self.consumer.seek(place, first[place])
        return polled

    def _begin_requests(self) -> None:
        """As many as are full, or have had their time to fill up."""
        settings = self.settings
        if self.away and self.work:
            return
        self.away = ""
        while self.hand.waiting and len(self.work) < settings.bulk_in_flight + BEGUN:
            full = (
                self.hand.waiting >= settings.bulk_records
                or self.hand.waiting_bytes >= settings.bulk_bytes
                or not self._has_room()
            )
            if not full and time.monotonic() < self.fills_until:
                break
            request = self.hand.take(settings.bulk_records, settings.bulk_bytes)
            if not request:
                break
            self.fills_until = time.monotonic() + settings.bulk_wait_seconds
            self.work[self.threads.submit(self._bring_in, request)] = request

    def _bring_in(self, request: list[Pending]) -> tuple[list[Pending], str]:
        """In a thread. After one without an answer the others would only wait in vain, one after the other."""
        if self.away:
            return request, self.away
        left, reason = self.writing.bring_in(request)
        self.away = self.away or reason
        return left, reason

    def _settle(self) -> None:
        """Take requests that have come to their end back into the hand; what is left of them is tried again."""
        # The last first: what is left of one comes before all that waits.
        for each in [each for each in reversed(self.work) if each.done()]:
            request = self.work.pop(each)
            if each.cancelled():
                left, reason = request, ""
            else:
                try:
                    left, reason = each.result()
                except Forbidden as error:
                    self._forbidden(error)
                self._judge(len(request), len(left), reason)
            self.hand.settle(request, left)
            if left:
                self.fills_until = 0.0
        if not self.hand.again:
            self.health.green("elasticsearch")

    def _judge(self, tried: int, left: int, reason: str) -> None:
        """Whether to go on, as what became of a request says."""
        if reason:
            for each in self.work:
                each.cancel()
        if left < tried:
            self.tries = 0
        now = time.monotonic()
        if left and now >= self.pause_ends:
            most = min(self.settings.backoff_max_seconds, 0.2 * 2 ** min(self.tries, 16))
            seconds = most * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
            self.tries += left == tried
            self.pause_ends = now + seconds
            self.health.red("elasticsearch", reason or "Elasticsearch is busy or blocked")
            log.warning("waiting for Elasticsearch", seconds=round(seconds, 1), reason=self.health.reason)

    def _commit(self) -> None:
        ends = self.hand.ends()
        if not ends:
            return
        commit(self.consumer, ends)
        topics = {place.topic for place in ends}
        for watchdog in self.watchdogs:
            if watchdog.topic in topics:
                watchdog.batch_begins()

    def _pause(self) -> None:
        """Keep the group membership, with every partition paused."""
        self.consumer.pause(*self.consumer.assignment())
        # A partition that a rebalance has just given us may bring records in this very poll: it is read again from
        # its last commit.
        for place, polled in self._poll(PAUSE_LOOK_SECONDS).items():
            self.consumer.seek(place, polled[0].offset)
        self._record_done()

    def _finish_work(self) -> None:
        """Whoever gets our partitions next writes these documents too: not at the same time."""
        for each in self.work:
            each.cancel()
        wait(self.work)

    def _forbidden(self, error: Forbidden) -> NoReturn:
        self.leave(EXIT_FORBIDDEN, f"Elasticsearch refuses us: {error}; check ELASTICSEARCH_API_KEY and its role")

    def _record_done(self) -> None:
        for watchdog in self.watchdogs:
            watchdog.record_done()

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
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    indexer.run()
