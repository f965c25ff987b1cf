"""The indexer against the client's own `helpers.parallel_bulk`: the same documents, server and cores, in one run.

The indexer is a process of its own between the real Kafka and the real Elasticsearch, its records on the topic
before it starts: it reads them, looks for stories and earlier versions, makes the documents and judges each.
`parallel_bulk` has the finished documents in memory, and judges nothing but whether each item went well; once as it
comes (4 threads, 500 documents a request), once with the indexer's own number of threads. Each is timed by
Elasticsearch's own count of documents, from the first tenth to the last of them, in turn and each several times,
since no absolute figure of a shared machine means anything.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count as counting
from pathlib import Path
from threading import Thread
from typing import Any

from elasticsearch import Elasticsearch, helpers

from schemas.article import Entity, Label, Mention, Paragraph, Place, RawArticle, TaggedArticle
from schemas.document import INDEX_ALIAS
from schemas.identity import article_id
from schemas.reading import write_record
from schemas.topics import ARTICLES_TAGGED
from services.embedded.ports import choose_ports
from services.embedded.servers import ElasticsearchServer, KafkaServer
from services.indexer.core import to_document
from services.indexer.settings import IndexerSettings
from tests.bench.pipeline import load_articles
from tests.live.harness import Pipeline

LOOK_SECONDS = 0.02

MAX_DISTINCT_TEXTS = 2000
"""Texts loaded at most; larger runs repeat them."""


def articles(bodies: list[str], count: int) -> list[TaggedArticle]:
    """Tagged articles as the pipeline makes them, with some entities and a mention in each paragraph.

    Their ids are as the pipeline makes them too: one by one rising, the index would find each at once to be new.
    """
    start = datetime(2026, 3, 1, tzinfo=UTC)
    found = []
    for number in range(count):
        parts = bodies[number % len(bodies)].split("\n\n")
        mentions = []
        at = 0
        for part in parts:
            word = part.split()[0]
            mentions.append(Mention(text=word, start=at, end=at + len(word), label=Label.PERSON, entity_id=word))
            at += len(part) + 2
        found.append(
            TaggedArticle(
                id=article_id(RawArticle(publisher="bench.example", id=str(number), body="x")),
                revision=1,
                received=start + timedelta(seconds=number),
                published=start + timedelta(seconds=number),
                publisher=f"p{number % 7}.example",
                headline=f"{bodies[number % len(bodies)][:60]} {number}",
                language="en",
                language_confidence=1,
                versions={"cleaner": "1", "deduper": "1", "tagger": "1", "model": "bench"},
                kept=tuple(Paragraph(index=index, text=text) for index, text in enumerate(parts)),
                people=tuple(Entity(id=f"p{n}", name=f"Person {n} {number % 100}", count=1) for n in range(3)),
                organisations=tuple(
                    Entity(id=f"o{n}", name=f"Company {n} {number % 50}", count=1) for n in range(3)
                ),
                places=tuple(Place(id=f"l{n}", name=f"Place {n} {number % 20}", count=1) for n in range(2)),
                mentions=tuple(mentions),
            )
        )
    return found


def rate(client: Elasticsearch, index: str, count: int, work: Callable[[], Any]) -> float:
    """Documents a second that come into `index` while `work` runs, from the first tenth to the last of `count`."""

    def there() -> int:
        stats = client.indices.stats(index=index, metric="indexing")
        total: int = stats["_all"]["primaries"]["indexing"]["index_total"]
        return total

    thread = Thread(target=work)
    thread.start()
    first = 0
    while (first := there()) < count // 10:
        time.sleep(LOOK_SECONDS)
    began = time.perf_counter()
    while there() < count:
        time.sleep(LOOK_SECONDS)
    seconds = time.perf_counter() - began
    thread.join()
    return (count - first) / seconds


def by_helper(servers: tuple[str, str], folder: Path, found: list[TaggedArticle], **options: Any) -> float:
    """`parallel_bulk` into an index of the shipped template."""
    pipeline = new_pipeline(servers, folder)
    alias = pipeline.name(INDEX_ALIAS)
    now = datetime.now(UTC)
    documents = [
        {
            "_index": alias,
            "_id": each.id,
            "_version": each.revision,
            "version_type": "external_gte",
            "_source": to_document(each, now).model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        for each in found
    ]

    def work() -> None:
        with Elasticsearch(pipeline.elasticsearch) as client:
            for ok, item in helpers.parallel_bulk(client, documents, **options):
                assert ok, item

    with Elasticsearch(pipeline.elasticsearch) as client:
        measured = rate(client, alias, len(found), work)
        client.indices.delete(index=next(iter(client.indices.get_alias(name=alias))))
    return measured


def by_indexer(servers: tuple[str, str], folder: Path, found: list[TaggedArticle]) -> float:
    """One indexer process, with its own settings."""
    pipeline = new_pipeline(servers, folder)
    alias = pipeline.name(INDEX_ALIAS)
    values = [write_record(each) for each in found]
    pipeline.send(values, topic=ARTICLES_TAGGED.name, keys=[each.id.encode() for each in found])
    with Elasticsearch(pipeline.elasticsearch) as client:
        measured = rate(client, alias, len(found), lambda: pipeline.start("indexer", wait=False))
        pipeline.wait_idle(60, groups=["indexer"])
        client.indices.refresh(index=alias)
        assert client.count(index=alias)["count"] == len(found)
        pipeline.stop()
        client.indices.delete(index=next(iter(client.indices.get_alias(name=alias))))
    return measured


_numbers = counting()


def new_pipeline(servers: tuple[str, str], folder: Path) -> Pipeline:
    """Topics and an index of its own."""
    prefix = f"bench{next(_numbers)}-"
    (folder / prefix).mkdir()
    pipeline = Pipeline(*servers, prefix, folder / prefix)
    pipeline.set_up()
    return pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", type=int, default=12_000, help="articles (default 12000)")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    texts = load_articles(min(arguments.size, MAX_DISTINCT_TEXTS))
    print(texts.source, flush=True)
    found = articles(texts.contents, arguments.size)
    size = sum(len(write_record(each)) for each in found) / len(found)
    threads = IndexerSettings.model_fields["bulk_in_flight"].default
    print(f"{len(found)} articles of {size:.0f} bytes as records")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ports = choose_ports(["kafka", "controller", "elasticsearch", "transport"], {})
        kafka = KafkaServer(folder / "kafka", ports["kafka"], ports["controller"])
        elasticsearch = ElasticsearchServer(folder / "elasticsearch", ports["elasticsearch"], ports["transport"])
        try:
            kafka.start()
            elasticsearch.start()
            servers = (kafka.address, elasticsearch.address)
            by_helper(servers, folder, found[: len(found) // 3])  # the server's own compiler has seen the work
            ours = f"parallel_bulk, {threads} threads"
            rates: dict[str, list[float]] = {"parallel_bulk": [], ours: [], "indexer": []}
            for _ in range(arguments.rounds):
                rates["parallel_bulk"].append(by_helper(servers, folder, found))
                rates["indexer"].append(by_indexer(servers, folder, found))
                rates[ours].append(by_helper(servers, folder, found, thread_count=threads))
        finally:
            kafka.stop()
            elasticsearch.stop()
    best = statistics.median(rates["parallel_bulk"])
    for way, measured in rates.items():
        each = " ".join(f"{one:.0f}" for one in measured)
        print(f"{way:28} {each} documents/s, ratio {statistics.median(measured) / best:.2f}")


if __name__ == "__main__":
    main()
