"""ninjs documents: one in a file, a list of them, or one a line (`ending`)."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus.case import HUGE_BYTES, Case, Kind, Maker, of

_make = Maker(Kind.NINJS)

_LINES: dict[str, Any] = {"ending": ".jsonl"}


def _document(uri: str, /, **other: Any) -> dict[str, Any]:
    document = {
        "uri": uri,
        "type": "text",
        "versionCreated": "2026-01-31T08:00:00Z",
        "language": "en",
        "infoSources": [{"role": "publisher", "name": "good.example"}],
        "headlines": [{"role": "main", "value": "The ferry sails"}],
        "bodies": [{"role": "main", "contentType": "text/plain", "value": f"The text of {uri}."}],
    }
    return {key: value for key, value in (document | other).items() if value is not None}


_A, _B = _document("urn:good:neighbour-1"), _document("urn:good:neighbour-2")


def _bad(name: str, says: str = "", reasons: str = "invalid_record", /, **other: Any) -> Case:
    """A document with something wrong, in a list between two good ones."""
    content = json.dumps([_A, _document("urn:odd:17", **other), _B]).encode()
    return _make.mixed(f"ninjs-{name}", content, reasons, says)


def _line(name: str, bad: bytes, reasons: str, says: str = ":2") -> Case:
    content = json.dumps(_A).encode() + b"\n" + bad + b"\n" + json.dumps(_B).encode() + b"\n"
    return _make.mixed(f"ninjs-line-{name}", content, reasons, says, options=_LINES)


CASES: tuple[Case, ...] = (
    # ------------------------------------------------------------ the file as a whole
    _make.refused("ninjs-empty", b"", "invalid_json empty"),
    _make.refused("ninjs-utf-16", json.dumps(_A).encode("utf-16"), "not_utf8", "byte 0"),
    _make.refused("ninjs-latin-1", b'{"uri": "caf\xe9"}', "not_utf8", "byte 12"),
    _make.refused("ninjs-cut-off", json.dumps([_A, _B]).encode()[:-30], "invalid_json", "character"),
    _make.refused("ninjs-garbage-behind", json.dumps(_A).encode() + b"}", "invalid_json", "character"),
    _make.refused("ninjs-newsml-g2", b'<?xml version="1.0"?><newsMessage/>', "invalid_json", "character 1"),
    _make.refused("ninjs-depth-100000", b"[" * 100_000 + b"]" * 100_000, "too_deep", "deep"),
    _make.refused("ninjs-depth-100000-not-closed", b'{"bodies": [' * 100_000, "too_deep", "deep"),
    _make.refused("ninjs-nan", b'{"uri": "u", "urgency": NaN}', "invalid_json", "NaN"),
    _make.refused("ninjs-number-1e999", b'{"uri": "u", "urgency": 1e999}', "invalid_json", "1e999"),
    _make.refused(
        "ninjs-integer-of-10000-digits", b'{"urgency": ' + b"9" * 10_000 + b"}", "invalid_json", "digits"
    ),
    _make.refused("ninjs-key-twice", b'{"uri": "a", "uri": "b"}', "invalid_record", "uri"),
    _make.refused("ninjs-half-a-surrogate-pair", b'{"uri": "\\ud83d"}', "invalid_json", "surrogate"),
    _make.refused("ninjs-larger-than-any-file", of(HUGE_BYTES, b"[]", b"["), "too_large", "max-file-bytes"),
    _make.refused("ninjs-5-mb-of-empty-lists", of(5_000_000, b"[],", b"[[", b"[]]]"), "invalid_record", "object"),
    _make.refused("ninjs-a-text", b'"news"', "invalid_record", "object"),
    _make.refused("ninjs-null", b"null", "invalid_record", "object"),
    _make.refused("ninjs-version-1", b'{"uri": "u", "headline": "H", "body_text": "B"}', "not_ninjs", "bodies"),
    _make.refused("ninjs-articles-raw-record", b'{"publisher": "p", "body": "B"}', "not_ninjs", "uri"),
    _make.refused("ninjs-geojson", b'{"type": "FeatureCollection", "features": []}', "not_ninjs not_text skipped"),
    # ------------------------------------------------------------ one document of several
    _make.mixed("ninjs-null-in-the-list", json.dumps([_A, None, _B]).encode(), "invalid_record", "#2"),
    _make.mixed("ninjs-list-in-the-list", json.dumps([_A, [_A], _B]).encode(), "invalid_record", "#2"),
    _make.mixed("ninjs-empty-object-in-the-list", json.dumps([_A, {}, _B]).encode(), "not_ninjs", "#2"),
    _bad("without-uri", "uri", "not_ninjs", uri=None),
    _bad("uri-a-list", "uri", uri=["a"]),
    _bad("uri-with-a-newline", "id", uri="urn:odd:\n17"),
    _bad("without-publisher", "publisher", infoSources=None),
    _bad("publisher-with-a-terminal-escape", "publisher", infoSources=[{"name": "\x1b[31m"}]),
    _bad("info-sources-a-number", r"infosources\.0", infoSources=7),
    _bad("bodies-empty", "bodies", "not_ninjs", bodies=[]),
    _bad("bodies-a-number", r"bodies\.0", bodies=17),
    _bad("bodies-of-lists", r"bodies\.0", bodies=[["x"]]),
    _bad("body-value-an-object", r"bodies\.0\.value", bodies=[{"value": {"p": "x"}}]),
    _bad("body-a-picture", "image/png", bodies=[{"contentType": "image/png", "value": "iVBORw0KGgo="}]),
    _bad("body-type-of-100000-characters", "bodies", bodies=[{"contentType": "x" * 100_000, "value": "x"}]),
    _bad("body-over-the-limit", "900000", "too_large", bodies=[{"value": "a" * 950_000}]),
    _bad("headlines-a-number", r"headlines\.0", headlines=5),
    _bad("version-created-in-words", "modified", versionCreated="this morning"),
    _bad("version-created-a-number", "modified", versionCreated=1_700_000_000),
    _bad("version-created-beyond-utc", "modified", versionCreated="9999-12-31T23:59:59-12:00"),
    _bad("first-created-year-0", "published", firstCreated="0000-01-01T00:00:00Z"),
    _bad("language-in-words", "language", language="English, mostly"),
    _bad("pub-status-unknown", "pubstatus", pubStatus="embargoed?"),
    _bad("pub-status-an-object", "pubstatus", pubStatus={"code": "usable"}),
    _bad("pub-status-of-100000-characters", "pubstatus", pubStatus="s" * 100_000),
    _bad("by-a-list", "by", by=["A", "B"]),
    _bad("field-in-two-ways-of-writing", "versioncreated", versioncreated="2026-01-31T08:00:00Z"),
    _bad("subjects-of-numbers", r"subjects\.0", subjects=[1, 2]),
    # ------------------------------------------------------------ lines
    _line("cut-off", json.dumps(_A).encode()[:50], "invalid_json"),
    _line("not-utf-8", b'{"uri": "\xff\xfe"}', "not_utf8"),
    _line("depth-100000", b'{"a":' * 100_000, "too_deep invalid_json"),
    _line("of-3-mb", json.dumps(_document("u", slugline="s" * 3_000_000)).encode(), "too_large"),
    _line("a-list", json.dumps([_A]).encode(), "invalid_record"),
    # ------------------------------------------------------------ odd, and taken
    _make.taken("ninjs-byte-order-mark", b"\xef\xbb\xbf" + json.dumps([_A, _B]).encode(), 2, "editors write it"),
    _make.taken("ninjs-one-in-items", json.dumps({"items": [_A, _B]}).encode(), 2, "as search answers have them"),
    _make.taken(
        "ninjs-rendition-with-port-99999",
        json.dumps(
            [_A | {"renditions": [{"contentType": "text/html", "href": "http://a.example:99999/"}]}]
        ).encode(),
        1,
        "an address that is none is left out, the article stays",
    ),
    _make.taken("ninjs-nothing-in-the-list", b"[]", 0, "a list without documents"),
    _make.taken(
        "ninjs-canceled",
        json.dumps([_A, _document("u", pubStatus="stat:canceled"), _B]).encode(),
        2,
        "passed over on purpose, and counted",
    ),
    _make.taken(
        "ninjs-a-picture",
        json.dumps([_A, _document("u", type="picture"), _B]).encode(),
        2,
        "passed over on purpose, and counted",
    ),
)
