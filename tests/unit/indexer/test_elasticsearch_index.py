"""The verdicts on what Elasticsearch answers, read by its real client from a node that answers as told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import elastic_transport
import pytest
from elastic_transport import BaseNode, HttpHeaders, NodeConfig
from elasticsearch import ApiError, Elasticsearch

from services.indexer import elasticsearch_index
from services.indexer.elasticsearch_index import ElasticsearchIndex, verdict_on
from services.indexer.index import Forbidden, Stored, TooLarge, Unavailable, Verdict, Write

WRITES = [Write("a", 3, b'{"id":"a"}'), Write("b", 2**63 - 1, '{"id":"b","body":"é"}'.encode())]


def item(status: int, kind: str | None = None, reason: str = "why") -> dict[str, Any]:
    return {"_id": "x", "status": status} | ({"error": {"type": kind, "reason": reason}} if kind else {})


# ---------------------------------------------------------------- one document

ITEMS: dict[tuple[int, str | None], Verdict | type[Exception]] = {
    (200, None): Verdict.WRITTEN,
    (201, None): Verdict.WRITTEN,
    (409, "version_conflict_engine_exception"): Verdict.SUPERSEDED,
    (409, "resource_already_exists_exception"): Forbidden,
    (429, "es_rejected_execution_exception"): Verdict.AGAIN,
    (429, "circuit_breaking_exception"): Verdict.AGAIN,
    (429, "cluster_block_exception"): Verdict.AGAIN,
    (403, "cluster_block_exception"): Verdict.AGAIN,
    (404, "index_not_found_exception"): Verdict.AGAIN,
    (500, "exception"): Verdict.AGAIN,
    (502, "exception"): Verdict.AGAIN,
    (503, "unavailable_shards_exception"): Verdict.AGAIN,
    (504, "process_cluster_event_timeout_exception"): Verdict.AGAIN,
    (400, "document_parsing_exception"): Verdict.REFUSED,
    (400, "strict_dynamic_mapping_exception"): Verdict.REFUSED,
    (404, "document_missing_exception"): Verdict.REFUSED,
    (413, "content_too_long_exception"): Verdict.REFUSED,
    (401, "security_exception"): Forbidden,
    (403, "security_exception"): Forbidden,
    # What nobody thought of is no reason to lose a document, nor to say that it is there.
    (418, "teapot_exception"): Forbidden,
    (302, "found_exception"): Forbidden,
    (451, "legal_exception"): Forbidden,
}


@pytest.mark.parametrize(("status", "kind"), ITEMS)
def test_the_verdict_on_a_document(status: int, kind: str | None) -> None:
    expected = ITEMS[status, kind]
    if isinstance(expected, Verdict):
        outcome = verdict_on("index", item(status, kind))
        assert outcome.verdict is expected
        if kind:
            assert (str(status) in outcome.error, kind in outcome.error, "why" in outcome.error) == (
                True,
                True,
                True,
            )
    else:
        with pytest.raises(expected, match=str(status)):
            verdict_on("index", item(status, kind))


def test_the_cause_is_told_and_a_long_error_is_cut() -> None:
    answer = item(400, "document_parsing_exception", "failed to parse")
    answer["error"]["caused_by"] = {"type": "number_format_exception", "reason": "For input: x"}
    assert "For input: x" in verdict_on("index", answer).error
    answer["error"]["reason"] = "y" * 100_000
    assert len(verdict_on("index", answer).error) <= 500


# ---------------------------------------------------------------- the whole request


class Node(BaseNode):
    """Answers as told, and remembers what it was asked."""

    answer: tuple[int, bytes] | Exception = (200, b"")
    replies: Callable[[str, bytes], tuple[int, bytes]] | None = None
    alias_is_there: int | None = None
    asked: list[tuple[str, str, bytes, float | None]]

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self.asked = []

    def perform_request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: Any = None,
    ) -> Any:
        self.asked.append((method, target, body or b"", request_timeout))
        if method == "HEAD" and isinstance(self.alias_is_there, int):
            return self._answer(self.alias_is_there, b"{}")
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.replies:
            return self._answer(*self.replies(target, body or b""))
        return self._answer(*self.answer)

    def _answer(self, status: int, content: bytes) -> Any:
        kind = "application/json" if content.startswith(b"{") else "text/html"
        fields = HttpHeaders({"x-elastic-product": "Elasticsearch", "content-type": kind})
        meta = elastic_transport.ApiResponseMeta(status, "1.1", fields, 0.0, self.config)
        return SimpleNamespace(meta=meta, body=content)

    def close(self) -> None:
        """Nothing is open."""


class Server:
    """An index behind a node."""

    def __init__(self, standby: str | None = None) -> None:
        self.client = Elasticsearch("http://search.example:9200", node_class=Node)
        self.index = ElasticsearchIndex(self.client, "news-articles", 7, standby=standby)
        ((self.node),) = self.client.transport.node_pool.all()

    def answers(self, status: int, content: object) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.node.answer = (status, body)  # type: ignore[attr-defined]

    def fails(self, error: Exception) -> None:
        self.node.answer = error  # type: ignore[attr-defined]

    @property
    def asked(self) -> list[tuple[str, str, bytes, float | None]]:
        asked: list[tuple[str, str, bytes, float | None]] = self.node.asked  # type: ignore[attr-defined]
        return asked

    def items(self, *items: dict[str, Any]) -> Sequence[Verdict]:
        self.answers(200, {"errors": True, "took": 1, "items": [{"index": each} for each in items]})
        return [outcome.verdict for outcome in self.index.write(WRITES)]


@pytest.fixture
def server() -> Server:
    return Server()


def test_an_answer_of_200_says_nothing_about_the_documents(server: Server) -> None:
    assert server.items(item(201), item(429, "es_rejected_execution_exception")) == [Verdict.WRITTEN, Verdict.AGAIN]
    assert server.items(item(400, "document_parsing_exception"), item(200)) == [Verdict.REFUSED, Verdict.WRITTEN]


def test_each_document_goes_with_its_id_and_its_revision(server: Server) -> None:
    server.items(item(201), item(201))
    ((method, target, body, timeout),) = server.asked
    path, _, query = target.partition("?")
    assert (method, path, timeout) == ("PUT", "/news-articles/_bulk", 7)
    assert "require_alias=true" in query, "else a missing alias would become an index of its own"
    lines = body.split(b"\n")
    assert [lines[1], lines[3]] == [write.source for write in WRITES]
    assert [json.loads(line)["index"] for line in (lines[0], lines[2])] == [
        {"_id": write.id, "version": write.revision, "version_type": "external_gte"} for write in WRITES
    ]


REQUESTS: dict[tuple[int, str], type[Exception]] = {
    (413, "content_too_long_exception"): TooLarge,
    (429, "circuit_breaking_exception"): Unavailable,
    (429, "cluster_block_exception"): Unavailable,
    (403, "cluster_block_exception"): Unavailable,
    (404, "index_not_found_exception"): Unavailable,
    (500, "exception"): Unavailable,
    (502, "exception"): Unavailable,
    (503, "cluster_block_exception"): Unavailable,
    (504, "exception"): Unavailable,
    (401, "security_exception"): Forbidden,
    (403, "security_exception"): Forbidden,
    (400, "illegal_argument_exception"): ApiError,
    (404, "not_found_exception"): ApiError,
    (409, "version_conflict_engine_exception"): ApiError,
    (418, "teapot_exception"): ApiError,
}


@pytest.mark.parametrize(("status", "kind"), REQUESTS)
def test_the_verdict_on_a_request(server: Server, status: int, kind: str) -> None:
    cause = {"type": kind, "reason": "why"}
    server.answers(status, {"error": cause | {"root_cause": [cause]}, "status": status})
    with pytest.raises(REQUESTS[status, kind], match=str(status)):
        server.index.write(WRITES)
    assert len(server.asked) == 1, "the client's own repetition knows nothing of the items"


@pytest.mark.parametrize(
    ("status", "expected"),
    [(413, TooLarge), (429, Unavailable), (502, Unavailable), (503, Unavailable), (401, Forbidden)],
)
def test_a_proxy_in_between_answers_in_html(server: Server, status: int, expected: type[Exception]) -> None:
    server.answers(status, b"<html><h1>" + b"No. " * 10_000 + b"</h1></html>")
    with pytest.raises(expected) as raised:
        server.index.write(WRITES)
    assert len(str(raised.value)) <= 500


@pytest.mark.parametrize(
    "error",
    [
        elastic_transport.ConnectionError("refused"),
        elastic_transport.ConnectionTimeout("timed out"),
        elastic_transport.TlsError("not yet valid"),
    ],
)
def test_no_answer_is_not_now(server: Server, error: Exception) -> None:
    server.fails(error)
    with pytest.raises(Unavailable, match=type(error).__name__):
        server.index.write(WRITES)


def test_what_is_deleted_goes_with_its_version_and_may_be_gone(server: Server) -> None:
    gone = {"_id": "x", "status": 404, "result": "not_found"}
    server.answers(200, {"errors": False, "took": 1, "items": [{"delete": item(200)}, {"delete": gone}]})
    outcomes = server.index.write([Write("a", 3, None), Write("b", 4, None)])
    assert [each.verdict for each in outcomes] == [Verdict.WRITTEN, Verdict.WRITTEN]
    ((_, _, body, _),) = server.asked
    assert [json.loads(line)["delete"]["version"] for line in body.splitlines()] == [3, 4]


# ---------------------------------------------------------------- a second index that takes every write


def both(server: Server, first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> list[Verdict]:
    server.node.alias_is_there = 200  # type: ignore[attr-defined]
    server.answers(200, {"errors": True, "took": 1, "items": [{"index": each} for each in (*first, *second)]})
    return [outcome.verdict for outcome in server.index.write(WRITES)]


@pytest.fixture
def standing_by() -> Server:
    return Server(standby="news-articles-standby")


def test_each_document_goes_to_the_standby_too_in_the_same_request(standing_by: Server) -> None:
    assert both(standing_by, [item(201)] * 2, [item(201)] * 2) == [Verdict.WRITTEN] * 2
    (look, bulk) = standing_by.asked
    assert look[:2] == ("HEAD", "/_alias/news-articles-standby")
    lines = bulk[2].splitlines()
    assert lines[1::2] == [write.source for write in WRITES] * 2
    assert [json.loads(line)["index"].get("_index") for line in lines[::2]] == [None] * 2 + [
        "news-articles-standby"
    ] * 2
    assert "require_alias=true" in bulk[1]


def test_without_a_standby_there_is_one_index(standing_by: Server) -> None:
    standing_by.node.alias_is_there = 404  # type: ignore[attr-defined]
    assert standing_by.items(item(201), item(201)) == [Verdict.WRITTEN] * 2
    assert len(standing_by.asked[-1][2].splitlines()) == 4


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (item(201), item(429, "busy"), Verdict.AGAIN),
        (item(201), item(404, "index_not_found_exception"), Verdict.AGAIN),
        (item(429, "busy"), item(201), Verdict.AGAIN),
        (item(201), item(409, "version_conflict_engine_exception"), Verdict.WRITTEN),
        (item(409, "version_conflict_engine_exception"), item(201), Verdict.SUPERSEDED),
        # Neither a dead letter of what is in the index, nor one that is waited for without end.
        (item(201), item(400, "strict_dynamic_mapping_exception"), Verdict.WRITTEN),
        (item(400, "document_parsing_exception"), item(429, "busy"), Verdict.REFUSED),
        (item(400, "document_parsing_exception"), item(201), Verdict.REFUSED),
    ],
)
def test_the_verdict_is_the_first_indexs_once_the_second_had_its_own(
    standing_by: Server, first: dict[str, Any], second: dict[str, Any], expected: Verdict
) -> None:
    assert both(standing_by, [first, item(201)], [second, item(201)]) == [expected, Verdict.WRITTEN]


@pytest.mark.parametrize(("status", "expected"), [(503, Unavailable), (403, Forbidden), (429, Unavailable)])
def test_whether_there_is_a_standby_must_be_known(
    standing_by: Server, status: int, expected: type[Exception]
) -> None:
    standing_by.node.alias_is_there = status  # type: ignore[attr-defined]
    with pytest.raises(expected):
        standing_by.index.write(WRITES)
    assert len(standing_by.asked) == 1, "nothing is written to one of two indices alone"


# ---------------------------------------------------------------- reading


def test_only_what_is_there_is_read_whole_and_some_at_a_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may have some MB; of new articles none is there."""
    monkeypatch.setattr(elasticsearch_index, "READ_AT_ONCE", 2)
    there = {"a", "c", "d"}

    def answer(target: str, body: bytes) -> tuple[int, bytes]:
        ids = json.loads(body)["ids"]
        docs = [{"_id": each, "found": each in there, "_version": 3, "_source": {"of": each}} for each in ids]
        return 200, json.dumps({"docs": docs}).encode()

    server.node.replies = answer  # type: ignore[attr-defined]
    assert server.index.read(list("abcd")) == {name: Stored(3, {"of": name}) for name in "acd"}
    asked = [(target.split("?")[1], json.loads(body)["ids"]) for _, target, body, _ in server.asked]
    assert asked == [("_source=false", list("abcd")), ("_source=true", ["a", "c"]), ("_source=true", ["d"])]
    server.asked.clear()
    assert server.index.read([]) == {}
    assert server.asked == [], "Elasticsearch refuses to look for nothing"


def test_what_could_not_be_looked_for_is_not_taken_for_absent(server: Server) -> None:
    server.answers(200, {"docs": [{"_id": "a", "error": {"type": "shard_not_available", "reason": "later"}}]})
    with pytest.raises(Unavailable, match="later"):
        server.index.read(["a"])


# ---------------------------------------------------------------- what the index knows


def test_fields_that_an_index_does_not_know_are_named(server: Server) -> None:
    mappings = {"mappings": {"properties": {"id": {"type": "keyword"}, "body": {"type": "text"}}}}
    server.answers(200, {"news-articles-v2-000001": mappings})
    assert server.index.without(["id", "history", "body", "retracted"]) == ["history", "retracted"]
    server.answers(404, {"error": {"type": "index_not_found_exception", "reason": "no such index"}, "status": 404})
    assert server.index.without(["id", "body"]) == ["id", "body"], "where there is none, it is set up"
    server.answers(503, {"error": {"type": "x", "reason": "y"}, "status": 503})
    with pytest.raises(Unavailable):
        server.index.without(["id"])
