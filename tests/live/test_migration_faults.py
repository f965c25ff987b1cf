"""Migrations of an Elasticsearch that fails, and with others in the way."""

from __future__ import annotations

import json
import threading
from collections import Counter

import pytest
from elasticsearch import Elasticsearch

from schemas.document import INDEX_ALIAS, STANDBY_ALIAS
from services.indexer import copying, migration
from services.indexer.index import Unavailable
from services.indexer.migration import Done, Stopped, finish, migrate
from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request, error
from tests.live.harness import Pipeline
from tests.live.migrating import behind, fill, once, soon, stored, working

__all__ = ["soon"]


def all_but_one(proxy: FaultProxy, request: Request) -> Reply:
    """As if the queue had been full for all documents of a bulk but the first."""
    lines = request.body.strip().split(b"\n")
    one = Request(request.method, request.path, b"\n".join(lines[:2]) + b"\n", request.headers)
    cause = {"type": "es_rejected_execution_exception", "reason": "queue full"}
    refused = [{"index": {"_id": "x", "status": 429, "error": cause}} for _ in lines[2::2]]
    items = [*proxy.forward(one).json["items"], *refused]
    return Reply(200, json.dumps({"errors": True, "took": 1, "items": items}).encode())


@pytest.mark.usefixtures("soon")
def test_unavailable_elasticsearch_is_retried(indices: Pipeline, client: Elasticsearch, proxy: FaultProxy) -> None:
    """503, no answer after it was done, items of 429, a request that is too large, a moment that was lost.

    Break: in `Target._try` take AGAIN for written; in `_Moment._try` let the error through.
    """
    names = fill(client, indices)
    counts = Counter[str]()

    def of_bulk(request: Request, number: int) -> Reply | None:
        if number == 2:
            proxy.forward(request)
        if number in (1, 2):
            return (error(503, "unavailable_shards_exception"), NO_ANSWER)[number - 1]
        if len(request.body) > 30_000:
            return error(413, "content_too_long")
        return all_but_one(proxy, request) if number % 5 == 0 else None

    def of_search(request: Request, number: int) -> Reply | None:
        if number in (3, 9):
            client.close_point_in_time(id=json.loads(request.body)["pit"]["id"])
        return error(429, "circuit_breaking_exception") if number == 5 else None

    def fault(request: Request) -> Reply | None:
        where = request.path.split("?")[0]
        number = counts[where] = counts[where] + 1
        if where == "/_aliases" and number == 1:
            proxy.forward(request)
            return NO_ANSWER
        answer = {f"/{indices.name(STANDBY_ALIAS)}/_bulk": of_bulk, "/_search": of_search}.get(where)
        return answer(request, number) if answer else None

    proxy.fault = fault
    done = migrate(working(indices, proxy.url), force=True)
    assert done.state == "switched"
    assert stored(client, done.main).keys() == set(names)
    assert stored(client, done.main) == stored(client, done.standby or "")
    assert done.rounds[0].lasting == 0, "the copy alone has brought all"


@pytest.mark.usefixtures("soon")
def test_retries_end_after_patience(indices: Pipeline, client: Elasticsearch, proxy: FaultProxy) -> None:
    fill(client, indices, 10)
    proxy.fault = lambda request: error(503, "busy") if request.is_bulk else None
    with pytest.raises(Unavailable):
        migrate(working(indices, proxy.url, migration_patience_seconds=1), force=True)
    assert behind(client, indices.name(INDEX_ALIAS)).endswith("-000001")


@pytest.mark.usefixtures("soon")
def test_deleted_standby_is_not_created_again(
    indices: Pipeline, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Break: leave out `require_alias` in `Target._try`: a bulk makes it anew."""
    monkeypatch.setattr(migration, "SAVE_SECONDS", 1_000.0)
    fill(client, indices)
    work = working(indices)

    def give_up() -> None:
        finish(work, work.standing())

    with pytest.raises((copying.Gone, Stopped)):
        migrate(working(indices, hook=once(give_up), migration_bulk_bytes=8 * 1024), force=True)
    assert list(client.indices.get(index=f"{indices.name(INDEX_ALIAS)}-*")) == [
        behind(client, indices.name(INDEX_ALIAS))
    ]


@pytest.mark.usefixtures("soon")
def test_two_migrations_at_once_switch_once(indices: Pipeline, client: Elasticsearch) -> None:
    names = fill(client, indices)
    ended: list[Done | Exception] = []

    def run() -> None:
        try:
            ended.append(migrate(working(indices), force=True))
        except Exception as failure:  # noqa: BLE001 - told below
            ended.append(failure)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    states = [each.state if isinstance(each, Done) else repr(each) for each in ended]
    assert "switched" in states, states
    index = behind(client, indices.name(INDEX_ALIAS))
    assert index.endswith("-000002")
    assert stored(client, index).keys() == set(names)
    assert len(client.indices.get(index=f"{indices.name(INDEX_ALIAS)}-v*")) == 2
