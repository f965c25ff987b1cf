"""What the indexer does with records: each brought into the index, or to a word on why it cannot be.

Articles and stories are joined in the index: a story is kept in an index of its own, and the article's document,
where it is there already, is written again with it; an article is written with the story that is kept. Other
entities of an article that is there, from `newsflow retag`, are written into its document. A retraction leaves a
trace in the article's place, which keeps its late copies out. Open dead letters have an index of their own.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import structlog
from prometheus_client import Counter

from schemas.article import Retagged, TaggedArticle
from schemas.dead_letter import original_timestamp_ms
from schemas.document import ArticleDocument
from schemas.reading import Refused, read_record
from schemas.retraction import Retraction
from schemas.story import Story
from schemas.topics import (
    ARTICLES_DLQ,
    ARTICLES_RETAGGED,
    ARTICLES_RETRACTED,
    ARTICLES_STORIES,
    ARTICLES_TAGGED,
    Topic,
)
from services.indexer.core import Keep, correct, is_expired, retract, to_document, with_entities, with_story
from services.indexer.dead_letters import MAX_ID_BYTES, Closed, Open, read_queue_record
from services.indexer.index import DocumentIndex, Outcome, Stored, TooLarge, Unavailable, Verdict, Write
from services.indexer.settings import IndexerSettings
from services.indexer.sharing import in_requests

log = structlog.get_logger(__name__)

TOPICS = (ARTICLES_TAGGED, ARTICLES_STORIES, ARTICLES_RETAGGED, ARTICLES_RETRACTED, ARTICLES_DLQ)
"""What the indexer reads."""

DOCUMENTS = Counter("newsflow_documents", "Documents by verdict", ["verdict"])
STORIES = Counter("newsflow_stories", "Stories of articles by verdict", ["verdict"])
PARTIAL = Counter("newsflow_partial_documents", "Documents made before their copies had been looked for")


@dataclass(frozen=True)
class Pending:
    """A record in hand, what is in it, and the document that is to be written for it, once that is known."""

    record: Any
    content: TaggedArticle | Story | Retagged | Retraction | Open | Closed
    document: Write | None = None

    @property
    def id(self) -> str:
        """Of the article, or of the dead letter."""
        return self.content.document.id if isinstance(self.content, Open) else self.content.id

    @property
    def write(self) -> Write:
        """The document; raises `ValueError` as long as there is none."""
        if self.document is None:
            raise ValueError("the record has no document yet")
        return self.document


@dataclass
class Tried:
    """What became of documents that were written: to be tried again, there (or something newer), never to be."""

    left: list[Pending] = field(default_factory=list)
    there: list[Pending] = field(default_factory=list)
    refused: list[Pending] = field(default_factory=list)
    reason: str = ""
    """Why the index as a whole takes nothing, where that is so."""


class Writing:
    """Brings records into the indices, one try at a time; several threads may, each with articles of its own."""

    def __init__(
        self,
        settings: IndexerSettings,
        index: DocumentIndex,
        stories: DocumentIndex,
        dead_letters: DocumentIndex,
        refused: Callable[[Any, str, str], None],
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """`refused` is given a record that will never be in the index, the reason in a word, and the error; `done`
        is told when there were verdicts."""
        self.settings = settings
        self.index, self.stories, self.dead_letters = index, stories, dead_letters
        self.refused, self.done = refused, done
        self.keep = Keep(settings.history_versions, settings.history_bytes)
        self.topics = {settings.name(topic.name): topic for topic in TOPICS}

    def prepare(self, record: Any) -> Pending | None:
        """The record with what is in it; None where there is nothing to write."""
        try:
            return self._read(self.topics[record.topic], record)
        except Refused as refused:
            self.refused(record, refused.reason, refused.error)
        except Exception as error:  # noqa: BLE001 - whatever one record holds, its neighbours go on
            self.refused(record, "failed", f"{type(error).__name__}: {error}")
        return None

    def _read(self, topic: Topic, record: Any) -> Pending | None:
        if topic is not ARTICLES_DLQ:
            content = read_record(topic, record.value)
            if not 0 < len(content.id.encode()) <= MAX_ID_BYTES:
                # Elasticsearch would refuse the whole request for it.
                raise Refused("invalid_record", f"id: must have 1 to {MAX_ID_BYTES} bytes")
            return Pending(record, content)
        letter = read_queue_record(record.headers, record.key, record.value)
        return None if letter is None else Pending(record, letter)

    def bring_in(self, pending: Sequence[Pending]) -> tuple[list[Pending], str]:
        """One try; returns what is left, and why if the index as a whole takes nothing. Raises `Forbidden`.

        Retractions come first, so that nothing comes in that they keep out; then stories, and with them the
        documents that are there; then the articles, each with its story; then other entities of those there.
        """
        steps = (
            (Retraction, self._retractions),
            (Story, self._tellings),
            (TaggedArticle, self._articles),
            (Retagged, self._entities),
            ((Open, Closed), self._letters),
        )
        left: list[Pending] = []
        reason = ""
        for kind, step in steps:
            todo = [each for each in pending if isinstance(each.content, kind)]
            if todo and not reason:
                try:
                    todo, reason = step(todo)
                except Unavailable as error:
                    # Only reading raises this, before anything of the step had its verdict.
                    reason = f"Elasticsearch does not answer: {error}"
            left += todo
        return left, reason

    # ---------------------------------------------------------------- each kind of record

    def _retractions(self, pending: Sequence[Pending]) -> tuple[list[Pending], str]:
        """What is left of the articles, in their place, and no story of them."""
        present = {name: stored.source for name, stored in self._read_documents(pending).items()}
        traces: dict[str, Pending] = {}
        for each in pending:
            trace = retract(present.get(each.id), each.content) if isinstance(each.content, Retraction) else None
            if trace is None or each.id in traces:
                self._count(Verdict.SUPERSEDED)
            if trace is not None:
                present[each.id] = trace
                source = json.dumps(trace, ensure_ascii=False).encode()
                traces[each.id] = replace(each, document=Write(each.id, trace["revision"], source))
        tried = self._write_all(self.index, list(traces.values()))
        if tried.reason:
            return [*tried.left, *tried.there], tried.reason
        # Also where the trace was there already: we may have been ended before this.
        waits = {each.id for each in [*tried.left, *tried.refused]}
        out = {each.id: each for each in pending if "retracted" in present.get(each.id, {})}
        gone = [
            replace(each, document=Write(name, _kafka_time(each.record), None))
            for name, each in out.items()
            if name not in waits
        ]
        untold = self._write_all(self.stories, gone)
        return [*tried.left, *untold.left], untold.reason

    def _tellings(self, pending: Sequence[Pending]) -> tuple[list[Pending], str]:
        """Stories, and the documents that are there with another story than the one that is kept now."""
        last = {each.id: each for each in pending}
        tried = self._write_all(self.stories, [_story_document(each) for each in last.values()])
        if tried.reason:
            return [*tried.left, *tried.there], tried.reason
        try:
            stories, documents = self._kept_stories(tried.there), self._read_documents(tried.there)
        except Unavailable as error:
            return [*tried.left, *tried.there], f"Elasticsearch does not answer: {error}"
        retold = []
        for each in tried.there:
            if each.id not in stories or each.id not in documents:
                continue
            document = documents[each.id]
            if source := with_story(document.source, stories[each.id]):
                text = json.dumps(source, ensure_ascii=False).encode()
                retold.append(replace(each, document=Write(each.id, document.revision, text)))
        again = self._write_all(self.index, retold)
        return [*tried.left, *again.left], again.reason

    def _articles(self, pending: Sequence[Pending]) -> tuple[list[Pending], str]:
        """The articles as documents, each with the story that is kept and with what it said before."""
        stories, present = self._kept_stories(pending), self._read_documents(pending)
        now = datetime.now(UTC)
        coming: dict[str, list[tuple[Pending, ArticleDocument]]] = {}
        for each in pending:
            try:
                if not isinstance(each.content, TaggedArticle):
                    raise TypeError("no article")
                document = to_document(each.content, now, stories.get(each.id))
            except Exception as error:  # noqa: BLE001 - whatever one record holds, its neighbours go on
                self.refused(each.record, "failed", f"{type(error).__name__}: {error}")
                continue
            if is_expired(document, now, self.settings.retention):
                self._count(Verdict.EXPIRED)
                continue
            coming.setdefault(each.id, []).append((each, document))
        documents = []
        for name, records in coming.items():
            stored = present[name].source if name in present else None
            corrected = correct(stored, [document for _, document in records], self.keep)
            if corrected is None:
                out = stored is not None and "retracted" in stored
                self._count(Verdict.RETRACTED if out else Verdict.SUPERSEDED, len(records))
                continue
            newest, document = max(records, key=lambda each: each[1].revision)
            PARTIAL.inc(corrected.incoming and document.pipeline.dedup == "partial")
            documents.append(replace(newest, document=Write(name, corrected.revision, corrected.source)))
        tried = self._write_all(self.index, documents)
        # One document stands for all records of its article: they are tried again together. Where it is refused, an
        # earlier one of them may still be taken.
        left = [each for one in tried.left for each, _ in coming[one.id]]
        left += [each for one in tried.refused for each, _ in coming[one.id] if each.record is not one.record]
        self._count(Verdict.SUPERSEDED, sum(len(coming[one.id]) - 1 for one in tried.there))
        return left, tried.reason

    def _entities(self, pending: Sequence[Pending]) -> tuple[list[Pending], str]:
        """The documents with these entities, where they are there with the text that these were found in."""
        documents = self._read_documents(pending)
        found: dict[str, Pending] = {}
        for each in pending:
            document = documents.get(each.id)
            source = None
            if document and isinstance(each.content, Retagged):
                source = with_entities(document.source, each.content)
            if document and source:
                text = json.dumps(source, ensure_ascii=False).encode()
                found[each.id] = replace(each, document=Write(each.id, document.revision, text))
            else:
                self._count(Verdict.SUPERSEDED)
        tried = self._write_all(self.index, list(found.values()))
        return tried.left, tried.reason

    def _letters(self, pending: Sequence[Pending]) -> tuple[list[Pending], str]:
        """The open dead letters as they are now: one that was closed is shown no more."""
        last = {each.id: each for each in pending}
        documents = []
        for each in last.values():
            content, source = each.content, None
            if isinstance(content, Open):
                source = content.document.model_dump_json(by_alias=True, exclude_none=True).encode()
            # The offset tells which record of a dead letter is the later one.
            documents.append(replace(each, document=Write(each.id, each.record.offset, source)))
        tried = self._write_all(self.dead_letters, documents)
        return tried.left, tried.reason

    def _read_documents(self, pending: Iterable[Pending]) -> dict[str, Stored]:
        return self.index.read(list({each.id: None for each in pending}))

    def _kept_stories(self, pending: Iterable[Pending]) -> dict[str, Story]:
        found = self.stories.read(list({each.id: None for each in pending}))
        return {name: Story(**stored.source) for name, stored in found.items()}

    # ---------------------------------------------------------------- requests and verdicts

    def _write_all(self, index: DocumentIndex, pending: Sequence[Pending]) -> Tried:
        """Write all, in requests."""
        tried = Tried()
        for request in self._requests(pending):
            # After a request without an answer the others would only wait in vain, one after the other.
            if tried.reason:
                tried.left += request
            else:
                self._write(index, request, tried)
        return tried

    def _requests(self, pending: Sequence[Pending]) -> Iterator[list[Pending]]:
        """The pending documents in requests of at most `bulk_records` and `bulk_bytes`, in order."""
        settings = self.settings
        return in_requests(
            pending, lambda item: len(item.write.source or b""), settings.bulk_bytes, settings.bulk_records
        )

    def _write(self, index: DocumentIndex, request: list[Pending], tried: Tried) -> None:
        """Write one request, and add what became of it to `tried`."""
        try:
            outcomes = index.write([item.write for item in request])
        except Unavailable as error:
            tried.left += request
            tried.reason = f"Elasticsearch does not take documents: {error}"
            return
        except TooLarge as error:
            half = len(request) // 2
            if half:
                self._write(index, request[:half], tried)
                if tried.reason:
                    tried.left += request[half:]
                else:
                    self._write(index, request[half:], tried)
                return
            outcomes = [Outcome(Verdict.REFUSED, str(error))]
        for item, outcome in zip(request, outcomes, strict=True):
            self._judge(item, outcome, tried)
        counted = collections.Counter(each.verdict for each in outcomes if each.verdict is not Verdict.AGAIN)
        for verdict, number in counted.items():
            if index is self.index:
                self._count(verdict, number)
            elif index is self.stories:
                STORIES.labels(verdict.value).inc(number)
        if counted:
            self.done()

    def _judge(self, item: Pending, outcome: Outcome, tried: Tried) -> None:
        if outcome.verdict is Verdict.AGAIN:
            tried.left.append(item)
        elif outcome.verdict is Verdict.REFUSED:
            self.refused(item.record, "refused_by_index", outcome.error)
            tried.refused.append(item)
            self.done()
        else:
            tried.there.append(item)

    def _count(self, verdict: Verdict, number: int = 1) -> None:
        DOCUMENTS.labels(verdict.value).inc(number)


def _kafka_time(record: Any) -> int:
    """When Kafka had the record first, in ms: one that was published again is no younger for it."""
    return original_timestamp_ms(record.headers, record.timestamp)


def _story_document(told: Pending) -> Pending:
    """The story as it is kept. Of two records of an article the later one wins, by Kafka's own clock."""
    if not isinstance(told.content, Story):
        raise TypeError("no story")
    source = told.content.model_dump_json().encode()
    return replace(told, document=Write(told.id, _kafka_time(told.record), source))
