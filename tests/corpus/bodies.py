"""Bodies of requests to the gateway. All or nothing: a body with one bad article is refused as a whole."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.corpus.case import HUGE_BYTES, Case, Kind, Maker, neighbour, of

_make = Maker(Kind.BODY)

_A, _B = neighbour(1), neighbour(2)


def _with(content_type: str | None, **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"headers": ({"content-type": content_type} if content_type else {}) | named}


_ONE = _with("application/json")
_LINES = _with("application/x-ndjson")
_EVENT = _with("application/cloudevents+json")
_BINARY = _with("application/json", ce_specversion="1.0", ce_type="t", ce_source="s", ce_id="1")
_GZIP = _with("application/x-ndjson", content_encoding="gzip")


def _between(bad: bytes) -> bytes:
    return _A + b"\n" + bad + b"\n" + _B


def _event(**other: Any) -> bytes:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": json.loads(_A)} | other
    return json.dumps({key: value for key, value in event.items() if value is not None}).encode()


CASES: tuple[Case, ...] = (
    _make.refused("body-empty", b"", "empty", "no article", options=_ONE),
    _make.refused("body-only-white-space", b"\r\n \t", "empty", "no article", options=_LINES),
    _make.refused("body-without-content-type", _A, "content_type", "content-type", options=_with(None)),
    _make.refused(
        "body-of-a-form",
        b"body=x&publisher=p",
        "content_type",
        "content-type",
        options=_with("application/x-www-form-urlencoded"),
    ),
    _make.refused(
        "body-content-type-of-100000-characters",
        _A,
        "content_type",
        "content-type",
        options=_with("application/" + "j" * 100_000),
    ),
    _make.refused(
        "body-charset-of-another-kind",
        _A,
        "content_type",
        "charset",
        options=_with("application/json; charset=utf-16"),
    ),
    _make.refused(
        "body-cloud-events-batch",
        b"[" + _event() + b"]",
        "content_type",
        "content-type",
        options=_with("application/cloudevents-batch+json"),
    ),
    _make.refused(
        "body-encoding-brotli",
        _A,
        "content_encoding",
        "content-encoding",
        options=_with("application/json", content_encoding="br"),
    ),
    _make.refused(
        "body-encoding-gzip-twice",
        _A,
        "content_encoding",
        "content-encoding",
        options=_with("application/json", content_encoding="gzip, gzip"),
    ),
    _make.refused("body-gzip-that-is-none", _A, "invalid_gzip", "gzip", options=_GZIP),
    _make.refused(
        "body-gzip-cut-off", gzip.compress(_between(_A), mtime=0)[:-9], "invalid_gzip", "cut off", options=_GZIP
    ),
    _make.refused("body-gzip-empty", b"", "invalid_gzip", "cut off", options=_GZIP),
    _make.refused(
        "body-gzip-garbage-behind", gzip.compress(_A, mtime=0) + b"garbage", "invalid_gzip", "gzip", options=_GZIP
    ),
    _make.refused(
        "body-gzip-wrong-checksum",
        gzip.compress(_A, mtime=0)[:-8] + bytes(8),
        "invalid_gzip",
        "gzip",
        options=_GZIP,
    ),
    _make.refused(
        "body-gzip-bomb",
        lambda: [gzip.compress(bytes(HUGE_BYTES), mtime=0)],
        "body_too_large",
        "bytes allowed",
        options=_GZIP,
    ),
    _make.refused(
        "body-gzip-of-1000000-empty-members",
        of(20_000_000, gzip.compress(b"", mtime=0)),
        "body_too_large",
        "bytes allowed",
        options=_GZIP,
    ),
    _make.refused(
        "body-larger-than-allowed", of(HUGE_BYTES, b"x"), "body_too_large", "bytes allowed", options=_LINES
    ),
    _make.refused(
        "body-of-1000000-empty-lines", b"\n" * 1_000_000, "too_many_lines", "lines allowed", options=_LINES
    ),
    _make.refused(
        "body-list-of-articles", b"[" + _A + b"," + _B + b"]", "invalid_record", "x-ndjson", options=_ONE
    ),
    _make.refused("body-two-articles-as-one", _A + b"\n" + _B, "invalid_json", "line 2", options=_ONE),
    _make.refused(
        "body-one-bad-line-of-three", _between(b'{"publisher": "p"}'), "invalid_record", "neither", options=_LINES
    ),
    _make.refused("body-line-cut-off", _between(_A[:30]), "invalid_json", "line 1", options=_LINES),
    _make.refused(
        "body-line-not-utf-8", _between(b'{"publisher": "\xff"}'), "invalid_json not_utf8", options=_LINES
    ),
    _make.refused(
        "body-line-over-the-limit",
        _between(neighbour(3, body="a" * 900_000)),
        "too_large",
        "900000",
        options=_LINES,
    ),
    _make.refused("body-9000-bad-lines", b"{}\n" * 9_000, "invalid_record", "publisher", options=_LINES),
    _make.refused("body-depth-100000", b"[" * 100_000, "invalid_json", "recursion", options=_ONE),
    _make.refused(
        "body-key-of-800000-characters", neighbour(3, **{"k" * 800_000: "x"}), "invalid_record", "k", options=_ONE
    ),
    _make.refused(
        "body-integer-of-10000-digits",
        b'{"publisher": "p", "body": "x", "revision": ' + b"9" * 10_000 + b"}",
        "invalid_json",
        "line 1",
        options=_ONE,
    ),
    _make.refused(
        "body-publisher-not-allowed",
        neighbour(3, publisher="other.example"),
        "forbidden",
        "publisher",
        options=_ONE | {"publishers": ["good.example"]},
    ),
    _make.refused("body-utf-16", _A.decode().encode("utf-16"), "invalid_json", "line 1", options=_ONE),
    _make.refused("event-without-data", _event(data=None), "invalid_envelope", "data", options=_EVENT),
    _make.refused("event-with-both-datas", _event(data_base64="e30="), "invalid_envelope", "data", options=_EVENT),
    _make.refused(
        "event-base64-that-is-none",
        _event(data=None, data_base64="?!"),
        "invalid_envelope",
        "data_base64",
        options=_EVENT,
    ),
    _make.refused(
        "event-base64-of-no-article",
        _event(data=None, data_base64="e30="),
        "invalid_record",
        "publisher",
        options=_EVENT,
    ),
    _make.refused("event-data-a-text", _event(data="x"), "invalid_envelope", "data", options=_EVENT),
    _make.refused(
        "event-data-not-json",
        _event(datacontenttype="text/plain"),
        "invalid_envelope",
        "datacontenttype",
        options=_EVENT,
    ),
    _make.refused(
        "event-version-0-3", _event(specversion="0.3"), "invalid_envelope", "specversion", options=_EVENT
    ),
    _make.refused(
        "event-attribute-in-capitals",
        _event(dataContentType="x"),
        "invalid_envelope",
        "dataContentType",
        options=_EVENT,
    ),
    _make.refused(
        "event-attribute-of-100000-characters",
        _event(**{"K" * 100_000: "x"}),
        "invalid_envelope",
        "K",
        options=_EVENT,
    ),
    _make.refused("event-extension-an-object", _event(ext={"a": 1}), "invalid_envelope", "ext", options=_EVENT),
    _make.refused(
        "event-data-twice",
        _event()[:-1] + b', "data": {}}',
        "invalid_record invalid_envelope",
        "data",
        options=_EVENT,
    ),
    _make.refused(
        "event-key-twice-in-the-article",
        _event(data=None)[:-1] + b', "data": {"body": "a", "body": "b", "publisher": "p"}}',
        "invalid_record invalid_envelope",
        "body",
        options=_EVENT,
    ),
    _make.refused(
        "event-number-of-5000-digits",
        _event(data=None)[:-1] + b', "data": {"revision": ' + b"9" * 5_000 + b"}}",
        "invalid_json invalid_envelope",
        options=_EVENT,
    ),
    _make.refused(
        "event-half-a-surrogate-pair",
        _event(data=None)[:-1] + b', "data": {"body": "\\ud800"}}',
        "invalid_json",
        options=_EVENT,
    ),
    _make.refused("event-depth-100000", b'{"data": ' * 100_000, "invalid_json", options=_EVENT),
    _make.refused(
        "event-nan-in-data",
        _event(data=None)[:-1] + b', "data": {"publisher": "p", "body": "x", "revision": NaN}}',
        "invalid_json invalid_record invalid_envelope",
        options=_EVENT,
    ),
    _make.refused(
        "event-binary-of-another-version",
        _A,
        "invalid_envelope",
        "specversion",
        options=_with("application/json", ce_specversion="9.9"),
    ),
    _make.taken("event-binary", _A, 1, "attributes in headers, the article in the body", options=_BINARY),
    _make.taken(
        "event-extensions",
        _event(traceparent="00-1", number=5, yes=True),
        1,
        "extensions are passed over",
        options=_EVENT,
    ),
    _make.taken(
        "body-gzip-of-two-members",
        gzip.compress(_A + b"\n", mtime=0) + gzip.compress(_B, mtime=0),
        2,
        "as gzip has it",
        options=_GZIP,
    ),
    _make.taken("body-blank-lines", _between(b"\r\n \t"), 2, "blank lines are no articles", options=_LINES),
)
