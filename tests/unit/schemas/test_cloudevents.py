from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.article import RawArticle
from schemas.cloudevents import EVENT_TYPE, Header, packing_headers, unwrap
from schemas.reading import Refused, read_record, write_record
from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES

ARTICLE: dict[str, Any] = {"publisher": "harbour-post.example", "body": "The market moves to the square. Ægir 🪁"}
EVENT = {"specversion": "1.0", "id": "1", "source": "/feeds/harbour-post", "type": EVENT_TYPE}
STRUCTURED: list[Header] = [("content-type", b"application/cloudevents+json")]
BINARY: list[Header] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/feeds/harbour-post"),
    ("ce_type", b"t"),
]


def envelope(**more: Any) -> bytes:
    """An event with the article in `data`; a field whose value is `...` is left out."""
    members = EVENT | {"data": ARTICLE} | more
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


def in_base64(article: bytes) -> bytes:
    return envelope(data=..., data_base64=base64.b64encode(article).decode())


def read(value: bytes | None, headers: list[Header]) -> Any:
    return read_record(ARTICLES_RAW, unwrap(value, headers))


def refused(value: bytes | None, headers: list[Header]) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        read(value, headers)
    return caught.value.reason, caught.value.error


PLAIN = RawArticle(**ARTICLE)

# ---------------------------------------------------------------- plain and binary


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", b"application/json")],
        [("content-type", b"text/plain")],
        [("content-type", b"\xff\x00")],
        [("content-type", b"")],
        [("trace", b"1"), ("ce_id", b"1")],
        [("specversion", b"0.3")],
    ],
)
def test_a_plain_record_stays_as_it_is_whatever_its_headers_are(headers: list[Header]) -> None:
    value = json.dumps(ARTICLE, indent=3).encode()
    assert unwrap(value, headers) == value


@pytest.mark.parametrize(
    "more",
    [
        [],
        [("content-type", b"application/json")],
        [("content-type", b"application/JSON ; charset=utf-8")],
        [("Content-Type", b"text/json")],
        [("content-type", b"application/vnd.harbour.article+json")],
        [("content-type", b"")],
        [("ce_datacontenttype", b"application/json"), ("ce_time", b"yesterday"), ("ce_comexample", b"x")],
    ],
)
def test_the_value_in_binary_mode_is_the_article(more: list[Header]) -> None:
    value = json.dumps(ARTICLE).encode()
    assert unwrap(value, BINARY + more) == value


@pytest.mark.parametrize("version", [b"0.3", b"1.1", b"2.0", b"", b"\xff"])
def test_another_version_in_binary_mode_is_refused(version: bytes) -> None:
    headers = [("ce_specversion", version), *BINARY[1:]]
    assert refused(json.dumps(ARTICLE).encode(), headers) == (
        "invalid_envelope",
        "ce_specversion: only CloudEvents 1.0 is read",
    )


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "ce_datacontenttype"])
@pytest.mark.parametrize("kind", [b"text/plain", b"application/xml", b"application/jsonl", b"json", b"\xff"])
def test_what_is_no_json_in_binary_mode_is_refused(name: str, kind: bytes) -> None:
    reason, error = refused(json.dumps(ARTICLE).encode(), [*BINARY, (name, kind)])
    assert reason == "invalid_envelope"
    assert error == f"{name.lower()}: an article is JSON, so this must be application/json or left out"


# ---------------------------------------------------------------- structured


@pytest.mark.parametrize(
    "header",
    [
        ("content-type", b"application/cloudevents+json"),
        ("content-type", b"application/cloudevents+json; charset=UTF-8"),
        ("content-type", b" Application/CloudEvents+JSON;charset=utf-8"),
        ("Content-Type", b"application/cloudevents+json"),
    ],
)
def test_the_article_is_taken_out_of_its_envelope(header: Header) -> None:
    assert read(envelope(), [header]) == PLAIN
    assert read(in_base64(json.dumps(ARTICLE).encode()), [header]) == PLAIN


def test_bytes_in_base64_are_the_articles_to_the_byte() -> None:
    article = json.dumps(ARTICLE, indent=3).encode()
    assert unwrap(in_base64(article), STRUCTURED) == article


def test_the_structured_mode_wins_over_headers_of_the_binary_one() -> None:
    assert read(envelope(), [*STRUCTURED, ("ce_specversion", b"0.3")]) == PLAIN


def test_of_a_header_given_twice_the_last_counts() -> None:
    plain = ("content-type", b"application/json")
    assert read(envelope(), [plain, *STRUCTURED]) == PLAIN
    assert read(json.dumps(ARTICLE).encode(), [*STRUCTURED, plain]) == PLAIN


@pytest.mark.parametrize(
    "more",
    [
        {"type": "com.example.anything"},
        {"datacontenttype": "application/json; charset=utf-8", "subject": "s", "time": "t", "dataschema": "urn:x"},
        {"datacontenttype": None, "subject": None, "data_base64": None, "traceparent": None},
        {"traceparent": "00-1", "sampled": True, "hops": 3},
        {"json": "x", "copy": "y"},
    ],
)
def test_attributes_that_say_nothing_about_the_article_are_passed_over(more: dict[str, Any]) -> None:
    assert read(envelope(**more), STRUCTURED) == PLAIN


ENVELOPES: list[tuple[dict[str, Any], str]] = [
    ({"specversion": "0.3"}, "specversion: "),
    ({"specversion": "1.1"}, "specversion: "),
    ({"specversion": 1.0}, "specversion: "),
    ({"specversion": ...}, "specversion: Field required"),
    ({"id": ...}, "id: Field required"),
    ({"id": ""}, "id: "),
    ({"id": 7}, "id: "),
    ({"source": ...}, "source: Field required"),
    ({"type": None}, "type: "),
    ({"subject": ""}, "subject: "),
    ({"datacontenttype": "text/plain"}, "datacontenttype: an article is JSON"),
    ({"datacontenttype": "application/xml"}, "datacontenttype: an article is JSON"),
    ({"data": ...}, "exactly one of data and data_base64 must be given, found neither"),
    ({"data": None}, "exactly one of data and data_base64 must be given, found neither"),
    ({"data_base64": "e30="}, "exactly one of data and data_base64 must be given, found both"),
    ({"data": "text"}, "data: Input should be an object"),
    ({"data": []}, "data: Input should be an object"),
    ({"data": ..., "data_base64": "e30"}, "data_base64: must be a text in base64"),
    ({"data": ..., "data_base64": "e3 0="}, "data_base64: must be a text in base64"),
    ({"data": ..., "data_base64": "-_=="}, "data_base64: must be a text in base64"),
    ({"data": ..., "data_base64": "é"}, "data_base64: must be a text in base64"),
    ({"data": ..., "data_base64": ""}, "data_base64: must be a text in base64"),
    ({"data": ..., "data_base64": {}}, "data_base64: must be a text in base64"),
    ({"dataContentType": "application/json"}, "dataContentType: an attribute's name is of lower-case letters"),
    ({"hops": {"a": 1}}, "hops: an extension attribute must be a text, an integer or a boolean"),
    ({"hops": 1.5}, "hops: an extension attribute must be a text, an integer or a boolean"),
]


@pytest.mark.parametrize(("more", "error"), ENVELOPES, ids=str)
def test_an_envelope_that_is_none_is_refused_with_the_attribute_named(more: dict[str, Any], error: str) -> None:
    reason, said = refused(envelope(**more), STRUCTURED)
    assert reason == "invalid_envelope"
    assert said.startswith(error)


@pytest.mark.parametrize(
    "kind", [b"application/cloudevents-batch+json", b"Application/CloudEvents-Batch+JSON; a=b"]
)
def test_a_batch_is_refused(kind: bytes) -> None:
    reason, error = refused(b"[" + envelope() + b"]", [("content-type", kind)])
    assert reason == "invalid_envelope"
    assert error == "content-type: a batch is not taken, send each event as a record of its own"


@pytest.mark.parametrize(
    "kind", [b"application/cloudevents", b"application/cloudevents+avro", b"application/cloudeventsx"]
)
def test_another_format_of_cloudevents_is_refused(kind: bytes) -> None:
    reason, error = refused(envelope(), [("content-type", kind)])
    assert reason == "invalid_envelope"
    assert "application/cloudevents+json" in error


@pytest.mark.parametrize("value", [b"[]", b'"text"', b"7", b"null"])
def test_an_envelope_that_is_no_object_is_refused(value: bytes) -> None:
    assert refused(value, STRUCTURED) == ("invalid_envelope", "Input should be an object")


def test_a_plain_article_under_the_header_of_an_envelope_is_refused() -> None:
    reason, error = refused(json.dumps(ARTICLE).encode(), STRUCTURED)
    assert reason == "invalid_envelope"
    assert "specversion: Field required" in error


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"\xff\xfe",
        envelope()[:-1],
        envelope() * 2,
        b'{"data": ' + b"[" * 100_000,
        b"\xef\xbb\xbf" + envelope(),
    ],
    ids=["cut", "bytes", "cut-off", "two", "deep", "byte-order-mark"],
)
def test_an_envelope_that_is_no_json_is_said_with_its_place(value: bytes) -> None:
    reason, error = refused(value, STRUCTURED)
    assert reason == "invalid_json"
    assert "column" in error


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (envelope()[:-1] + b', "id": "2"}', "id"),
        (envelope()[:-1] + b', "data": {}}', "data"),
        (envelope(data={"publisher": "a", "body": "x"}).replace(b'"body"', b'"body": "y", "body"'), "body"),
        (envelope(data=ARTICLE | {"extra": {"a": "b"}}).replace(b'"a"', b'"a": "", "a"'), "a"),
        (in_base64(b'{"publisher": "a", "body": "x", "body": "y"}'), "body"),
    ],
    ids=["attribute", "data", "article", "extra", "base64"],
)
def test_a_key_given_twice_is_refused_at_every_depth(value: bytes, name: str) -> None:
    assert refused(value, STRUCTURED) == ("invalid_record", f"{name}: the field is given twice")


@pytest.mark.parametrize("value", [None, b""])
@pytest.mark.parametrize("headers", [[], BINARY, STRUCTURED], ids=["plain", "binary", "structured"])
def test_no_value_is_empty_in_every_mode(value: bytes | None, headers: list[Header]) -> None:
    assert refused(value, headers)[0] == "empty"


@pytest.mark.parametrize(
    "pack", [lambda article: envelope(data=json.loads(article)), in_base64], ids=["data", "base64"]
)
def test_an_article_is_judged_as_a_plain_one(pack: Any) -> None:
    broken = json.dumps(ARTICLE | {"hedline": "y", "language": "en_GB"}).encode()
    assert refused(pack(broken), STRUCTURED) == refused(broken, [])
    assert "hedline: unknown field" in refused(pack(broken), STRUCTURED)[1]


def of_size(size: int) -> bytes:
    """An envelope of so many bytes, most of them in letters that JSON may escape."""
    empty = json.dumps(EVENT | {"data": ARTICLE | {"body": ""}}, ensure_ascii=False).encode()
    rest = size - len(empty)
    body = "é" * (rest // 2) + "x" * (rest % 2)
    return json.dumps(EVENT | {"data": ARTICLE | {"body": body}}, ensure_ascii=False).encode()


def test_the_whole_envelope_is_bounded() -> None:
    assert len(of_size(MAX_RAW_BYTES)) == MAX_RAW_BYTES
    assert isinstance(read(of_size(MAX_RAW_BYTES), STRUCTURED), RawArticle)
    reason, error = refused(of_size(MAX_RAW_BYTES + 1), STRUCTURED)
    assert (reason, str(MAX_RAW_BYTES + 1) in error) == ("too_large", True)


def test_the_largest_revision_is_the_same_out_of_an_envelope() -> None:
    assert read(envelope(data=ARTICLE | {"revision": 2**63 - 1}), STRUCTURED).revision == 2**63 - 1


def test_a_number_that_no_parser_reads_costs_one_record() -> None:
    value = envelope(data=ARTICLE | {"revision": "N"}).replace(b'"N"', b"9" * 5_000)
    assert refused(value, STRUCTURED)[0] == "invalid_json"


def test_only_headers_about_the_packing_go_to_the_child_process() -> None:
    own = [("trace", b"1"), ("Content-Type", b"x"), ("CE_SpecVersion", b"1.0"), ("ce_id", b"1" * 1_000)]
    assert packing_headers(own) == [("content-type", b"x"), ("ce_specversion", b"1.0")]


TEXT = st.text(min_size=1, max_size=20)
ARTICLES = st.builds(
    RawArticle,
    publisher=st.just("harbour-post.example"),
    body=TEXT,
    headline=st.none() | st.text(max_size=20),
    subjects=st.lists(TEXT, max_size=2).map(tuple),
    revision=st.none() | st.integers(0, 2**63 - 1),
    extra=st.dictionaries(TEXT, st.text(max_size=5), max_size=2),
)


@given(ARTICLES, st.booleans())
def test_every_article_comes_out_as_it_went_in(article: RawArticle, escaped: bool) -> None:
    value = write_record(article)
    packed = json.dumps(EVENT | {"data": json.loads(value)}, ensure_ascii=escaped).encode()
    assert read(packed, STRUCTURED) == read(in_base64(value), STRUCTURED) == read(value, BINARY) == article
    assert len(unwrap(packed, STRUCTURED) or b"") < len(packed)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ["specversion", "id", "source", "type", "data", "data_base64", "datacontenttype", "other", "Bad"]
KINDS = st.sampled_from([b"application/cloudevents+json", b"application/cloudevents-batch+json", b"text/plain"])


@given(
    st.binary()
    | st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES).map(lambda part: json.dumps(EVENT | part).encode()),
    st.lists(st.tuples(st.sampled_from(["content-type", "ce_specversion", "other"]), KINDS | st.binary())),
)
def test_whatever_comes_is_read_or_refused(value: bytes, headers: list[Header]) -> None:
    outcome = read_or_refused(value, headers)
    if isinstance(outcome, Refused):
        assert outcome.reason in ("empty", "invalid_json", "invalid_envelope", "invalid_record")
        assert outcome.error


def read_or_refused(value: bytes, headers: list[Header]) -> RawArticle | Refused:
    try:
        article = read(value, headers)
    except Refused as refusal:
        return refusal
    assert isinstance(article, RawArticle)
    return article
