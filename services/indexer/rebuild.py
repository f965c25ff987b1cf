"""The next index filled from Kafka, with the indexer's own code: for an index that was lost, or one made anew.

The topics are read from their beginnings to where they end once the next index takes every write: what comes later,
the indexer writes there itself. Articles that Kafka no longer has are copied from the index that is searched.

Retractions are applied after the articles, so that what is left of one has its revision. And once more after the
switch: the indexer decides by the index that is searched, and where that one has lost what was taken out, it may
have let it in again, in both.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import structlog

from schemas.document import DEAD_LETTERS_ALIAS, STORIES_ALIAS
from schemas.topics import ARTICLES_RETAGGED, ARTICLES_RETRACTED, ARTICLES_STORIES, ARTICLES_TAGGED, Topic
from services.indexer.copying import PAUSE_SECONDS, Counts
from services.indexer.elasticsearch_index import ElasticsearchIndex
from services.indexer.index import DocumentIndex, Unavailable
from services.indexer.migration import (
    COPY,
    KAFKA,
    REBUILD,
    Done,
    Filling,
    Standing,
    Stopped,
    Work,
    check_refused,
    run,
)
from services.indexer.settings import IndexerSettings
from services.indexer.sharing import in_requests
from services.indexer.writing import Writing
from services.runtime.reading import read_to_end

log = structlog.get_logger(__name__)

ORDER = (ARTICLES_STORIES, ARTICLES_TAGGED, ARTICLES_RETAGGED)
"""Of reading: an article is written with its story; other entities come into the documents that are there."""


def rebuild(work: Work, indexer: IndexerSettings) -> Done:
    """A next index filled from Kafka, and from the index that is searched for what Kafka no longer has.

    `indexer` are the settings of the indexer: how many earlier versions of an article are kept, and for how long
    articles are. Raises `Stopped`, `KafkaError`, and what `copying.ask` raises. Called again, it goes on, or reads
    Kafka again where that was not read to its end.
    """

    def fill(work: Work, standing: Standing, filling: Filling, done: Done) -> None:
        index = ElasticsearchIndex(work.client, work.standby_alias, indexer.bulk_timeout_seconds)
        _Rebuilding(work, indexer, index, done).fill(standing, filling)

    done = run(work, REBUILD, KAFKA, fill, force=True)
    both = ElasticsearchIndex(
        work.client, work.main_alias, indexer.bulk_timeout_seconds, standby=work.standby_alias
    )
    _Rebuilding(work, indexer, both, done).bring_in(ARTICLES_RETRACTED)
    return done


@dataclass
class _Rebuilding:
    work: Work
    indexer: IndexerSettings
    index: DocumentIndex
    done: Done

    def __post_init__(self) -> None:
        client, timeout = self.work.client, self.indexer.bulk_timeout_seconds
        self.refused = Counts()
        self.writing = Writing(
            self.indexer,
            self.index,
            ElasticsearchIndex(client, self.work.settings.name(STORIES_ALIAS), timeout),
            ElasticsearchIndex(client, self.work.settings.name(DEAD_LETTERS_ALIAS), timeout),
            self._refuse,
        )

    def fill(self, standing: Standing, filling: Filling) -> None:
        """See `migration.Fill`."""
        if filling.phase == KAFKA:
            for topic in ORDER:
                self.done.kafka[topic.name] = self.bring_in(topic)
            filling = replace(filling, phase=COPY)
            self.work.note(standing.standby or "", filling)
        # What Kafka has is there now, so that this brings the rest. What it knows to be newer comes too.
        counts = self.work.copy(standing, filling, self.done)
        self.done.kafka[ARTICLES_RETRACTED.name] = self.bring_in(ARTICLES_RETRACTED)
        self.done.refused_records = self.refused.refused
        self.done.refused |= self.refused.named
        check_refused(counts, standing.standby or "")

    def _refuse(self, record: Any, reason: str, error: str) -> None:
        """It is a dead letter since it was read for the first time; another one would say nothing new."""
        self.refused.refuse(f"{record.topic}/{record.partition}/{record.offset}", f"{reason}: {error}")

    def bring_in(self, topic: Topic) -> int:
        """All records that are on the topic now; returns how many."""
        name = self.work.settings.name(topic.name)
        count = 0
        for records in self._batches(self._records(name)):
            self._write(records)
            count += len(records)
            self.work.told(topic.name, count, 0)
        log.info("read", topic=name, records=count)
        return count

    def _records(self, topic: str) -> Iterator[Any]:
        try:
            yield from read_to_end(self.work.settings, topic)
        except (LookupError, TimeoutError) as error:
            raise Stopped(f"{error}; call this again to go on") from error

    def _batches(self, records: Iterable[Any]) -> Iterator[list[Any]]:
        """Of at most so many records and bytes as the indexer has in one request."""
        indexer = self.indexer
        return in_requests(
            records, lambda record: len(record.value or b""), indexer.bulk_bytes, indexer.bulk_records
        )

    def _write(self, records: list[Any]) -> None:
        """Bring all to their end; raises `Unavailable` when Elasticsearch takes nothing for too long."""
        pending = [item for record in records if (item := self.writing.prepare(record))]
        patience = self.work.settings.migration_patience_seconds
        end, pause = time.monotonic() + patience, 0.5
        while pending:
            left, reason = self.writing.bring_in(pending)
            if len(left) < len(pending):
                end, pause = time.monotonic() + patience, 0.5
            elif time.monotonic() > end:
                raise Unavailable(reason or f"{len(left)} documents were not taken: the index is busy or blocked")
            pending = left
            if pending:
                log.warning("waiting for Elasticsearch", reason=reason or "the index is busy or blocked")
                pause = min(PAUSE_SECONDS, 2 * pause)
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
