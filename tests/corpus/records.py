"""Values of `articles-raw`, each wrong in its own way; as .json files, and sent to Kafka as they are."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus.case import Case, Kind, Maker

_make = Maker(Kind.JSON)


def text_of(name: str) -> str:
    """A body that no other case has: nothing is a repetition of anything."""
    return f"The harbour board of {name.replace('-', ' ')} met on Tuesday, and the ferry timetable was on its list."


def _fields(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    fields = {"publisher": "odd.example", "id": name, "body": text_of(name)} | changes
    return {key: value for key, value in fields.items() if value is not LEFT_OUT}


LEFT_OUT: Any = object()


def _bad(name: str, says: str, reason: str = "invalid_record", /, **changes: Any) -> Case:
    """A record that breaks a rule of the contract, with the field that its refusal names."""
    return _make.refused(f"json-{name}", json.dumps(_fields(name, changes)).encode(), reason, says)


def _odd(name: str, why: str, /, **changes: Any) -> Case:
    return _make.taken(f"json-{name}", json.dumps(_fields(name, changes), ensure_ascii=False).encode(), 1, why)


def _raw(name: str, reasons: str, content: bytes, says: str = "") -> Case:
    return _make.refused(f"json-{name}", content, reasons, says)


def _with(name: str, member: bytes) -> bytes:
    """A good record and one member more, to the letter."""
    return json.dumps(_fields(name, {})).encode()[:-1] + b", " + member + b"}"


def _twice_behind(others: int) -> bytes:
    """Looking for the key that is there twice must not take the square of the number of keys."""
    return b'"extra": {' + b",".join(b'"%x":""' % number for number in [*range(others), others - 1]) + b"}"


_PLAIN = json.dumps(_fields("plain", {})).encode()

CASES: tuple[Case, ...] = (
    # ------------------------------------------------------------ no JSON at all
    _raw("empty", "empty", b"", "value|empty"),
    _raw("only-white-space", "empty", b" \r\n\t\n ", "value|empty"),
    _raw("only-a-byte-order-mark", "invalid_json", b"\xef\xbb\xbf", "line 1"),
    _raw("byte-order-mark-before-a-record", "invalid_json", b"\xef\xbb\xbf" + _PLAIN, "line 1"),
    _raw("utf-16-with-mark", "invalid_json", _PLAIN.decode().encode("utf-16"), "line 1"),
    _raw("utf-16-without-mark", "invalid_json", _PLAIN.decode().encode("utf-16-le"), "line 1"),
    _raw("utf-32", "invalid_json", _PLAIN.decode().encode("utf-32"), "line 1"),
    _raw("latin-1", "invalid_json not_utf8", _with("latin-1", '"byline": "René"'.encode("latin-1")), "line 1|byte"),
    _raw("utf-8-cut-in-a-character", "invalid_json not_utf8", _with("cut", b'"byline": "Ren\xc3'), "line 1|byte"),
    _raw("utf-8-overlong", "invalid_json not_utf8", _with("overlong", b'"byline": "\xc0\xaf"'), "line 1|byte"),
    _raw(
        "utf-8-of-a-surrogate", "invalid_json not_utf8", _with("cesu", b'"byline": "\xed\xa0\x80"'), "line 1|byte"
    ),
    _raw("utf-8-beyond-unicode", "invalid_json not_utf8", _with("beyond", b'"byline": "\xf5\x80\x80\x80"')),
    _raw("gzip", "invalid_json", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + bytes(range(256)), "line 1"),
    _raw("png", "invalid_json", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(40), "line 1"),
    _raw("nul-bytes", "invalid_json", bytes(4_096), "line 1"),
    _raw("avro-magic-byte", "invalid_json", b"\x00\x00\x00\x00\x01" + _PLAIN, "line 1"),
    _raw("java-serialised", "invalid_json", b"\xac\xed\x00\x05t\x00\x04" + _PLAIN, "line 1"),
    _raw("xml", "invalid_json", b"<article><publisher>odd.example</publisher></article>", "line 1"),
    _raw("yaml", "invalid_json", b"publisher: odd.example\nbody: text\n", "line 1"),
    _raw("python-repr", "invalid_json", b"{'publisher': 'odd.example', 'body': None}", "line 1"),
    _raw("comment", "invalid_json", b"// from the desk\n" + _PLAIN, "line 1"),
    _raw("trailing-comma", "invalid_json", _PLAIN[:-1] + b",}", "line 1"),
    _raw("keys-without-quotes", "invalid_json", b'{publisher: "odd.example", body: "text"}', "line 1"),
    _raw("jsonp", "invalid_json", b"callback(" + _PLAIN + b")", "line 1"),
    _raw("anti-hijacking-prefix", "invalid_json", b")]}',\n" + _PLAIN, "line 1"),
    _raw("cut-off-in-a-text", "invalid_json", _PLAIN[:-20], "EOF|line 1"),
    _raw("cut-off-in-an-escape", "invalid_json", b'{"publisher": "odd.example", "body": "\\u00', "line 1"),
    _raw("cut-off-after-a-key", "invalid_json", b'{"publisher"', "line 1"),
    _raw("two-records", "invalid_json", _PLAIN + b"\n" + _PLAIN, "line 2"),
    _raw("garbage-behind", "invalid_json", _PLAIN + b"\x00\x00\x00", "line 1"),
    _raw("raw-newline-in-a-text", "invalid_json", b'{"publisher": "odd.example", "body": "a\nb"}', "control"),
    _raw("raw-nul-in-a-text", "invalid_json", b'{"publisher": "odd.example", "body": "a\0b"}', "control"),
    _raw("unknown-escape", "invalid_json", b'{"publisher": "odd.example", "body": "\\x41"}', "escape"),
    _raw("lone-high-surrogate", "invalid_json", b'{"publisher": "odd.example", "body": "\\ud83d"}', "line 1"),
    _raw("lone-low-surrogate", "invalid_json", b'{"publisher": "odd.example", "body": "\\ude00 x"}', "line 1"),
    _raw(
        "surrogates-the-wrong-way-round", "invalid_json", b'{"publisher": "o", "body": "\\ude00\\ud83d"}', "line 1"
    ),
    _raw("lone-surrogate-in-a-key", "invalid_json", _with("key", b'"\\ud800": "x"'), "line 1"),
    # ------------------------------------------------------------ JSON of another shape
    _raw("depth-100000-lists", "invalid_json", b"[" * 100_000, "recursion"),
    _raw("depth-100000-objects", "invalid_json", b'{"a":' * 100_000, "recursion"),
    _raw(
        "depth-100000-closed-in-extra",
        "invalid_json too_deep",
        _with("deep", b'"extra": ' + b"[" * 100_000 + b"]" * 100_000),
    ),
    _raw("null", "invalid_record", b"null", "object"),
    _raw("number", "invalid_record", b"17", "object"),
    _raw("text", "invalid_record", b'"an article"', "object"),
    _raw("list-of-records", "invalid_record", b"[" + _PLAIN + b"]", "object"),
    _raw("empty-object", "invalid_record", b"{}", "publisher"),
    _raw("wrapped", "invalid_record", b'{"article": ' + _PLAIN + b"}", "article"),
    # ------------------------------------------------------------ numbers
    _raw(
        "integer-of-10000-digits", "invalid_json invalid_record", _with("digits", b'"revision": ' + b"9" * 10_000)
    ),
    _raw(
        "integer-of-800000-digits-in-extra",
        "invalid_json invalid_record",
        _with("d", b'"extra": {"n": ' + b"7" * 800_000 + b"}"),
    ),
    _raw("number-1e400", "invalid_record invalid_json", _with("1e400", b'"revision": 1e400'), "revision|line 1"),
    _raw("nan", "invalid_record invalid_json", _with("nan", b'"revision": NaN'), "revision|line 1"),
    _raw("infinity", "invalid_record invalid_json", _with("infinity", b'"revision": -Infinity'), "revision|line 1"),
    _raw("number-with-leading-zero", "invalid_json", _with("zero", b'"revision": 0123'), "line 1"),
    _raw("number-in-hexadecimal", "invalid_json", _with("hex", b'"revision": 0x1F'), "line 1"),
    _bad("revision-negative", "revision", revision=-1),
    _bad("revision-2-to-the-63", "revision", revision=2**63),
    _bad("revision-fraction", "revision", revision=1.5),
    _bad("revision-as-text", "revision", revision="1700000000000"),
    _bad("revision-true", "revision", revision=True),
    # ------------------------------------------------------------ keys
    _raw("key-twice", "invalid_record", _with("twice", b'"publisher": "other.example"'), "publisher: .*twice"),
    _raw("key-twice-by-an-escape", "invalid_record", _with("escape", b'"\\u0062ody": "x"'), "body: .*twice"),
    _raw("key-twice-in-extra", "invalid_record", _with("extra", b'"extra": {"a": "1", "a": "2"}'), "a: .*twice"),
    _bad("key-unknown", "hedline", hedline="x"),
    _bad("key-in-capitals", "Headline", Headline="x"),
    _bad("key-empty", "unknown field", **{"": "x"}),
    _bad("key-of-800000-characters", "unknown field", **{"k" * 800_000: "x"}),
    _raw(
        "key-twice-of-100000-characters",
        "invalid_record",
        _with("long-twice", b'"extra": {' + b", ".join([b'"' + b"k" * 100_000 + b'": "x"'] * 2) + b"}"),
        "twice",
    ),
    _raw("key-twice-behind-40000-others", "invalid_record", _with("many", _twice_behind(40_000)), "twice"),
    _bad("key-with-control-characters", "unknown field", **{"a\x1b[31m\nb": "x"}),
    _bad("key-with-bidi-override", "unknown field", **{"\u202eeltit": "x"}),
    _bad("keys-unknown-50000", "and \\d+ more problems", **{f"k{number}": "" for number in range(50_000)}),
    # ------------------------------------------------------------ body and html
    _bad("neither-body-nor-html", "neither", body=LEFT_OUT),
    _bad("both-body-and-html", "both", html="<p>x</p>"),
    _bad("body-null", "neither", body=None),
    _bad("body-empty", "body", body=""),
    _bad("body-a-list-of-paragraphs", "body", body=["one", "two"]),
    _bad("body-a-number", "body", body=1),
    _bad("html-an-object", "html", body=LEFT_OUT, html={"p": "x"}),
    _bad("too-large-by-one-byte", "900000", "too_large", body="a" * 899_953),
    _bad("too-large-by-escapes", "900000", "too_large", body="\u0001" * 160_000),
    # ------------------------------------------------------------ each other field
    _bad("publisher-missing", "publisher", publisher=LEFT_OUT),
    _bad("publisher-null", "publisher", publisher=None),
    _bad("publisher-only-spaces", "publisher", publisher="  \u00a0 "),
    _bad("publisher-a-number", "publisher", publisher=7),
    _bad("publisher-with-a-newline", "publisher", publisher="odd\nexample"),
    _bad("publisher-with-a-terminal-escape", "publisher", publisher="\x1b]0;owned\x07"),
    _bad("publisher-with-delete", "publisher", publisher="odd\x7f.example"),
    _bad("id-with-nul", "id", id="17\x00"),
    _bad("id-a-number", "id", id=17),
    _bad("id-empty", "id", id=""),
    _bad("url-without-host", "url", url="https:///page"),
    _bad("url-host-only-port", "url", url="http://:80/"),
    _bad("url-port-0", "url", url="http://odd.example:0/"),
    _bad("url-port-99999", "url", url="http://odd.example:99999/"),
    _bad("url-port-in-words", "url", url="http://odd.example:eighty/"),
    _bad("url-bracket-never-closed", "url", url="http://[::1/page"),
    _bad("url-no-ipv6-in-brackets", "url", url="http://[not-an-address]/"),
    _bad("url-relative", "url", url="/news/17"),
    _bad("url-without-scheme", "url", url="odd.example/17"),
    _bad("url-javascript", "url", url="javascript:alert(1)"),
    _bad("url-file", "url", url="file:///etc/hostname"),
    _bad("url-data", "url", url="data:text/html,<p>x</p>"),
    _bad("url-host-that-normalises-to-a-slash", "url", url="http://odd.example\u2100x/"),
    _bad("url-empty", "url", url=""),
    _bad("published-year-0", "published", published="0000-01-01T00:00:00Z"),
    _bad("published-year-9999-beyond-utc", "published", published="9999-12-31T23:59:59-12:00"),
    _bad("published-year-1-before-utc", "published", published="0001-01-01T00:00:00+12:00"),
    _bad("published-year-10000", "published", published="10000-01-01T00:00:00Z"),
    _bad("published-february-30", "published", published="2026-02-30"),
    _bad("published-hour-25", "published", published="2026-01-31T25:00:00Z"),
    _bad("published-zone-of-99-hours", "published", published="2026-01-31T08:00:00+99:00"),
    _bad("published-a-unix-time", "published", published=1_700_000_000),
    _bad("published-in-words", "published", published="yesterday"),
    _bad("published-as-in-mail", "published", published="Sat, 31 Jan 2026 08:00:00 GMT"),
    _bad("published-in-arabic-digits", "published", published="٢٠٢٦-٠١-٣١"),
    _bad("published-empty", "published", published=""),
    _bad("modified-a-list", "modified", modified=["2026-01-31"]),
    _bad("language-in-words", "language", language="English (United States)"),
    _bad("language-with-underscore", "language", language="en_US"),
    _bad("language-of-one-letter", "language", language="x"),
    _bad("language-empty", "language", language=""),
    _bad("language-of-10000-parts", "language", language="en" + "-x" * 10_000),
    _bad("language-with-a-newline", "language", language="en\n"),
    _bad("subjects-as-one-text", "subjects", subjects="politics, sports"),
    _bad("subjects-with-an-empty-one", r"subjects\.1", subjects=["a", ""]),
    _bad("subjects-with-null", r"subjects\.0", subjects=[None]),
    _bad("subjects-of-100000-wrong-types", "and \\d+ more problems", subjects=[1] * 100_000),
    _bad("extra-nested", r"extra\.a", extra={"a": {"b": "c"}}),
    _bad("extra-a-list", "extra", extra=["a"]),
    _bad("extra-with-an-empty-key", "extra", extra={"": "x"}),
    _bad("extra-key-of-100000-characters", "extra", extra={"k" * 100_000: 1}),
    _bad("headline-an-object", "headline", headline={"en": "x"}),
    _bad("producer-with-control-characters", "producer", producer="p\x00"),
    # ------------------------------------------------------------ odd, and taken
    _odd("id-of-700-bytes", "the index knows the article by a digest of it", id="i" * 700),
    _odd("id-with-bidi-override", "people may not type it, but it is the producer's own id", id="17\u202e71"),
    _odd(
        "publisher-of-two-scripts",
        "a look-alike (Cyrillic a) is a name too; nothing here trusts names",
        publisher="b\u0430nk.example",
    ),
    _odd(
        "published-year-9999",
        "it is a time; the cleaner flags that it lies ahead",
        published="9999-12-31T00:00:00Z",
    ),
    _odd("published-second-before-1-day-1", "it is a time; the cleaner flags it", published="0001-01-01T00:00:00Z"),
    _odd(
        "published-without-zone", "taken as UTC and flagged, as the contract says", published="2026-01-31T08:00:00"
    ),
    _odd(
        "url-ipv6-with-zone", "an address with a host, which nothing here fetches", url="http://[fe80::1%25eth0]/17"
    ),
    _odd(
        "url-of-100000-characters",
        "the contract has no limit of its own for it; the record's is kept",
        url="http://odd.example/" + "a" * 100_000,
    ),
    _odd("language-unknown", "well-formed, and the text tells its language", language="zz-Zzzz-x-nobody"),
    _odd("body-with-escaped-nul", "JSON has it, and the cleaner takes it out", body=text_of("nul") + "\x00"),
    _odd("body-with-bidi-controls", "the cleaner takes them out", body="\u202e" + text_of("bidi") + "\u2066"),
    _odd(
        "body-with-noncharacters",
        "Unicode allows them for exchange",
        body=text_of("noncharacters") + "\ufffe\uffff",
    ),
    _odd("body-one-line-of-800000", "long, and still a text", body=(text_of("long") + " ") * 8_000),
    _odd(
        "body-of-combining-marks",
        "a letter with a thousand accents is text",
        body=text_of("marks") + "e" + "\u0301" * 1_000,
    ),
    _odd("headline-of-100000-characters", "the contract has no limit of its own for it", headline="h" * 100_000),
    _odd(
        "subjects-10000", "the contract has no limit of its own for them", subjects=[f"s{n}" for n in range(10_000)]
    ),
    _odd("extra-with-10000-keys", "one flattened field holds them", extra={f"k{n}": "v" for n in range(10_000)}),
    _odd(
        "html-of-nothing-but-a-script",
        "a page; whether text is left is the cleaner's to say",
        body=LEFT_OUT,
        html="<script>x</script>",
    ),
    _odd(
        "html-100000-nested-divs",
        "a page; how deep it may be is the cleaner's to say",
        body=LEFT_OUT,
        html="<div>" * 100_000 + "x",
    ),
    _odd("body-of-zero-width-spaces", "a text; whether any is left is the cleaner's to say", body="\u200b" * 100),
)

DEAD_LATER = frozenset(
    {"json-html-of-nothing-but-a-script", "json-html-100000-nested-divs", "json-body-of-zero-width-spaces"}
)
"""Records that the contract takes and the cleaner refuses: no text is left, or not all of it can be read."""
