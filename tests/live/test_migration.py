"""From one index to the next on the real Elasticsearch, with the real indexer beside it where that matters."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from schemas.document import INDEX_ALIAS, INDEX_VERSION, NOT_RETRACTED, STANDBY_ALIAS
from schemas.reading import write_record
from schemas.retraction import Retraction
from schemas.topics import ARTICLES_RETRACTED, ARTICLES_TAGGED
from services.indexer import copying, migration
from services.indexer.copying import connected
from services.indexer.core import to_document
from services.indexer.index import Unavailable
from services.indexer.migration import Done, MigrationSettings, Stopped, Work, back, finish, migrate
from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request, error
from tests.live.harness import Pipeline, wait_until
from tests.live.stack import Servers
from tests.unit.indexer.articles import tagged

Hook = Callable[[str, int], None]

SMALL = 64 * 1024
"""Bytes of a bulk, so that a few documents make many."""


@pytest.fixture
def client(pipeline: Pipeline) -> Iterator[Elasticsearch]:
    with Elasticsearch(pipeline.elasticsearch) as client:
        yield client


@pytest.fixture
def proxy(servers: Servers) -> Iterator[FaultProxy]:
    proxy = FaultProxy(servers.elasticsearch)
    yield proxy
    proxy.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests without load: nothing is being written that one would have to wait for."""
    monkeypatch.setattr(copying, "LOOKS", (0.05, 0.05))
    monkeypatch.setattr(copying, "PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(migration, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(migration, "SETTLE_SECONDS", 0.0)


def working(pipeline: Pipeline, url: str | None = None, hook: Hook = lambda *_: None, **settings: Any) -> Work:
    """The work as a verb does it; `hook` is told what is done, and how much of it."""
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
    """By hand, into an index or through an alias."""
    operations: list[dict[str, Any]] = []
    for each in documents:
        action = {"_id": each["id"], "version": each["revision"], "version_type": "external_gte"}
        operations += ({"index": action}, each)
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
    """Do it the first time that `what` is told of."""
    told: list[str] = []

    def hook(now: str, _: int) -> None:
        if now == what and not told:
            told.append(now)
            do()

    return hook


# ---------------------------------------------------------------- there, back, and to the end


@pytest.mark.usefixtures("soon")
def test_there_back_there_and_finished(pipeline: Pipeline, client: Elasticsearch) -> None:
    main, standby = pipeline.name(INDEX_ALIAS), pipeline.name(STANDBY_ALIAS)
    names = fill(client, pipeline)
    gone = {"id": "gone", "revision": 7, "retracted": {"time": "2026-01-01T00:00:00Z", "by": "producer"}}
    put(client, main, gone)
    old = behind(client, main)
    before = stored(client, old)
    work = working(pipeline)
    assert migrate(work).state == "nothing to do", "it fits"
    assert not client.indices.exists_alias(name=standby)
    done = migrate(work, force=True)
    new = f"{main}-v{INDEX_VERSION}-000002"
    assert (done.state, done.main, done.standby, done.copied) == ("switched", new, old, len(names) + 1)
    assert stored(client, new) == stored(client, old) == before, "the retracted one too"
    assert client.indices.get_alias(name=main)[new]["aliases"][main] == {
        "filter": NOT_RETRACTED,
        "is_write_index": True,
    }
    assert client.count(index=main)["count"] == len(names)
    meta = client.indices.get_mapping(index=new)[new]["mappings"]["_meta"]
    assert meta["version"] == INDEX_VERSION, "what else it says stays"
    assert migrate(work).state == "switched before"
    assert back(work).state == "switched back"
    assert (behind(client, main), behind(client, standby)) == (old, new)
    assert back(work).state == "not switched"
    again = migrate(work)
    assert (again.state, again.main, again.copied) == ("switched", new, 0), "all is there, nothing is copied again"
    assert finish(work, work.standing()).state == "finished"
    assert not client.indices.exists(index=old)
    assert not client.indices.exists_alias(name=standby)
    assert stored(client, new) == before
    assert finish(work, work.standing()).state == "nothing to finish"
    assert migrate(work, force=True).main == f"{main}-v{INDEX_VERSION}-000003"


@pytest.mark.usefixtures("soon")
def test_an_index_of_an_older_version_is_taken_over(pipeline: Pipeline, client: Elasticsearch) -> None:
    """Its mapping does not fit: that is what all of this is for."""
    main = pipeline.name(INDEX_ALIAS)
    client.indices.delete(index=behind(client, main))
    old = f"{main}-v1-000001"
    client.indices.create(index=old, aliases={main: {"is_write_index": True}}, mappings={"_meta": {"version": 1}})
    names = fill(client, pipeline, 20)
    said = newsflow(pipeline, "index", "check", "--json")
    assert (said.returncode, json.loads(said.stdout.splitlines()[-1])["fits"]) == (1, False)
    done = migrate(working(pipeline))
    assert done.state == "switched"
    said = newsflow(pipeline, "index", "check")
    assert (said.returncode, "--force" in said.stdout) == (0, False)
    assert "newsflow index back" in said.stdout, "it says that there is a standby"
    assert done.main.startswith(f"{main}-v{INDEX_VERSION}-")
    assert stored(client, done.main).keys() == set(names)


@pytest.mark.usefixtures("soon")
def test_it_goes_on_where_it_was(pipeline: Pipeline, client: Elasticsearch) -> None:
    """Break: leave out the note in `Work.copy`: all is copied again."""

    class Ended(Exception):
        pass

    def end(what: str, count: int) -> None:
        if what == "copy" and count > 150:
            raise Ended

    names = fill(client, pipeline)
    with pytest.raises(Ended):
        migrate(working(pipeline, hook=end), force=True)
    assert behind(client, pipeline.name(INDEX_ALIAS)).endswith("-000001")
    counts: list[int] = []
    done = migrate(working(pipeline, hook=lambda what, count: counts.append(count) if what == "copy" else None))
    assert done.state == "switched"
    assert 0 < done.copied < 200
    assert done.copied + done.there < len(names), "it does not begin from the beginning"
    assert counts[0] > 64
    assert stored(client, done.main).keys() == set(names)


@pytest.mark.usefixtures("soon")
def test_what_is_ended_in_the_comparison_goes_on_with_that(pipeline: Pipeline, client: Elasticsearch) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    fill(client, pipeline)
    with pytest.raises(KeyboardInterrupt):
        migrate(working(pipeline, hook=once(end, "compare")), force=True)
    done = migrate(working(pipeline))
    assert (done.state, done.copied, done.there) == ("switched", 0, 0)


# ---------------------------------------------------------------- what the comparison finds


@pytest.mark.usefixtures("soon")
def test_what_differs_is_found_and_mended(pipeline: Pipeline, client: Elasticsearch) -> None:
    """Missing, older, of another content under the same version, and surplus: written by hand after the copy.

    Break: in `behind_as_copy` return False for equal versions; or leave out the deletion in `_bring_in_line`.
    """
    names = fill(client, pipeline, 60)
    main, standby = pipeline.name(INDEX_ALIAS), pipeline.name(STANDBY_ALIAS)

    def spoil() -> None:
        client.delete(index=standby, id=names[10], version=1, version_type="external_gte")
        put(client, standby, source(names[20], "Another text."))
        put(client, standby, source("surplus"))
        put(client, main, source(names[30], "Corrected.", 5))

    before = migrate(working(pipeline, hook=once(spoil)), force=True)
    assert before.state == "switched"
    first = before.rounds[0]
    assert (first.copied, first.deleted, before.rounds[-1].lasting) == (3, 1, 0)
    new = stored(client, behind(client, main))
    assert new == stored(client, behind(client, standby))
    assert new.keys() == set(names)
    assert new[names[20]][1]["body"].startswith("Text of")
    assert new[names[30]][0] == 5
    # The other way too.
    put(client, main, source("later", revision=3))
    assert back(working(pipeline)).rounds[0].copied == 1
    assert stored(client, behind(client, main))["later"][0] == 3


@pytest.mark.usefixtures("soon")
def test_a_newer_document_in_the_new_index_stays(pipeline: Pipeline, client: Elasticsearch) -> None:
    """The indexer was there before the copy."""
    names = fill(client, pipeline, 60)
    work = working(pipeline)
    standing = work.standing()
    work.begin(standing, "migrate", "copy")
    put(client, pipeline.name(STANDBY_ALIAS), source(names[3], "The indexer's."), source(names[4], "Newer.", 8))
    put(client, pipeline.name(INDEX_ALIAS), source(names[3], "The indexer's."))
    done = migrate(work)
    assert (done.copied, done.there) == (58, 2)
    new = stored(client, done.main)
    assert new[names[3]][1]["body"] == "The indexer's."
    assert new[names[4]][0] == 8


@pytest.mark.usefixtures("soon")
def test_a_document_that_the_new_mapping_refuses_stops_the_switch(
    pipeline: Pipeline, client: Elasticsearch
) -> None:
    """Break: leave out `check_refused`."""
    names = fill(client, pipeline, 30)
    main = pipeline.name(INDEX_ALIAS)
    old = behind(client, main)
    client.indices.put_mapping(index=old, properties={"colour": {"type": "keyword"}})
    put(client, main, *[source(name, revision=2) | {"colour": "red"} for name in names[5:30]])
    for _ in "copy", "compare":
        with pytest.raises(Stopped, match="refuses 25 documents"):
            migrate(working(pipeline), force=True)
    assert behind(client, main) == old
    pipeline.start("migrate", module="services.cli index migrate", wait=False, MIGRATION_GRACE_SECONDS="0")
    assert pipeline.wait_exit("migrate", 60) == 1
    told = pipeline.log("migrate")
    assert all(name in told for name in names[5:25])
    assert names[26] not in told, "20 are named"
    assert "colour" in told
    put(client, main, *[source(name, revision=3) for name in names[5:30]])
    assert migrate(working(pipeline)).state == "switched", "the documents were mended"


@pytest.mark.usefixtures("soon")
def test_an_indexer_that_does_not_write_to_both_is_noticed(pipeline: Pipeline, client: Elasticsearch) -> None:
    fill(client, pipeline, 250)
    main = pipeline.name(INDEX_ALIAS)
    rounds: list[int] = []

    def write(what: str, count: int) -> None:
        if what == "copy" or count not in (100, 200):
            rounds.append(count)
            put(client, main, source("article-0100", revision=1 + len(rounds)))

    old = behind(client, main)
    with pytest.raises(Stopped, match="is every indexer of this version"):
        migrate(working(pipeline, hook=write), force=True)
    assert behind(client, main) == old


@pytest.mark.usefixtures("soon")
def test_what_comes_late_into_the_old_index_alone_is_not_lost(pipeline: Pipeline, client: Elasticsearch) -> None:
    """After the last comparison, before the switch; and a kill right after the switch.

    Break: leave out `_look_for_late` in `run`.
    """
    names = fill(client, pipeline, 250)
    main = pipeline.name(INDEX_ALIAS)
    ended: list[int] = []

    def write(what: str, count: int) -> None:
        if what == "compare" and count not in (100, 200):
            ended.append(count)
            put(client, main, source("late", revision=len(ended)), source(names[7], "Late.", 1 + len(ended)))

    done = migrate(working(pipeline, hook=write), force=True)
    assert (done.state, len(done.rounds), done.late) == ("switched", 1, 2)
    new = stored(client, behind(client, main))
    assert new == stored(client, done.standby or "")
    assert (new["late"][0], new[names[7]][0]) == (1, 2)
    assert back(working(pipeline, hook=write)).late == 2
    assert stored(client, behind(client, main))["late"][0] == 2

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Work, "bring_late", kill)
        with pytest.raises(Killed):
            migrate(working(pipeline, hook=write))
    assert (migrate(working(pipeline)).late, migrate(working(pipeline)).late) == (2, 0)
    assert stored(client, behind(client, main))["late"][0] == 3


# ---------------------------------------------------------------- a server that does not do as it should


def all_but_one(proxy: FaultProxy, request: Request) -> Reply:
    """As if the queue had been full for all documents of a bulk but the first."""
    lines = request.body.strip().split(b"\n")
    one = Request(request.method, request.path, b"\n".join(lines[:2]) + b"\n", request.headers)
    cause = {"type": "es_rejected_execution_exception", "reason": "queue full"}
    refused = [{"index": {"_id": "x", "status": 429, "error": cause}} for _ in lines[2::2]]
    items = [*proxy.forward(one).json["items"], *refused]
    return Reply(200, json.dumps({"errors": True, "took": 1, "items": items}).encode())


@pytest.mark.usefixtures("soon")
def test_a_server_that_is_busy_or_away_is_waited_for(
    pipeline: Pipeline, client: Elasticsearch, proxy: FaultProxy
) -> None:
    """503, no answer after it was done, items of 429, a request that is too large, a moment that was lost.

    Break: in `Target._try` take AGAIN for written; in `_Moment._try` let the error through.
    """
    names = fill(client, pipeline)
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
        answer = {f"/{pipeline.name(STANDBY_ALIAS)}/_bulk": of_bulk, "/_search": of_search}.get(where)
        return answer(request, number) if answer else None

    proxy.fault = fault
    done = migrate(working(pipeline, proxy.url), force=True)
    assert done.state == "switched"
    assert stored(client, done.main).keys() == set(names)
    assert stored(client, done.main) == stored(client, done.standby or "")
    assert done.rounds[0].lasting == 0, "the copy alone has brought all"


@pytest.mark.usefixtures("soon")
def test_patience_ends(pipeline: Pipeline, client: Elasticsearch, proxy: FaultProxy) -> None:
    fill(client, pipeline, 10)
    proxy.fault = lambda request: error(503, "busy") if request.is_bulk else None
    with pytest.raises(Unavailable):
        migrate(working(pipeline, proxy.url, migration_patience_seconds=1), force=True)
    assert behind(client, pipeline.name(INDEX_ALIAS)).endswith("-000001")


@pytest.mark.usefixtures("soon")
def test_an_index_that_was_given_up_meanwhile_does_not_come_back(
    pipeline: Pipeline, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Break: leave out `require_alias` in `Target._try`: a bulk makes it anew."""
    monkeypatch.setattr(migration, "SAVE_SECONDS", 1_000.0)
    fill(client, pipeline)
    work = working(pipeline)

    def give_up() -> None:
        finish(work, work.standing())

    with pytest.raises((copying.Gone, Stopped)):
        migrate(working(pipeline, hook=once(give_up), migration_bulk_bytes=8 * 1024), force=True)
    assert list(client.indices.get(index=f"{pipeline.name(INDEX_ALIAS)}-*")) == [
        behind(client, pipeline.name(INDEX_ALIAS))
    ]


@pytest.mark.usefixtures("soon")
def test_two_at_once_do_no_harm(pipeline: Pipeline, client: Elasticsearch) -> None:
    names = fill(client, pipeline)
    ended: list[Done | Exception] = []

    def run() -> None:
        try:
            ended.append(migrate(working(pipeline), force=True))
        except Exception as failure:  # noqa: BLE001 - told below
            ended.append(failure)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    states = [each.state if isinstance(each, Done) else repr(each) for each in ended]
    assert "switched" in states, states
    index = behind(client, pipeline.name(INDEX_ALIAS))
    assert index.endswith("-000002")
    assert stored(client, index).keys() == set(names)
    assert len(client.indices.get(index=f"{pipeline.name(INDEX_ALIAS)}-v*")) == 2


# ---------------------------------------------------------------- the verbs


def newsflow(pipeline: Pipeline, *words: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    name = f"newsflow-{words[-1].strip('-')}"
    pipeline.start(
        name, module=" ".join(("services.cli", *words)), wait=False, ELASTICSEARCH_URL=url or pipeline.elasticsearch
    )
    status = pipeline.wait_exit(name, 120)
    return subprocess.CompletedProcess(words, status, pipeline.log(name))


@pytest.mark.usefixtures("soon")
def test_finish_asks_before_it_deletes(pipeline: Pipeline, client: Elasticsearch) -> None:
    fill(client, pipeline, 5)
    old = behind(client, pipeline.name(INDEX_ALIAS))
    said = newsflow(pipeline, "index", "check")
    assert said.returncode == 0, said.stdout
    migrate(working(pipeline), force=True)
    said = newsflow(pipeline, "index", "finish")
    assert said.returncode == 2
    assert f"{old} (5 documents) was searched before" in " ".join(said.stdout.split())
    assert client.indices.exists(index=old)
    assert newsflow(pipeline, "index", "finish", "--yes").returncode == 0
    assert not client.indices.exists(index=old)


# ---------------------------------------------------------------- under load


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
        while not self._stopping.wait(0.1):
            self.number += 1
            self.revision += 1
            new = [f"new-{self.number:04}-{each}" for each in range(10)]
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

    def stop(self) -> None:
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
            while not self._stopping.wait(0.02):
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


def test_under_load_nothing_is_missing_at_any_time(
    pipeline: Pipeline, client: Elasticsearch, proxy: FaultProxy
) -> None:
    """Killed in the copy and in the comparison, called again; back, and finished.

    Break: leave out `standby=` in services/indexer/app.py.
    """
    main, standby = pipeline.name(INDEX_ALIAS), pipeline.name(STANDBY_ALIAS)
    names = [f"article-{number:04}" for number in range(2_000)]
    records = [write_record(tagged(name, "Before.")) for name in names]
    pipeline.send(records, topic=ARTICLES_TAGGED.name, keys=[name.encode() for name in names])
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    old = behind(client, main)
    client.indices.refresh(index=old)
    load = Load(pipeline, dict.fromkeys(names[1_000:], "Before."), 1)
    searcher = Searcher(pipeline.elasticsearch, main, names[:1_000])
    killed: list[str] = []

    def fault(request: Request) -> Reply | None:
        if not killed and request.is_bulk and len(proxy.bulks) == 8:
            killed.append("copy")
        elif len(killed) == 1 and b'"phase":"compare"' in request.body:
            killed.append("noted")
            proxy.requests.clear()
            return None
        elif len(killed) == 2 and sum("_search" in each.path for each in proxy.requests) == 5:
            killed.append("compare")
        else:
            return None
        pipeline.kill("migrate")
        return NO_ANSWER

    environment = {
        "ELASTICSEARCH_URL": proxy.url,
        "MIGRATION_BULK_BYTES": str(SMALL),
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
        assert pipeline.wait_exit("migrate", 120) == 0, pipeline.log("migrate")
        new = behind(client, main)
        assert (new != old, behind(client, standby)) == (True, old)
        time.sleep(2)
        load.stop()
        settled(pipeline, client, load, new, old)
        load = Load(pipeline, load.expected, 10_000)
        pipeline.start("back", module="services.cli index back", wait=False)
        assert pipeline.wait_exit("back", 120) == 0, pipeline.log("back")
        assert (behind(client, main), behind(client, standby)) == (old, new)
        time.sleep(2)
        load.stop()
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
    assert searcher.asked > 100
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
