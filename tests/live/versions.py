"""Versions of an article, its retractions, and what the index has of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError
from pydantic import BaseModel

from schemas.article import Paragraph, TaggedArticle
from schemas.document import INDEX_ALIAS, STORIES_ALIAS
from schemas.reading import write_record
from schemas.retraction import BY_PRODUCER, Retraction
from schemas.story import Story
from schemas.topics import ARTICLES_RETRACTED, ARTICLES_STORIES, ARTICLES_TAGGED, Topic
from tests.live.harness import ROOT, Pipeline

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first revision of an article was stored by Kafka."""

Record = TaggedArticle | Story | Retraction

SMALL_BULKS = {"INDEXER_BULK_RECORDS": "7", "INDEXER_BULK_WAIT_SECONDS": "0.05"}
"""Settings with which versions of an article come in several requests."""


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def version(number: int, name: str, text: str | None = None, **other: Any) -> TaggedArticle:
    """The `number`th version of an article, received a minute after the one before it."""
    received = BEGIN + timedelta(minutes=number)
    paragraphs = (text or f"Version {number} of {name} says so.\n\nIt ends here.").split("\n\n")
    fields: dict[str, Any] = {
        "id": name,
        "revision": milliseconds(received),
        "received": received,
        "publisher": "p.example",
        "headline": f"Headline {number}",
        "language": "en",
        "language_confidence": 1,
        "kept": tuple(Paragraph(index=index, text=paragraph) for index, paragraph in enumerate(paragraphs)),
    }
    return TaggedArticle(**fields | other)


def retraction(minute: float, name: str, **other: Any) -> Retraction:
    """A producer's tombstone, `minute` minutes after the beginning."""
    fields: dict[str, Any] = {"id": name, "time": BEGIN + timedelta(minutes=minute), "by": BY_PRODUCER}
    return Retraction(**fields | other)


def topic_of(record: BaseModel) -> Topic:
    return next(
        topic
        for topic in (ARTICLES_TAGGED, ARTICLES_STORIES, ARTICLES_RETRACTED)
        if topic.record is not None and isinstance(record, topic.record)
    )


def send(pipeline: Pipeline, *records: Record) -> None:
    """Each in this order, on its topic."""
    producer = pipeline.producer()
    for record in records:
        producer.send(pipeline.name(topic_of(record).name), key=record.id.encode(), value=write_record(record))
    producer.flush()
    producer.close()


def index(pipeline: Pipeline, *records: Record) -> None:
    """Each is in the index before the next one is sent."""
    for record in records:
        send(pipeline, record)
        pipeline.wait_idle(groups=["indexer"])


def visible(pipeline: Pipeline, *names: str) -> dict[str, dict[str, Any]]:
    """The documents of these ids that a search finds."""
    with Elasticsearch(pipeline.elasticsearch) as client:
        alias = pipeline.name(INDEX_ALIAS)
        client.indices.refresh(index=alias)
        hits = client.search(index=alias, query={"ids": {"values": list(names)}}, size=1000)["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in hits}


def history(pipeline: Pipeline, name: str) -> list[str]:
    """The document's headline, and those of its earlier versions."""
    document = visible(pipeline, name)[name]
    return [document["headline"], *(earlier["headline"] for earlier in document["history"])]


def stored(pipeline: Pipeline, name: str) -> dict[str, Any] | None:
    """Whatever the index has under the id, whether a search finds it or not."""
    with Elasticsearch(pipeline.elasticsearch) as client:
        try:
            source: dict[str, Any] = client.get(index=pipeline.name(INDEX_ALIAS), id=name)["_source"]
        except NotFoundError:
            return None
        return source


def whole_index(pipeline: Pipeline) -> str:
    """All that the indices of articles and stories hold, past the filter of the alias."""
    with Elasticsearch(pipeline.elasticsearch) as client:
        names = [
            index
            for alias in (INDEX_ALIAS, STORIES_ALIAS)
            for index in client.indices.get_alias(name=pipeline.name(alias))
        ]
        client.indices.refresh(index=names)
        hits = client.search(index=names, size=10_000)["hits"]["hits"]
        assert len(hits) < 10_000
        return json.dumps([hit["_source"] for hit in hits])


def command(pipeline: Pipeline, *words: str, status: int = 0) -> str:
    """The standard output of `newsflow` with these words, which exits with `status`."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ
        | {
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka,
            "ELASTICSEARCH_URL": pipeline.elasticsearch,
            "NEWSFLOW_PREFIX": pipeline.prefix,
            "COLUMNS": "300",
        },
    )
    assert done.returncode == status, done.stderr + done.stdout
    return done.stdout
