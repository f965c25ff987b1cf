"""The next index: what is behind, what is read and written at once, and what the aliases say, without a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, ConnectionTimeout, HttpHeaders, NodeConfig
from elasticsearch import ApiError, NotFoundError
from hypothesis import given
from hypothesis import strategies as st

from services.indexer import copying, migration
from services.indexer.copying import (
    MOST_IN_A_PAGE,
    MOST_NAMED,
    Counts,
    Gone,
    Limits,
    Miscounted,
    Target,
    ask,
    behind_as_copy,
    behind_as_later,
    behind_as_rebuilt,
    pages,
    side_by_side,
)
from services.indexer.index import Forbidden, TooLarge, Unavailable, Write
from services.indexer.migration import (
    Done,
    Filling,
    MigrationSettings,
    Standing,
    Stopped,
    Work,
    back,
    check_refused,
    check_room,
    finish,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def document(revision: int = 1, name: str = "a", **fields: Any) -> Write:
    return Write(name, revision, json.dumps({"id": name, "body": "A text."} | fields).encode())


def failure(status: int, kind: str) -> ApiError:
    meta = ApiResponseMeta(status, "1.1", HttpHeaders(), 0.0, NodeConfig("http", "search.example", 9200))
    cause = {"type": kind, "reason": "why"}
    return (NotFoundError if status == 404 else ApiError)(kind, meta, {"error": cause, "status": status})


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PAUSE_SECONDS", 0.0)


# ---------------------------------------------------------------- what is behind

TRACE: dict[str, Any] = {"retracted": {"by": "producer"}}


def linked(story: str, dedup: str = "linked") -> dict[str, Any]:
    return {"pipeline": {"dedup": dedup, "story_id": story, "versions": [story]}}


@pytest.mark.parametrize(
    ("one", "other", "copy", "rebuilt", "later"),
    [
        (None, None, False, False, False),
        (document(), document(), False, False, False),
        (document(), None, True, True, True),
        (None, document(), True, False, False),
        (document(2), document(1), True, True, True),
        (document(1), document(2), False, False, False),
        (document(body="x"), document(), True, False, False),
        (document(**TRACE), document(), True, True, True),
        (document(), document(**TRACE), True, False, False),
        (document(**linked("s")), document(**linked("t")), True, True, False),
        (document(**linked("s", "partial")), document(**linked("t")), True, False, False),
        (document(**linked("s")), document(**linked("s") | {"headline": "x"}), True, False, False),
    ],
)
def test_what_is_behind(one: Write | None, other: Write | None, copy: bool, rebuilt: bool, later: bool) -> None:
    assert behind_as_copy(one, other) is copy
    assert behind_as_rebuilt(one, other) is rebuilt
    assert behind_as_later(one, other) is later


def test_the_order_of_the_fields_does_not_matter() -> None:
    assert not behind_as_copy(Write("a", 1, b'{"x":1,"y":2}'), Write("a", 1, b'{"y":2,"x":1}'))


ids = st.lists(st.text(alphabet="ab\u00e9\uffff\U0001f600", min_size=1, max_size=3), unique=True)


@given(ids, ids, st.integers(1, 4))
def test_each_id_is_looked_at_once_with_what_both_have(one: list[str], other: list[str], size: int) -> None:
    def paged(names: list[str]) -> list[list[Write]]:
        # As Elasticsearch sorts: by the bytes of their UTF-8.
        ordered = [document(name=name) for name in sorted(names, key=str.encode)]
        return [ordered[at : at + size] for at in range(0, len(ordered), size)]

    found = [
        (name, left is not None, right is not None)
        for name, left, right in side_by_side(iter(paged(one)), iter(paged(other)))
    ]
    expected = sorted({*one, *other}, key=str.encode)
    assert found == [(name, name in one, name in other) for name in expected]


# ---------------------------------------------------------------- asking


@pytest.mark.parametrize(
    ("error", "raised", "tries"),
    [
        (failure(503, "unavailable_shards_exception"), Unavailable, 2),
        (failure(429, "circuit_breaking_exception"), Unavailable, 2),
        (ConnectionTimeout("late"), Unavailable, 2),
        (failure(404, "index_not_found_exception"), Gone, 1),
        (failure(404, "aliases_not_found_exception"), Gone, 1),
        (failure(403, "security_exception"), Forbidden, 1),
        (failure(413, "content_too_long"), TooLarge, 1),
        (failure(400, "illegal_argument_exception"), ApiError, 1),
    ],
)
def test_what_may_pass_is_asked_for_again(error: Exception, raised: type[Exception], tries: int) -> None:
    asked: list[int] = []

    def call() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise error
        return "answer"

    if tries == 2:
        assert ask(Limits(), call) == "answer"
    else:
        with pytest.raises(raised):
            ask(Limits(), call)
    assert len(asked) == tries
    asked.clear()
    with pytest.raises(raised):
        ask(Limits(patience_seconds=0), call)


# ---------------------------------------------------------------- reading


class Index:
    """Stands for the client of an index that is read: hits in the order of their ids."""

    def __init__(self, count: int, length: int = 10) -> None:
        self.hits: list[dict[str, Any]] = [
            {"_id": f"{at:05}", "_version": at, "_source": {"id": f"{at:05}", "body": "x" * length}}
            for at in range(count)
        ]
        self.sizes: list[int] = []
        self.open: list[str] = []
        self.total = count
        self.indices = SimpleNamespace(refresh=lambda index: None)
        self.lost_at: set[int] = set()

    def open_point_in_time(self, index: str, keep_alive: str) -> dict[str, str]:
        self.open.append(f"moment {len(self.open)}")
        return {"id": self.open[-1]}

    def close_point_in_time(self, id: str) -> None:  # noqa: A002
        self.open.remove(id)

    def search(self, pit: dict[str, str], search_after: list[str] | None, size: int, **given: Any) -> Any:
        assert given["allow_partial_search_results"] is False, "a shard would be left out without a word"
        self.sizes.append(size)
        if len(self.sizes) in self.lost_at:
            raise failure(404, "search_phase_execution_exception")
        after = search_after[0] if search_after else ""
        hits = [hit for hit in self.hits if hit["_id"] > after][:size]
        return {"pit_id": pit["id"], "hits": {"hits": hits, "total": {"value": self.total}}}

    def read(self, **limits: Any) -> list[str]:
        found: Any = pages(self, "index", Limits(**limits))  # type: ignore[arg-type]
        return [each.id for page in found for each in page]


def test_all_is_read_in_pages_that_grow_while_they_are_small() -> None:
    index = Index(3_000)
    assert index.read() == [hit["_id"] for hit in index.hits]
    assert index.sizes[:4] == [32, 64, 128, 256]
    assert max(index.sizes) <= MOST_IN_A_PAGE
    assert index.open == [], "the moment is let go"


def test_a_page_of_large_documents_is_small() -> None:
    index = Index(60, length=1_000_000)
    index.read(bulk_bytes=8_000_000)
    assert max(index.sizes[1:]) <= 4
    index = Index(40, length=10_000)
    index.read(bulk_bytes=1)
    assert set(index.sizes[1:]) == {1}, "one at least"


def test_a_moment_that_was_lost_is_taken_anew() -> None:
    index = Index(200)
    index.lost_at = {2, 4}
    assert index.read() == [hit["_id"] for hit in index.hits]
    assert len(index.open) == 2, "the lost ones need not be closed"


def test_what_is_not_read_is_noticed() -> None:
    """Break: leave out the count at the end of `pages`."""
    index = Index(10)
    index.total = 11
    with pytest.raises(Miscounted, match="has 11 documents, and 10 could be read"):
        index.read()


def test_half_a_surrogate_goes_through() -> None:
    index = Index(1)
    index.hits[0]["_source"] = {"id": "00000", "body": "\ud800é"}
    ((found,),) = pages(index, "index", Limits())  # type: ignore[arg-type]
    assert json.loads(found.source or b"") == {"id": "00000", "body": "\ud800é"}


# ---------------------------------------------------------------- writing


class Taking:
    """Stands for the client of an index that is written to; `fault` may answer for a document, or raise."""

    def __init__(self, fault: Callable[[str, int], int | Exception] = lambda *_: 201) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.fault = fault

    def bulk(self, operations: list[bytes], index: str, require_alias: bool) -> Any:
        assert (index, require_alias) == ("standby", True), "no index comes back that was deleted"
        lines = [json.loads(line) for line in operations]
        actions = [line for line in lines if set(line) <= {"index", "delete"}]
        self.requests.append(actions)
        assert len(self.requests) < 100
        items = []
        for each in actions:
            ((action, told),) = each.items()
            status = self.fault(told["_id"], len(self.requests))
            if isinstance(status, Exception):
                raise status
            error = {"error": {"type": KINDS[status], "reason": "why"}} if status in KINDS else {}
            items.append({action: {"_id": told["_id"], "status": status} | error})
        return {"errors": True, "items": items}

    @property
    def names(self) -> list[list[str]]:
        return [[told["_id"] for each in request for told in each.values()] for request in self.requests]

    def target(self, **limits: Any) -> Target:
        return Target(self, "standby", Limits(**limits))  # type: ignore[arg-type]


KINDS = {
    400: "strict_dynamic_mapping_exception",
    404: "index_not_found_exception",
    409: "version_conflict_engine_exception",
    429: "es_rejected_execution_exception",
}

FOUR = [document(name=name, revision=7) for name in "abcd"]


def test_the_copy_never_takes_the_place_of_the_same_version_and_mending_does() -> None:
    server = Taking()
    server.target().bring(FOUR[:1])
    server.target().bring([FOUR[0], Write("b", 9, None)], over_equal=True)
    versions = [each for request in server.requests for each in request]
    assert versions == [
        {"index": {"_id": "a", "version": 7, "version_type": "external"}},
        {"index": {"_id": "a", "version": 7, "version_type": "external_gte"}},
        {"delete": {"_id": "b", "version": 9, "version_type": "external_gte"}},
    ]


def test_each_item_has_its_own_verdict() -> None:
    """Break: in `_try` take what is to be tried again for written."""
    verdicts = {"a": 201, "b": 409, "c": 400, "d": 429}
    server = Taking(lambda name, request: 201 if request > 1 else verdicts[name])
    target = server.target()
    target.bring(FOUR)
    assert server.names == [["a", "b", "c", "d"], ["d"]]
    assert (target.counts.written, target.counts.present, target.counts.refused) == (2, 1, 1)
    assert "strict_dynamic_mapping_exception" in target.counts.named["c"]


def test_requests_are_of_so_many_bytes() -> None:
    server = Taking()
    server.target(bulk_bytes=2 * len(FOUR[0].source or b"")).bring(FOUR)
    assert server.names == [["a", "b"], ["c", "d"]]


def test_a_request_that_is_too_large_is_split() -> None:
    def fault(name: str, request: int) -> int | Exception:
        return failure(413, "content_too_long") if "c" in server.names[-1] else 201

    server = Taking(fault)
    target = server.target()
    target.bring(FOUR)
    assert server.names == [["a", "b", "c", "d"], ["a", "b"], ["c", "d"], ["c"], ["d"]]
    assert (target.counts.written, list(target.counts.named)) == (3, ["c"])


def test_an_index_that_is_gone_is_not_waited_for() -> None:
    with pytest.raises(Gone):
        Taking(lambda *_: 404).target().bring(FOUR)


def test_an_index_that_takes_nothing_is_given_up() -> None:
    with pytest.raises(Unavailable, match="4 documents were not taken"):
        Taking(lambda *_: 429).target(patience_seconds=0).bring(FOUR)


def test_some_refused_documents_are_named_and_all_are_counted() -> None:
    counts = Counts()
    check_refused(counts, "index")
    for number in range(MOST_NAMED + 5):
        counts.refuse(f"{number}", "why")
    with pytest.raises(Stopped, match="index refuses 25 documents") as stopped:
        check_refused(counts, "index")
    assert list(stopped.value.refused) == [str(number) for number in range(MOST_NAMED)]


# ---------------------------------------------------------------- what the aliases say


def filling(source: str, by: str = "migrate") -> Filling:
    return Filling(source, by, NOW, "copy")


STANDINGS = {
    "alone": (Standing("v2-1", None), False, False),
    "alone, from another one that was deleted": (Standing("v2-2", None, filling("v2-1")), False, False),
    "being filled": (Standing("v2-1", "v2-2", None, filling("v2-1")), True, False),
    "switched": (Standing("v2-2", "v2-1", filling("v2-1"), None), False, True),
    "being filled, after an earlier switch": (
        Standing("v2-2", "v2-3", filling("v2-1"), filling("v2-2")),
        True,
        False,
    ),
    "switched, after an earlier switch": (
        Standing("v2-3", "v2-2", filling("v2-2"), filling("v2-1")),
        False,
        True,
    ),
    "by hand": (Standing("v2-1", "v2-2"), False, False),
}


@pytest.mark.parametrize("name", STANDINGS)
def test_what_the_standby_is(name: str) -> None:
    standing, is_next, is_switched = STANDINGS[name]
    assert (standing.next is not None, standing.is_switched) == (is_next, is_switched)


@pytest.mark.parametrize(
    ("standing", "rebuilt"),
    [
        (Standing("a", "b", None, filling("a", "rebuild")), True),
        (Standing("b", "a", filling("a", "rebuild"), None), True),
        (Standing("b", "c", filling("a", "rebuild"), filling("b")), False),
    ],
)
def test_only_an_index_from_kafka_may_differ(standing: Standing, rebuilt: bool) -> None:
    assert standing.is_rebuilt is rebuilt


class Aliases:
    """Stands for a client where the aliases stand as told."""

    def __init__(self, main: Sequence[str], standby: Sequence[str] = ()) -> None:
        self.stands = {"news-articles": main, "news-articles-standby": standby}
        self.indices = self
        self.actions: list[Any] = []

    def options(self, ignore_status: int) -> Aliases:
        return self

    def get_alias(self, name: str) -> Any:
        told: dict[str, Any] = {index: {"aliases": {name: {}}} for index in self.stands[name]}
        return SimpleNamespace(body=told or {"error": "missing", "status": 404})

    def get_mapping(self, index: str) -> Any:
        return {index: {"mappings": {"_meta": {"version": 2}}}}

    def update_aliases(self, actions: list[Any]) -> None:
        self.actions += actions

    @property
    def work(self) -> Work:
        settings = MigrationSettings(kafka_bootstrap_servers="127.0.0.1:1", elasticsearch_url="http://127.0.0.1:1")
        return Work(self, settings, lambda *_: None)  # type: ignore[arg-type]


def test_no_index_or_two_of_them_stop_everything() -> None:
    with pytest.raises(Stopped, match="newsflow setup makes it"):
        Aliases([]).work.standing()
    with pytest.raises(Stopped, match="stands on v2-1, v2-2"):
        Aliases(["v2-2", "v2-1"]).work.standing()


def test_one_does_not_go_back_to_what_was_never_searched() -> None:
    with pytest.raises(Stopped, match="no index to go back to"):
        back(Aliases(["v2-1"]).work)
    with pytest.raises(Stopped, match="no index to go back to"):
        back(Aliases(["v2-1"], ["by-hand"]).work)


def test_finish_deletes_the_standby_that_was_asked_about_and_no_other() -> None:
    server = Aliases(["v2-2"], ["v2-1"])
    asked = server.work.standing()
    server.stands = {"news-articles": ["v2-1"], "news-articles-standby": ["v2-2"]}
    with pytest.raises(Stopped, match="somebody else changed the aliases"):
        finish(server.work, asked)
    assert server.actions == []
    assert finish(server.work, server.work.standing()) == Done("finished", "v2-1", None)
    assert server.actions == [{"remove_index": {"index": "v2-2"}}]


@pytest.mark.parametrize(("ago", "waited"), [(0, 40), (15, 25), (100, 0), (-3600, 40)])
def test_bulks_that_were_under_way_are_waited_for(
    ago: float, waited: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever this clock says, and however long ago it began."""
    slept: list[float] = []
    monkeypatch.setattr(migration, "time", SimpleNamespace(sleep=slept.append))
    started = datetime.now(UTC) - timedelta(seconds=ago)
    Aliases(["v2-1"]).work.wait_for_bulks(Filling("v2-1", "migrate", started, "copy"))
    assert sum(slept) == pytest.approx(waited, abs=5)


# ---------------------------------------------------------------- room


def disks(size: int, *free: int) -> Any:
    nodes = {
        f"node-{at}": {"fs": {"data": [{"available_in_bytes": each, "low_watermark_free_space_in_bytes": 100}]}}
        for at, each in enumerate(free)
    }
    told = {"_all": {"total": {"store": {"size_in_bytes": size}}}}
    return SimpleNamespace(
        indices=SimpleNamespace(stats=lambda **_: told), nodes=SimpleNamespace(stats=lambda **_: {"nodes": nodes})
    )


def test_a_second_index_must_find_room() -> None:
    check_room(disks(900, 1_000), "index")
    check_room(disks(1_700, 1_000, 1_000), "index")
    with pytest.raises(Stopped, match="make room first"):
        check_room(disks(901, 1_000), "index")

    def refuse(**_: Any) -> None:
        raise failure(403, "security_exception")

    forbidden = disks(901, 1_000)
    forbidden.nodes.stats = refuse
    check_room(forbidden, "index")
