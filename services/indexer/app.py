"""The indexer: three topics to Elasticsearch. A plain consumer: poll, bulk, judge, commit.

Articles and stories are joined in the index: a story is kept in an index of its own, and the article's document,
where it is there already, is written again with it; an article is written with the story that is kept. Other
entities of an article that is there, from `newsflow retag`, are written into its document. All three topics have
the same number of partitions and the client gives equal numbers to one process, so that one process has all records
of an article, and no two processes change one document.

While Elasticsearch takes nothing, the partitions are paused and polling goes on, so that the group membership is
kept and no record is fetched; there is no limit to this. Nothing is committed before every record up to it is
written, superseded or a dead letter.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

import kafka.codec
import structlog
from kafka import TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from prometheus_client import Counter

from schemas.article import Retagged, TaggedArticle
from schemas.document import INDEX_ALIAS, STORIES_ALIAS
from schemas.reading import Refused, read_record
from schemas.story import Story
from schemas.topics import ARTICLES_DLQ, ARTICLES_RETAGGED, ARTICLES_STORIES, ARTICLES_TAGGED, MAX_INNER_BYTES
from services.indexer.core import to_document, with_entities, with_story
from services.indexer.elasticsearch_index import ElasticsearchIndex
from services.indexer.index import DocumentIndex, Forbidden, Outcome, TooLarge, Unavailable, Verdict, Write
from services.indexer.settings import IndexerSettings
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

DOCUMENTS = Counter("newsflow_documents", "Documents by verdict", ["verdict"])
STORIES = Counter("newsflow_stories", "Stories of articles by verdict", ["verdict"])
PARTIAL = Counter("newsflow_partial_documents", "Documents made before their copies had been looked for")


@dataclass(frozen=True)
class Pending:
    """A record in hand, what is in it, and the document that is to be written for it, once that is known."""

    record: Any
    content: TaggedArticle | Story | Retagged
    document: Write | None = None

    @property
    def write(self) -> Write:
        """The document; raises `ValueError` as long as there is none."""
        if self.document is None:
            raise ValueError("the record has no document yet")
        return self.document


class Indexer:
    """One indexer process."""

    def __init__(self, settings: IndexerSettings, index: DocumentIndex, stories: DocumentIndex) -> None:
        self.settings = settings
        self.index = index
        self.stories = stories
        self.health = Health(STAGE)
        self.stopping = False
        self.group = settings.name(STAGE)
        self.topics = {
            settings.name(topic.name): topic for topic in (ARTICLES_TAGGED, ARTICLES_STORIES, ARTICLES_RETAGGED)
        }
        self.partitions = Partitions()
        self.consumer = group_consumer(
            settings,
            self.group,
            settings.bulk_records,
            # Equal numbers of both topics to one process: who has an article has its story.
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
            for topic in self.topics
        ]

    def run(self) -> None:
        """Work until told to stop. What is in hand then is written and committed, or left for the next start."""
        subscribe(self.consumer, self.topics, self.partitions)
        for watchdog in self.watchdogs:
            watchdog.start()
        self.health.green("start")
        while not self.stopping:
            records = self._fetch()
            if records:
                for watchdog in self.watchdogs:
                    watchdog.batch_begins()
                self._settle(records)
        self.consumer.close(autocommit=False)
        self.producer.close()

    def _fetch(self) -> list[Any]:
        """Records for one bulk: none after half a second without any, else as many as come while it fills."""
        self.partitions.gone.clear()
        records: list[Any] = []
        end: float | None = None
        while not self.stopping and len(records) < self.settings.bulk_records:
            left = 0.5 if end is None else end - time.monotonic()
            if left <= 0:
                break
            missing = self.settings.bulk_records - len(records)
            polled = poll(self.consumer, left, missing)
            records += [record for found in polled.values() for record in found]
            if not records:
                break
            end = end or time.monotonic() + self.settings.bulk_wait_seconds
        return records

    def leave(self, status: int, why: str) -> NoReturn:
        """Stop at once; nothing in hand is committed."""
        log.critical("leaving, nothing in hand is committed", reason=why)
        logging.shutdown()
        os._exit(status)

    def _settle(self, records: Sequence[Any]) -> None:
        """Bring every record to its end, then commit; without a commit when told to stop before that."""
        RECORDS.labels(STAGE).inc(len(records))
        pending = [item for record in records if (item := self._prepare(record))]
        tries = 0
        while pending and not self.stopping:
            left, reason = self._bring_in(pending)
            progress = len(left) < len(pending)
            pending = left
            if pending:
                tries = 0 if progress else tries + 1
                self.health.red("elasticsearch", reason or "Elasticsearch is busy or blocked")
                self._wait(min(self.settings.backoff_max_seconds, 0.2 * 2 ** min(tries, 16)))
                pending = [item for item in pending if _place(item.record) not in self.partitions.gone]
        gone = self.partitions.gone & self.consumer.assignment()
        for place in gone:
            # A rebalance gave the partition back, or has not yet taken it. The client keeps its position then,
            # behind records that are neither committed nor in hand any more: they are read again.
            offsets = [record.offset for record in records if _place(record) == place]
            if offsets:
                self.consumer.seek(place, min(offsets))
        if not pending:
            self.health.green("elasticsearch")
            done = [record for record in records if _place(record) not in self.partitions.gone]
            commit(self.consumer, {_place(record): record.offset + 1 for record in done})

    def _prepare(self, record: Any) -> Pending | None:
        try:
            return Pending(record, read_record(self.topics[record.topic], record.value))
        except Refused as refused:
            self._dead_letter(record, refused.reason, refused.error)
        except Exception as error:  # noqa: BLE001 - whatever one record holds, its neighbours go on
            self._dead_letter(record, "failed", f"{type(error).__name__}: {error}")
        return None

    def _bring_in(self, pending: Sequence[Pending]) -> tuple[list[Pending], str]:
        """One try; returns what is left, and why if the index as a whole takes nothing.

        Stories come first, and with them the documents that are there; then the articles, each with its story; then
        other entities of articles that are there.
        """
        told = {each.content.id: each for each in pending if isinstance(each.content, Story)}
        retagged = {each.content.id: each for each in pending if isinstance(each.content, Retagged)}
        articles = self._latest(each for each in pending if isinstance(each.content, TaggedArticle))
        try:
            left, reason = self._write_all(self.stories, [_story_document(each) for each in told.values()])
            if reason:
                return [*left, *articles, *retagged.values()], reason
            kept = [each for name, each in told.items() if name not in {one.content.id for one in left}]
            more, reason = self._write_all(self.index, self._retold(kept))
            left += more
            if reason:
                return [*left, *articles, *retagged.values()], reason
            more, reason = self._write_all(self.index, self._documents(articles))
            left += more
            if reason:
                return [*left, *retagged.values()], reason
            more, reason = self._write_all(self.index, self._with_entities(list(retagged.values())))
            return [*left, *more], reason
        except Unavailable as error:
            return list(pending), f"Elasticsearch does not answer: {error}"
        except Forbidden as error:
            self._forbidden(error)

    def _latest(self, articles: Iterable[Pending]) -> list[Pending]:
        """Of each article the highest revision, of that the last record: tried again, another could come last."""
        latest: dict[str, Pending] = {}
        for each in articles:
            other = latest.get(each.content.id)
            if other is not None:
                DOCUMENTS.labels(Verdict.SUPERSEDED.value).inc()
            if other is None or _revision(each) >= _revision(other):
                latest[each.content.id] = each
        return list(latest.values())

    def _retold(self, told: Sequence[Pending]) -> list[Pending]:
        """The documents, where they are there, that have another story than the one that is kept now."""
        if not told:
            return []
        names = [each.content.id for each in told]
        stories, documents = self._kept_stories(names), self.index.read(names)
        found = []
        for each in told:
            name = each.content.id
            if name not in stories or name not in documents:
                continue
            document = documents[name]
            if source := with_story(document.source, stories[name]):
                text = json.dumps(source, ensure_ascii=False).encode()
                found.append(replace(each, document=Write(name, document.revision, text)))
        return found

    def _with_entities(self, retagged: Sequence[Pending]) -> list[Pending]:
        """The documents with these entities, where they are there with the text that these were found in."""
        documents = self.index.read([each.content.id for each in retagged]) if retagged else {}
        found = []
        for each in retagged:
            document = documents.get(each.content.id)
            source = None
            if document and isinstance(each.content, Retagged):
                source = with_entities(document.source, each.content)
            if document and source:
                text = json.dumps(source, ensure_ascii=False).encode()
                found.append(replace(each, document=Write(each.content.id, document.revision, text)))
            else:
                DOCUMENTS.labels(Verdict.SUPERSEDED.value).inc()
        return found

    def _documents(self, articles: Sequence[Pending]) -> list[Pending]:
        """The articles as documents, each with the story that is kept."""
        if not articles:
            return []
        stories = self._kept_stories([each.content.id for each in articles])
        found = []
        for each in articles:
            try:
                if not isinstance(each.content, TaggedArticle):
                    raise TypeError("no article")
                document = to_document(each.content, datetime.now(UTC), stories.get(each.content.id))
                source = document.model_dump_json(by_alias=True, exclude_none=True).encode()
                PARTIAL.inc(document.pipeline.dedup == "partial")
            except Exception as error:  # noqa: BLE001 - whatever one record holds, its neighbours go on
                self._dead_letter(each.record, "failed", f"{type(error).__name__}: {error}")
                continue
            found.append(replace(each, document=Write(document.id, document.revision, source)))
        return found

    def _kept_stories(self, names: Sequence[str]) -> dict[str, Story]:
        return {name: Story(**stored.source) for name, stored in self.stories.read(names).items()}

    def _write_all(self, index: DocumentIndex, pending: Sequence[Pending]) -> tuple[list[Pending], str]:
        """Write all, in requests; returns those to be tried again, and why if the index takes nothing at all."""
        left: list[Pending] = []
        reason = ""
        for request in self._requests(pending):
            # After a request without an answer the others would only wait in vain, one after the other.
            if not reason:
                request, reason = self._write(index, request)  # noqa: PLW2901 - what is left of it
            left += request
        return left, reason

    def _requests(self, pending: Sequence[Pending]) -> Iterator[list[Pending]]:
        """The pending documents in requests of at most `bulk_bytes`, in order."""
        request: list[Pending] = []
        size = 0
        for item in pending:
            if request and size + len(item.write.source) > self.settings.bulk_bytes:
                yield request
                request, size = [], 0
            request.append(item)
            size += len(item.write.source)
        if request:
            yield request

    def _write(self, index: DocumentIndex, request: list[Pending]) -> tuple[list[Pending], str]:
        """Write one request; returns those to be tried again, and why if the index as a whole takes nothing."""
        try:
            outcomes = index.write([item.write for item in request])
        except Unavailable as error:
            return request, f"Elasticsearch does not take documents: {error}"
        except TooLarge as error:
            if len(request) == 1:
                outcomes = [Outcome(Verdict.REFUSED, str(error))]
            else:
                half = len(request) // 2
                left, reason = self._write(index, request[:half])
                right, other = self._write(index, request[half:]) if not reason else (request[half:], reason)
                return left + right, other
        except Forbidden as error:
            self._forbidden(error)
        again = []
        for item, outcome in zip(request, outcomes, strict=True):
            if outcome.verdict is Verdict.AGAIN:
                again.append(item)
                continue
            if outcome.verdict is Verdict.REFUSED:
                self._dead_letter(item.record, "refused_by_index", outcome.error)
            (DOCUMENTS if index is self.index else STORIES).labels(outcome.verdict.value).inc()
            self._record_done()
        return again, ""

    def _forbidden(self, error: Forbidden) -> NoReturn:
        self.leave(EXIT_FORBIDDEN, f"Elasticsearch refuses us: {error}; check ELASTICSEARCH_API_KEY and its role")

    def _record_done(self) -> None:
        for watchdog in self.watchdogs:
            watchdog.record_done()

    def _wait(self, seconds: float) -> None:
        """Wait with every partition paused and the group membership kept."""
        log.warning("waiting for Elasticsearch", seconds=round(seconds, 1), reason=self.health.reason)
        end = time.monotonic() + seconds * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, no secret
        while not self.stopping and time.monotonic() < end:
            self.consumer.pause(*self.consumer.assignment())
            # A partition that a rebalance has just given us may bring records in this very poll: it is read
            # again from its last commit.
            for place, polled in poll(self.consumer, 0.2, self.settings.bulk_records).items():
                self.consumer.seek(place, polled[0].offset)
            self._record_done()
        self.consumer.resume(*self.consumer.paused())

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
                answer_seconds=30,
                limit_seconds=self.settings.deliver_limit_seconds,
            )
        except Exception as failure:  # noqa: BLE001 - whatever it is, time is up
            self.leave(EXIT_UNDELIVERABLE, f"no dead letter could be written: {type(failure).__name__}: {failure}")


def _revision(pending: Pending) -> int:
    return pending.content.revision if isinstance(pending.content, TaggedArticle) else 0


def _story_document(told: Pending) -> Pending:
    """The story as it is kept. Of two records of an article the later one wins, by Kafka's own clock."""
    source = told.content.model_dump_json().encode()
    return replace(told, document=Write(told.content.id, told.record.timestamp, source))


def _place(record: Any) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


def main(settings: IndexerSettings | None = None) -> None:
    """Run one indexer process, with the settings from the environment if none are given."""
    settings = settings or load_settings(IndexerSettings)
    set_up_logging(settings.log_level, settings.log_format, STAGE)
    check_codecs(kafka.codec, "kafka-python")
    client = settings.connect()
    index, stories = (
        ElasticsearchIndex(client, settings.name(alias), settings.bulk_timeout_seconds)
        for alias in (INDEX_ALIAS, STORIES_ALIAS)
    )
    indexer = Indexer(settings, index, stories)
    serve_health(indexer.health, settings.health_host, settings.health_port)

    def stop(*_: object) -> None:
        indexer.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    indexer.run()
