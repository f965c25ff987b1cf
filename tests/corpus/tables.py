"""CSV files, and JSON lines whose fields have other names."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.corpus.case import HUGE_BYTES, MIB, Case, Kind, Maker, of

_csv = Maker(Kind.CSV)
_mapped = Maker(Kind.MAPPED)

_HEAD = b"publisher,id,headline,body\n"
_A = b'good.example,neighbour-1,One,"Nothing is wrong here."\n'
_B = b'good.example,neighbour-2,Two,"Nor is it here, after a bad row."\n'


def _between(bad: bytes, head: bytes = _HEAD) -> bytes:
    return head + _A + bad + _B


_DATED = b"publisher,id,headline,body,published,url,language,subjects,revision\n"


def _dated(bad: bytes) -> bytes:
    """Rows of a table with more columns; the bad row's first four cells are given."""
    good = [
        row[:-1] + b",2026-01-31T08:00:00Z,https://good.example/%d,en,a;b,17\n" % n
        for n, row in enumerate((_A, _B))
    ]
    return _DATED + good[0] + b"odd.example,17,H,B," + bad + b"\n" + good[1]


ROWS: tuple[Case, ...] = (
    # ------------------------------------------------------------ the file as a whole
    _csv.taken("csv-empty", b"", 0, "a file that nothing was written to yet"),
    _csv.taken("csv-header-only", _HEAD, 0, "a table without rows"),
    _csv.refused("csv-no-header", _A + _B, "trouble", "column"),
    _csv.refused("csv-header-without-text", b"publisher,id\n" + b"p,1\n", "trouble", "body or html"),
    _csv.refused("csv-header-without-publisher", b"id,body\n1,x\n", "trouble", "publisher"),
    _csv.refused("csv-header-with-a-column-twice", b"publisher,body,body\np,x,y\n", "trouble", "body"),
    _csv.refused("csv-header-with-an-open-quote", b'publisher,"body\n' + _A, "trouble", "header"),
    _csv.refused(
        "csv-header-of-1-mb-names", b"n" * 1_000_000 + b"," + b"m" * 900_000 + b"\nx,y\n", "trouble", "column"
    ),
    _csv.refused(
        "csv-header-of-100000-columns", b",".join(b"c%d" % n for n in range(100_000)) + b"\n", "trouble", "column"
    ),
    _csv.refused("csv-header-with-a-terminal-escape", b"\x1b[31m,\x07\nx,y\n", "trouble", "column"),
    _csv.refused("csv-utf-16", (_HEAD + _A).decode().encode("utf-16"), "trouble", "header|column|not utf-8"),
    _csv.refused("csv-utf-32", (_HEAD + _A).decode().encode("utf-32"), "trouble", "header|column|not utf-8"),
    _csv.refused(
        "csv-a-spreadsheet", b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(256)), "trouble", "header|column"
    ),
    _csv.refused(
        "csv-html-login-page", b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "trouble", "column"
    ),
    _csv.refused("csv-json", b'[{"publisher": "p", "body": "x"}]\n', "trouble", "column|header"),
    _csv.refused("csv-nul-bytes", bytes(10_000), "trouble", "header|column"),
    _csv.refused("csv-larger-than-any-row", of(3 * MIB), "trouble", "more than"),
    _csv.refused("csv-wrong-delimiter-said", _HEAD + _A, "trouble", "column", options={"delimiter": "|"}),
    _csv.refused(
        "csv-no-such-column-mapped", _HEAD + _A, "trouble", "Headline", options={"map": ["headline=Headline"]}
    ),
    # ------------------------------------------------------------ rows
    _csv.mixed("csv-row-too-short", _between(b"odd.example,17\n"), "ragged", ":3"),
    _csv.mixed("csv-row-too-long", _between(b"odd.example,17,H,B,more,and,more\n"), "ragged", ":3"),
    _csv.mixed("csv-row-of-100000-cells", _between(b"," * 100_000 + b"\n"), "ragged", ":3"),
    _csv.mixed(
        "csv-quote-never-closed",
        _between(b'odd.example,17,"H,B\n'),
        "invalid_csv unclosed_quote ragged too_large",
        ":3",
    ),
    _csv.mixed(
        "csv-quote-never-closed-at-the-end", _HEAD + _A + _B + b'odd.example,17,H,"B', "unclosed_quote", ":4"
    ),
    _csv.mixed("csv-quote-within-a-cell", _between(b'odd.example,17,"The "new" pier",B\n'), "invalid_csv", ":3"),
    _csv.mixed("csv-text-behind-a-quote", _between(b'odd.example,17,"H"x,B\n'), "invalid_csv", ":3"),
    _csv.mixed("csv-row-of-3-mb", _between(b"odd.example,17,H," + b"a" * 3_000_000 + b"\n"), "too_large", ":3"),
    _csv.mixed("csv-row-of-128-mib", of(HUGE_BYTES, before=_HEAD + _A, after=b"\n" + _B), "too_large", ":3"),
    _csv.mixed(
        "csv-body-over-the-record-limit", _between(b"odd.example,17,H," + b"a" * 950_000 + b"\n"), "too_large"
    ),
    _csv.mixed("csv-row-in-latin-1", _between("odd.example,17,H,caf\u00e9\n".encode("latin-1")), "not_utf8", ":3"),
    _csv.mixed("csv-row-cut-in-a-character", _between(b"odd.example,17,H,caf\xc3\n"), "not_utf8", ":3"),
    _csv.mixed("csv-nul-in-a-cell", _between(b"odd.example,17,H,B\0B\n"), "nul", ":3"),
    _csv.mixed(
        "csv-lone-carriage-return",
        _between(b"odd.example,17,H,B\rodd.example,18,H,B\n"),
        "invalid_csv ragged",
        ":3",
    ),
    _csv.mixed("csv-other-delimiter-in-one-row", _between(b"odd.example;17;H;B\n"), "ragged", ":3"),
    _csv.mixed("csv-header-again-within", _between(b"publisher,id,headline\n"), "ragged", ":3"),
    _csv.mixed("csv-row-without-publisher", _between(b",17,H,B\n"), "invalid_record", "publisher"),
    _csv.mixed("csv-row-without-body", _between(b"odd.example,17,H,\n"), "invalid_record", "neither"),
    _csv.mixed("csv-publisher-with-a-newline", _between(b'"odd\nexample",17,H,B\n'), "invalid_record", "publisher"),
    _csv.mixed("csv-id-with-a-tab", _between(b"odd.example,1\t7,H,B\n"), "invalid_record", "id"),
    _csv.mixed("csv-time-in-another-form", _dated(b"31/01/2026,,,,"), "invalid_record", "published"),
    _csv.mixed("csv-time-a-bare-number", _dated(b"1769846400000,,,,"), "invalid_record", "published"),
    _csv.mixed("csv-time-of-a-spreadsheet", _dated(b"46053.333,,,,"), "invalid_record", "published"),
    _csv.mixed("csv-time-of-year-9999", _dated(b"9999-12-31T23:59:59-12:00,,,,"), "invalid_record", "published"),
    _csv.mixed("csv-url-without-host", _dated(b",http:///x,,,"), "invalid_record", "url"),
    _csv.mixed("csv-url-port-99999", _dated(b",http://odd.example:99999/,,,"), "invalid_record", "url"),
    _csv.mixed("csv-language-in-words", _dated(b",,English (US),,"), "invalid_record", "language"),
    _csv.mixed("csv-revision-of-5000-digits", _dated(b",,,," + b"9" * 5_000), "invalid_record", "revision"),
    _csv.mixed("csv-revision-a-fraction", _dated(b",,,,1.5"), "invalid_record", "revision"),
    _csv.mixed("csv-formula", _dated(b"=NOW(),,,,"), "invalid_record", "published"),
    _csv.mixed(
        "csv-unix-time-not-a-number",
        _DATED.replace(b",url,language,subjects,revision", b"")
        + _A[:-1]
        + b",1769846400\n"
        + b"odd.example,17,H,B,nan\n"
        + _B[:-1]
        + b",1769846401\n",
        "invalid_record",
        "published",
        options={"time_format": "unix"},
    ),
    _csv.mixed(
        "csv-unix-time-1e308",
        _DATED.replace(b",url,language,subjects,revision", b"")
        + _A[:-1]
        + b",1769846400\n"
        + b"odd.example,17,H,B,1e308\n"
        + _B[:-1]
        + b",1\n",
        "invalid_record",
        "published",
        options={"time_format": "unix"},
    ),
    # ------------------------------------------------------------ gzip
    _csv.refused("csv-gz-that-is-none", _between(b""), "trouble", "cannot be read", options={"ending": ".csv.gz"}),
    _csv.refused(
        "csv-gz-empty-member-cut",
        gzip.compress(_between(b""), mtime=0)[:12],
        "trouble",
        "cannot be read",
        options={"ending": ".csv.gz"},
    ),
    _csv.refused(
        "csv-gz-bomb",
        lambda: [gzip.compress(bytes(HUGE_BYTES), mtime=0)],
        "trouble too_large",
        "",
        options={"ending": ".csv.gz"},
    ),
    _csv.mixed(
        "csv-gz-cut-off",
        gzip.compress(_between(b"".join(b"odd.example,%d,H,\n" % (n * 7919) for n in range(99))), mtime=0)[:-6],
        "trouble invalid_record",
        good=2,
        options={"ending": ".csv.gz"},
    ),
    _csv.mixed(
        "csv-gz-garbage-behind",
        gzip.compress(_between(b""), mtime=0) + b"garbage",
        "trouble",
        "cannot be read",
        options={"ending": ".csv.gz"},
    ),
    _csv.mixed(
        "csv-gz-wrong-checksum",
        gzip.compress(_between(b""), mtime=0)[:-8] + bytes(8),
        "trouble",
        "cannot be read",
        options={"ending": ".csv.gz"},
    ),
    # ------------------------------------------------------------ odd, and taken
    _csv.taken("csv-byte-order-mark", b"\xef\xbb\xbf" + _between(b""), 2, "spreadsheets write it"),
    _csv.taken("csv-semicolons", _between(b"").replace(b",", b";"), 2, "the header tells the delimiter"),
    _csv.taken("csv-empty-rows", _between(b"\n,,,\n\n"), 2, "rows without a cell are passed over, and counted"),
    _csv.taken(
        "csv-newlines-in-a-cell", _between(b'odd.example,17,H,"one\r\ntwo\n\nthree"\n'), 3, "quotes hold them"
    ),
    _csv.taken("csv-no-end-of-the-last-row", _between(b"")[:-1], 2, "a file need not end with a newline"),
    _csv.taken(
        "csv-formula-in-a-headline",
        _between(b"odd.example,17,=cmd|'/c calc'!A1,B\n"),
        3,
        "a text here; nothing opens it",
    ),
)

_TITLES: dict[str, Any] = {
    "map": ["headline=meta.title", "body=text", "id=key", "publisher=meta.site", "published=meta.at"]
}


def _line(number: int, **other: Any) -> bytes:
    record: dict[str, Any] = {
        "key": f"neighbour-{number}",
        "text": f"The {number}th of these is good.",
        "meta": {"title": "T", "site": "good.example", "at": "2026-01-31T08:00:00Z"},
    }
    return json.dumps(record | other).encode()


def _bad(name: str, bad: bytes, reasons: str, says: str = "") -> Case:
    content = _line(1) + b"\n" + bad + b"\n" + _line(2) + b"\n"
    return _mapped.mixed(f"mapped-{name}", content, reasons, says, options=_TITLES)


def _meta(**other: Any) -> dict[str, Any]:
    return {"title": "T", "site": "odd.example"} | other


MAPPED: tuple[Case, ...] = (
    _bad("list-in-place-of-an-object", b'["odd.example", "x"]', "invalid_record", ":2"),
    _bad("number-in-place-of-an-object", b"17", "invalid_record", ":2"),
    _bad("object-where-a-text-is", _line(17, text={"paragraphs": []} | {"a": 1}), "invalid_record", "body"),
    _bad("list-where-a-text-is", _line(17, text=["one", "two"]), "invalid_record", "body"),
    _bad("true-where-a-time-is", _line(17, meta=_meta(at=True)), "invalid_record", "published"),
    _bad("meta-a-text", _line(17, meta="T"), "invalid_record", "publisher"),
    _bad("meta-null", _line(17, meta=None), "invalid_record", "publisher"),
    _bad("depth-100000", b'{"meta": ' + b'{"meta": ' * 100_000, "too_deep invalid_json", ":2"),
    _bad("depth-100000-closed", b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep", ":2"),
    _bad("nan", b'{"text": NaN}', "invalid_json", "NaN"),
    _bad("number-1e400", b'{"text": 1e400}', "invalid_json", "1e400"),
    _bad("integer-of-10000-digits", b'{"text": ' + b"9" * 10_000 + b"}", "invalid_json", "digits"),
    _bad("key-twice", b'{"text": "a", "text": "b"}', "invalid_record", "text"),
    _bad(
        "key-twice-of-100000-characters",
        b'{"%b": 1, "%b": 2}' % (b"k" * 100_000, b"k" * 100_000),
        "invalid_record",
        "twice",
    ),
    _bad("half-a-surrogate-pair", b'{"text": "\\ud800"}', "invalid_json", "surrogate"),
    _bad("half-a-surrogate-pair-in-a-key", b'{"\\udfff": "x"}', "invalid_json", "surrogate"),
    _bad("not-utf-8", b'{"text": "\xe9"}', "not_utf8", "byte"),
    _bad("line-of-3-mb", _line(17, text="a" * 3_000_000), "too_large", ":2"),
    _bad("cut-off", _line(17)[:30], "invalid_json", ":2"),
    _bad("empty-text", _line(17, text=" "), "invalid_record", "neither"),
    _bad("subjects-nested", _line(17, subjects=[["a"]]), "invalid_record", r"subjects\.0"),
    _bad("revision-negative", _line(17, revision=-5), "invalid_record", "revision"),
    _bad("unclosed-html-for-json", b"<html><body>502 Bad Gateway", "invalid_json", ":2"),
    _mapped.refused(
        "mapped-no-such-path", _line(1), "invalid_record", "publisher", options={"map": ["body=nowhere.at.all"]}
    ),
    _mapped.taken(
        "mapped-blank-lines", _line(1) + b"\n\n \n" + _line(2), 2, "blank lines are no records", options=_TITLES
    ),
)

CASES = ROWS + MAPPED
