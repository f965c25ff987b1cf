"""Migrations and rebuilds of an index in the test's own process, and what the indices hold then."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from schemas.document import INDEX_ALIAS
from services.indexer import copying, migration
from services.indexer.copying import connected
from services.indexer.core import to_document
from services.indexer.migration import MigrationSettings, Work
from tests.live.harness import Pipeline
from tests.unit.indexer.articles import tagged

Hook = Callable[[str, int], None]

SMALL = 64 * 1024
"""Bytes of a bulk, so that a few documents make many."""


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests without load: no write is in flight that a migration would have to wait for."""
    monkeypatch.setattr(copying, "LOOKS", (0.05, 0.05))
    monkeypatch.setattr(copying, "PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(migration, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(migration, "SETTLE_SECONDS", 0.0)


def working(pipeline: Pipeline, url: str | None = None, hook: Hook = lambda *_: None, **settings: Any) -> Work:
    """The work as a verb does it; `hook` gets the phase and how many documents it has done."""
    given: dict[str, Any] = {"migration_grace_seconds": 0, "migration_bulk_bytes": SMALL} | settings
    return Work(
        connected(Elasticsearch(url or pipeline.elasticsearch)),
        MigrationSettings(
            kafka_bootstrap_servers=pipeline.kafka,
            elasticsearch_url=url or pipeline.elasticsearch,
            newsflow_prefix=pipeline.prefix,
            **given,
        ),
        lambda what, done, _: hook(what, done),
    )


def source(name: str, text: str = "A text.", revision: int = 1) -> dict[str, Any]:
    document = to_document(tagged(name, text, revision), datetime(2026, 1, 1, tzinfo=UTC))
    found: dict[str, Any] = json.loads(document.model_dump_json(by_alias=True, exclude_none=True))
    return found


def put(client: Elasticsearch, index: str, *documents: dict[str, Any]) -> None:
    """Write without an indexer, into an index or through an alias."""
    operations: list[dict[str, Any]] = []
    for document in documents:
        action = {"_id": document["id"], "version": document["revision"], "version_type": "external_gte"}
        operations += ({"index": action}, document)
    answer = client.bulk(operations=operations, index=index, refresh=True)
    assert not answer["errors"], answer


def fill(client: Elasticsearch, pipeline: Pipeline, count: int = 300) -> list[str]:
    names = [f"article-{number:04}" for number in range(count)]
    put(client, pipeline.name(INDEX_ALIAS), *[source(name, f"Text of {name}. " * 20) for name in names])
    return names


def behind(client: Elasticsearch, alias: str) -> str:
    (index,) = client.indices.get_alias(name=alias)
    return index


def stored(client: Elasticsearch, index: str) -> dict[str, tuple[int, Any]]:
    """Every document of a concrete index with its version, read in one piece."""
    client.indices.refresh(index=index)
    hits = client.search(index=index, size=10_000, version=True)["hits"]["hits"]
    assert client.count(index=index)["count"] == len(hits) < 10_000
    return {hit["_id"]: (hit["_version"], hit["_source"]) for hit in hits}


def once(do: Callable[[], None], what: str = "copy") -> Hook:
    """Calls `do` the first time that the phase is `what`."""
    phases: list[str] = []

    def hook(now: str, _: int) -> None:
        if now == what and not phases:
            phases.append(now)
            do()

    return hook


def newsflow(pipeline: Pipeline, *words: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    name = f"newsflow-{words[-1].strip('-')}"
    pipeline.start(
        name, module=" ".join(("services.cli", *words)), wait=False, ELASTICSEARCH_URL=url or pipeline.elasticsearch
    )
    status = pipeline.wait_exit(name, 120)
    return subprocess.CompletedProcess(words, status, pipeline.log(name))
