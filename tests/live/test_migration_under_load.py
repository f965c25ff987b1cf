"""A migration with the real indexer beside it, which never stops writing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from elasticsearch import Elasticsearch

from schemas.document import INDEX_ALIAS, STANDBY_ALIAS
from schemas.reading import write_record
from schemas.retraction import Retraction
from schemas.topics import ARTICLES_RETRACTED, ARTICLES_TAGGED
from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request
from tests.live.harness import Pipeline, wait_until
from tests.live.migrating import SMALL, behind, newsflow, stored
from tests.unit.indexer.articles import tagged

LOAD_SECONDS = 0.25
"""Between two rounds of the load, so that a migration outpaces it on a busy machine too."""


class Load:
    """Articles that come in all along: new ones, corrections, and retractions of some."""

    def __init__(self, pipeline: Pipeline, there: dict[str, str | None], revision: int) -> None:
        self.pipeline = pipeline
        visible = [name for name, text in there.items() if text]
        self.corrected, self.leaving = visible[::2], visible[1::2]
        self.revision = self.number = revision
        self.expected = dict(there)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(LOAD_SECONDS):
            self.number += 1
            self.revision += 1
            new = [f"new-{self.number:04}-{position}" for position in range(10)]
            corrected = self.corrected[self.number % 50 :: 50]
            text = f"Text {self.revision}."
            names = [*new, *corrected]
            self.pipeline.send(
                [write_record(tagged(name, text, self.revision)) for name in names],
                topic=ARTICLES_TAGGED.name,
                keys=[name.encode() for name in names],
            )
            self.expected |= dict.fromkeys(names, text)
            if self.leaving and self.number % 3 == 0:
                name = self.leaving.pop()
                retraction = Retraction(id=name, time=datetime.now(UTC), by="newsflow retract")
                self.pipeline.send([write_record(retraction)], topic=ARTICLES_RETRACTED.name, keys=[name.encode()])
                self.expected[name] = None

    def stop(self, after: int = 0) -> None:
        """Stop `after` so many more rounds."""
        last = self.number + after
        wait_until(lambda: self.number >= last, 60, lambda: "the load has stopped")
        self._stopping.set()
        self._thread.join(30)


class Searcher:
    """Asks all along for documents that were there before; none may be missing, and no question may fail."""

    def __init__(self, url: str, alias: str, names: list[str]) -> None:
        self.missing: list[str] = []
        self.asked = 0
        self._url, self._alias, self._names = url, alias, names
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with Elasticsearch(self._url, max_retries=0) as client:
            while not self._stopping.wait(0.1):
                try:
                    count = client.count(index=self._alias, query={"ids": {"values": self._names}})["count"]
                except Exception as failure:  # noqa: BLE001 - told below
                    self.missing.append(repr(failure))
                    continue
                self.asked += 1
                if count != len(self._names):
                    self.missing.append(f"{len(self._names) - count} missing")

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("count", "bulk_bytes"),
    [pytest.param(200, 8 * 1024, id="200"), pytest.param(2_000, SMALL, id="2000", marks=pytest.mark.slow)],
)
def test_searches_under_load_miss_no_document(
    pipeline: Pipeline, client: Elasticsearch, proxy: FaultProxy, count: int, bulk_bytes: int
) -> None:
    """Killed in the copy and in the comparison, called again; back, and finished.

    Break: leave out `standby=` in services/indexer/app.py.
    """
    main, standby = pipeline.name(INDEX_ALIAS), pipeline.name(STANDBY_ALIAS)
    names = [f"article-{number:04}" for number in range(count)]
    records = [write_record(tagged(name, "Before.")) for name in names]
    pipeline.send(records, topic=ARTICLES_TAGGED.name, keys=[name.encode() for name in names])
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    old = behind(client, main)
    client.indices.refresh(index=old)
    load = Load(pipeline, dict.fromkeys(names[count // 2 :], "Before."), 1)
    searcher = Searcher(pipeline.elasticsearch, main, names[: count // 2])
    killed: list[str] = []

    def fault(request: Request) -> Reply | None:
        if not killed and request.is_bulk and len(proxy.bulks) == 8:
            killed.append("copy")
        elif len(killed) == 1 and b'"phase":"compare"' in request.body:
            killed.append("noted")
            proxy.requests.clear()
            return None
        elif len(killed) == 2 and sum("_search" in request.path for request in proxy.requests) == 3:
            killed.append("compare")
        else:
            return None
        pipeline.kill("migrate")
        return NO_ANSWER

    environment = {
        "ELASTICSEARCH_URL": proxy.url,
        "MIGRATION_BULK_BYTES": str(bulk_bytes),
        "MIGRATION_GRACE_SECONDS": "3",
    }
    proxy.fault = fault
    try:
        for reason in (["copy"], ["copy", "noted", "compare"]):
            pipeline.start("migrate", module="services.cli index migrate --force", wait=False, **environment)
            wait_until(lambda: "migrate" not in pipeline.running, 90, pipeline.tails)
            assert killed == reason, pipeline.log("migrate")
            assert behind(client, main) == old
        pipeline.start("migrate", module="services.cli index migrate --json", wait=False, **environment)
        assert pipeline.wait_exit("migrate", 300) == 0, pipeline.log("migrate")
        new = behind(client, main)
        assert (new != old, behind(client, standby)) == (True, old)
        load.stop(after=10)
        settled(pipeline, client, load, new, old)
        load = Load(pipeline, load.expected, 10_000)
        pipeline.start("back", module="services.cli index back", wait=False)
        assert pipeline.wait_exit("back", 300) == 0, pipeline.log("back")
        assert (behind(client, main), behind(client, standby)) == (old, new)
        load.stop(after=10)
        settled(pipeline, client, load, old, new)
        assert newsflow(pipeline, "index", "finish", "--yes").returncode == 0
        assert not client.indices.exists(index=new)
        more = tagged("more")
        pipeline.send([write_record(more)], topic=ARTICLES_TAGGED.name, keys=[b"more"])
        pipeline.wait_idle(groups=["indexer"])
        assert "more" in pipeline.documents()
    finally:
        load.stop()
        searcher.stop()
    assert searcher.asked > 50
    assert searcher.missing == []
    assert pipeline.dead() == []


def settled(pipeline: Pipeline, client: Elasticsearch, load: Load, searched: str, other: str) -> None:
    """Both indices have the same documents, each as it was last sent, and what was taken out is out."""
    pipeline.wait_idle(groups=["indexer"])
    documents = stored(client, searched)
    assert documents == stored(client, other)
    bodies = {name: source.get("body") for name, (_, source) in documents.items() if name in load.expected}
    assert bodies == load.expected
    visible = {name for name, body in load.expected.items() if body}
    assert visible <= pipeline.documents().keys()
