from __future__ import annotations

import gzip
import json
import zlib
from http import HTTPStatus

import pytest

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.reading import read_record
from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES
from services.gateway.core import (
    SHOWN_PROBLEMS,
    Body,
    Client,
    Form,
    Record,
    Rejected,
    form_of,
    is_gzip,
    packing,
    read_articles,
)
from tests.unit.gateway.driving import ARTICLE, body, lines

LIMIT = 100_000
NOBODY = Client(None)


def read(value: bytes, form: Form = Form.ARTICLE, client: Client = NOBODY, most: int = 1_000) -> list[Record]:
    packed = packing({"content-type": "application/cloudevents+json"} if form is Form.CLOUD_EVENT else {})
    return read_articles(value, form, packed, client, most)


def refused(value: bytes, form: Form = Form.ARTICLE, client: Client = NOBODY, most: int = 1_000) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(value, form, client, most)
    return caught.value


def article(record: Record) -> RawArticle:
    found: RawArticle = read_record(ARTICLES_RAW, record.value)
    return found


def received(limit: int, chunks: list[bytes], *, compressed: bool) -> bytes:
    found = Body(limit, gzip=compressed)
    for chunk in chunks:
        found.add(chunk)
    return found.whole()


# ------------------------------------------------------------ records


def test_an_article_is_a_record_with_its_id() -> None:
    (record,) = read(body())
    assert record.id == article_id(RawArticle(**ARTICLE))
    assert article(record) == RawArticle(**ARTICLE, producer="gateway")


def test_lines_are_records_in_order_and_blank_ones_are_none() -> None:
    value = body(id="1") + b"\r\n\n  \n" + body(id="2") + b"\n" + body(id="3")
    assert [article(record).id for record in read(value, Form.LINES)] == ["1", "2", "3"]


def test_the_key_names_the_producer_where_the_article_names_none() -> None:
    named, own = read(lines(body(), body(producer="cms")), Form.LINES, Client("desk"))
    assert (article(named).producer, article(own).producer) == ("gateway:desk", "cms")


def test_a_cloud_event_holds_the_article() -> None:
    event = {"specversion": "1.0", "id": "e", "source": "/cms", "type": "t", "data": ARTICLE}
    (record,) = read(json.dumps(event).encode(), Form.CLOUD_EVENT)
    assert article(record).body == ARTICLE["body"]
    assert refused(json.dumps(event | {"specversion": "0.3"}).encode(), Form.CLOUD_EVENT).status == 422


def test_a_cloud_event_with_more_digits_than_python_reads_is_refused() -> None:
    event = json.dumps({"specversion": "1.0", "id": "e", "source": "/c", "type": "t", "data": ARTICLE})
    value = event[:-1].encode() + b', "big": ' + b"9" * 5_000 + b"}"
    assert refused(value, Form.CLOUD_EVENT).status in (400, 422)


def test_a_binary_cloud_event_of_another_version_is_refused() -> None:
    headers = {"content-type": "application/json", "ce-specversion": "1.0"}
    assert read_articles(body(), Form.ARTICLE, packing(headers), NOBODY, 1)
    with pytest.raises(Rejected) as caught:
        read_articles(body(), Form.ARTICLE, packing(headers | {"ce-specversion": "0.3"}), NOBODY, 1)
    assert caught.value.status == HTTPStatus.UNPROCESSABLE_ENTITY


# ------------------------------------------------------------ refusals


def test_a_wrong_field_is_named_with_its_line() -> None:
    rejected = refused(lines(body(), body(hedline="x"), body(revision="1"), body()), Form.LINES)
    assert rejected.status == HTTPStatus.UNPROCESSABLE_ENTITY
    shown = [problem.shown() for problem in rejected.problems]
    assert [(each["line"], each["field"], each["reason"]) for each in shown] == [
        (2, "hedline", "invalid_record"),
        (3, "revision", "invalid_record"),
    ]
    assert "leave it out" in str(shown[0]["error"])


@pytest.mark.parametrize(
    ("value", "status", "field"),
    [
        (b"{", 400, None),
        (b"\xff", 400, None),
        (b"", 400, None),
        (b" \n", 400, None),
        (b"[]", 422, None),
        (b"null", 422, None),
        (b'{"publisher": "p.example"}', 422, None),
        (b'{"publisher": "p.example", "body": "x", "body": "y"}', 422, None),
        (b'{"publisher": "", "body": "x"}', 422, "publisher"),
        (body(extra={"a": 1}), 422, "extra.a"),
        (body(body="x" * MAX_RAW_BYTES), 413, None),
    ],
)
def test_what_is_wrong_has_a_status(value: bytes, status: int, field: str | None) -> None:
    problem = refused(value).problems[0]
    assert (problem.status, problem.field) == (status, field)


def test_a_list_is_told_how_several_are_sent() -> None:
    assert "application/x-ndjson" in refused(b"[" + body() + b"]").problems[0].error


def test_a_record_that_is_too_large_is_named_by_its_line() -> None:
    rejected = refused(lines(body(), body(body="x" * MAX_RAW_BYTES)), Form.LINES)
    assert (rejected.status, rejected.problems[0].line) == (413, 2)
    assert str(MAX_RAW_BYTES) in rejected.problems[0].error


def test_a_record_that_our_own_field_makes_too_large_is_refused() -> None:
    room = MAX_RAW_BYTES - len(body(body=""))
    value = json.dumps(ARTICLE | {"body": "x" * room}, separators=(",", ":")).encode()
    assert len(value) <= MAX_RAW_BYTES
    assert refused(value, client=Client("n" * 64)).status == 413


def test_a_key_sends_for_its_publishers_only() -> None:
    client = Client("desk", frozenset({"harbour-post.example"}))
    assert read(body(), client=client)
    problem = refused(body(publisher="other.example"), client=client).problems[0]
    assert (problem.status, problem.field, problem.reason) == (403, "publisher", "forbidden")


def test_at_most_a_hundred_problems_are_told() -> None:
    assert len(refused(b"{\n" * 500, Form.LINES).problems) == SHOWN_PROBLEMS == 100


def test_too_many_lines_are_refused() -> None:
    assert len(read(lines(body(), body()), Form.LINES, most=2)) == 2
    problem = refused(lines(body(), body(), body()), Form.LINES, most=2).problems[0]
    assert (problem.status, problem.reason, problem.line) == (413, "too_many_lines", 3)


def test_a_long_name_is_not_sent_back_whole() -> None:
    shown = refused(body(**{"x" * 50_000: 1})).problems[0].shown()
    assert len(json.dumps(shown)) < 3_000


# ------------------------------------------------------------ headers


@pytest.mark.parametrize(
    ("stated", "form"),
    [
        ("application/json", Form.ARTICLE),
        ("Application/JSON; charset=UTF-8", Form.ARTICLE),
        ('application/json;charset="utf-8"', Form.ARTICLE),
        ("application/x-ndjson", Form.LINES),
        ("application/jsonl", Form.LINES),
        ("application/cloudevents+json", Form.CLOUD_EVENT),
    ],
)
def test_content_types(stated: str, form: Form) -> None:
    assert form_of(stated) is form


@pytest.mark.parametrize("stated", [None, "", "text/plain", "application/xml", "application/json; charset=latin-1"])
def test_other_content_types_are_refused(stated: str | None) -> None:
    with pytest.raises(Rejected) as caught:
        form_of(stated)
    assert caught.value.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert "application/json" in caught.value.problems[0].error or "utf-8" in caught.value.problems[0].error


def test_content_encodings() -> None:
    assert [is_gzip(stated) for stated in (None, "identity", "gzip", "GZIP")] == [False, False, True, True]
    for other in ("br", "deflate", "gzip, gzip"):
        with pytest.raises(Rejected) as caught:
            is_gzip(other)
        assert caught.value.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


# ------------------------------------------------------------ bodies


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_gzip_comes_through_in_any_chunks_and_members(size: int) -> None:
    text = bytes(range(256)) * 100
    packed = gzip.compress(text[:9_000]) + gzip.compress(b"") + gzip.compress(text[9_000:])
    chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert received(LIMIT, chunks, compressed=True) == text


def test_a_body_is_taken_up_to_the_limit() -> None:
    for compressed in (False, True):
        for size in (LIMIT, LIMIT + 1):
            value = b"x" * size
            chunk = gzip.compress(value) if compressed else value
            if size == LIMIT:
                assert received(LIMIT, [chunk], compressed=compressed) == value
                continue
            with pytest.raises(Rejected) as caught:
                received(LIMIT, [chunk], compressed=compressed)
            assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_a_bomb_is_never_decompressed_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    inner = zlib.decompressobj

    class Watched:
        def __init__(self) -> None:
            self.inner = inner(31)

        def decompress(self, chunk: bytes, most_bytes: int) -> bytes:
            nonlocal most
            out = self.inner.decompress(chunk, most_bytes)
            most = max(most, len(out))
            return out

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    bomb = gzip.compress(b"\0" * 50_000_000)
    monkeypatch.setattr(zlib, "decompressobj", lambda _: Watched())
    with pytest.raises(Rejected) as caught:
        received(LIMIT, [bomb], compressed=True)
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert 0 < most <= LIMIT + 1


def test_gzip_of_nothing_counts_as_it_came_in() -> None:
    with pytest.raises(Rejected) as caught:
        received(LIMIT, [gzip.compress(b"")] * LIMIT, compressed=True)
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


# Named after their bytes: not with the time of day in them, which would name them otherwise in each process.
CUT = gzip.compress(b"x" * 1_000, mtime=0)[:-4]


@pytest.mark.parametrize("value", [b"", b"no gzip", CUT, gzip.compress(b"x", mtime=0) + b"y"])
def test_what_is_no_gzip_is_refused(value: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        received(LIMIT, [value], compressed=True)
    assert (caught.value.status, caught.value.problems[0].reason) == (400, "invalid_gzip")
