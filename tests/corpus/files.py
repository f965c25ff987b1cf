"""Files that hold a text, a page, or a record a line."""

from __future__ import annotations

import gzip

from tests.corpus.case import HUGE_BYTES, MIB, Case, Kind, Maker, neighbour, of
from tests.corpus.records import text_of

_txt = Maker(Kind.TXT)
_html = Maker(Kind.HTML)
_jsonl = Maker(Kind.JSONL)

_TEXT = "Die Fähre fährt wieder – nach zwölf Tagen Pause.\nMehr als 300 Menschen standen am Kai."

TEXTS: tuple[Case, ...] = (
    _txt.refused("txt-empty", b"", "empty", "empty"),
    _txt.refused("txt-only-white-space", b" \r\n\t\x0b\x0c \xc2\xa0 \xe3\x80\x80\n", "empty", "empty"),
    _txt.refused("txt-only-a-byte-order-mark", b"\xef\xbb\xbf", "empty", "empty"),
    _txt.refused("txt-utf-16", _TEXT.encode("utf-16"), "not_utf8", "byte 0"),
    _txt.refused("txt-latin-1", _TEXT.encode("latin-1", "replace"), "not_utf8", "byte 5"),
    _txt.refused("txt-utf-8-cut-in-a-character", "Das war der Fährmann ü".encode()[:-1], "not_utf8", "byte 22"),
    _txt.refused("txt-shift-jis", "港の船が火曜日に出ます。".encode("shift_jis"), "not_utf8", "byte"),
    _txt.refused("txt-a-program", b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 4, "not_utf8", "byte"),
    _txt.refused("txt-1-mib-of-one-letter", of(2**20), "too_large", "900000"),
    _txt.refused("txt-larger-than-any-article", of(HUGE_BYTES), "too_large", "900000"),
    _txt.refused("txt-name-with-a-newline", _TEXT.encode(), "invalid_record", "id", filename="a\nb.txt"),
    _txt.refused("txt-name-with-a-terminal-escape", _TEXT.encode(), "invalid_record", "id", filename="\x1b[2J.txt"),
    _txt.taken(
        "txt-name-that-is-no-utf-8",
        _TEXT.encode(),
        1,
        "bytes that are no UTF-8 are escaped in its id",
        filename="r\udce9n\udce9.txt",
    ),
    _txt.taken(
        "txt-name-of-250-bytes", _TEXT.encode(), 1, "a name has no limit of ours", filename="n" * 246 + ".txt"
    ),
    _txt.taken(
        "txt-name-with-bidi-override", _TEXT.encode(), 1, "it is the file's name", filename="a\u202etxt.nib.txt"
    ),
    _txt.taken(
        "txt-byte-order-mark", b"\xef\xbb\xbf" + _TEXT.encode(), 1, "Windows editors write it; it is taken off"
    ),
    _txt.taken(
        "txt-nul-bytes-within", b"The ferry\0 sails\0 again.", 1, "they are UTF-8, and the cleaner takes them out"
    ),
    _txt.taken(
        "txt-control-characters", bytes(range(1, 32)) + b" The ferry sails.", 1, "the cleaner takes them out"
    ),
    _txt.taken("txt-carriage-returns-only", b"One line.\rAnother line.\r", 1, "old line ends are white space"),
)

_PAGE = f"<html><head><title>Fähre</title></head><body><p>{_TEXT}</p></body></html>"

PAGES: tuple[Case, ...] = (
    _html.refused("html-empty", b"", "empty", "empty"),
    _html.refused("html-utf-16", _PAGE.encode("utf-16"), "not_utf8", "byte 0"),
    _html.refused(
        "html-latin-1-that-says-so",
        b'<meta charset="iso-8859-1">' + _PAGE.encode("latin-1", "replace"),
        "not_utf8",
        "byte",
    ),
    _html.refused("html-utf-8-overlong", b"<p>\xc0\xbcscript\xc0\xbe</p>", "not_utf8", "byte 3"),
    _html.refused("html-utf-8-of-surrogates", b"<p>\xed\xa0\xbd\xed\xb8\x80</p>", "not_utf8", "byte 3"),
    _html.refused("html-a-picture", b"\x89PNG\r\n\x1a\n" + bytes(2_000), "not_utf8", "byte 0"),
    _html.refused(
        "html-a-pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< >>\nstream\n\xff\xfe", "not_utf8", "byte"
    ),
    _html.refused("html-gzip", gzip.compress(_PAGE.encode(), mtime=0), "not_utf8", "byte 1"),
    _html.refused(
        "html-2-mb-in-one-attribute", b'<p class="' + b"c" * 2_000_000 + b'">x</p>', "too_large", "900000"
    ),
    _html.refused("html-200000-tags-that-escape", b'<b a="\x01">' * 100_000, "too_large", "900000"),
    _html.refused("html-larger-than-any-page", of(3 * MIB, b"<p>x</p>"), "too_large", "900000"),
    _html.taken("html-100000-nested-divs", b"<div>" * 100_000 + b"x", 1, "the cleaner says how deep it may be"),
    _html.taken(
        "html-10000-attributes",
        b"<p " + b" ".join(b"a%d=1" % n for n in range(10_000)) + b">x</p>",
        1,
        "odd, and HTML",
    ),
    _html.taken(
        "html-comment-never-closed", b"<p>before</p><!-- and then", 1, "whether text is left is the cleaner's"
    ),
    _html.taken("html-script-never-closed", b"<p>before</p><script>if (a<b) {", 1, "as browsers read it"),
    _html.taken("html-plaintext", b"<p>before</p><plaintext></p></html>", 1, "as browsers read it"),
    _html.taken("html-tag-never-closed", b"<p>before</p><a href='http://odd.example/", 1, "as browsers read it"),
    _html.taken("html-no-tags-at-all", b"Only words.", 1, "the name says that it is a page"),
    _html.taken(
        "html-billion-laughs",
        b'<!DOCTYPE html [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><p>&b;</p>',
        1,
        "HTML has no entities of its own making; the parser passes them over",
    ),
    _html.taken(
        "html-external-entity",
        b'<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/hostname">]><p>&x;</p>',
        1,
        "nothing is resolved in HTML",
    ),
    _html.taken("html-charset-that-lies", b'<meta charset="koi8-r">' + _PAGE.encode(), 1, "files are UTF-8 here"),
    _html.taken("html-nul-bytes-within-tags", b"<p\0>The ferry\0 sails.</p\0>", 1, "the parser passes them over"),
    _html.taken(
        "html-only-zero-width-spaces", "\u200b".encode() * 9, 1, "no white space to Unicode; the cleaner says"
    ),
    _html.taken("html-unknown-entities", b"<p>&nosuch; &#xD800; &#0; &#99999999999;</p>", 1, "as browsers read it"),
    _html.taken("html-frameset", b"<frameset><frame src=a><frame src=b></frameset>", 1, "a page; the cleaner says"),
)

_A, _B = neighbour(1), neighbour(2)


def _between(bad: bytes) -> bytes:
    return _A + b"\n" + bad + b"\n" + _B + b"\n"


LINES: tuple[Case, ...] = (
    _jsonl.refused("jsonl-utf-16", (_between(_A).decode()).encode("utf-16"), "invalid_json not_utf8"),
    _jsonl.refused(
        "jsonl-gzip-under-a-wrong-name", gzip.compress(_between(b"{}"), mtime=0), "invalid_json not_utf8"
    ),
    _jsonl.refused(
        "jsonl-one-record-over-many-lines", b'{\n"publisher": "p",\n"body": "x"\n}\n', "invalid_json", ":4"
    ),
    _jsonl.refused("jsonl-all-on-one-line", _A + _B, "invalid_json", ":1"),
    _jsonl.refused("jsonl-old-line-ends", _A + b"\r" + _B + b"\r", "invalid_json", ":1"),
    _jsonl.refused("jsonl-larger-than-any-line", of(3 * MIB, before=b'{"body": "'), "too_large", ":1"),
    _jsonl.mixed(
        "jsonl-line-of-5-mb",
        _between(b'{"publisher": "p", "body": "' + b"a" * 5_000_000 + b'"}'),
        "too_large",
        ":2",
    ),
    _jsonl.mixed("jsonl-line-of-128-mib", of(HUGE_BYTES, before=_A + b"\n", after=b"\n" + _B), "too_large", ":2"),
    _jsonl.taken(
        "jsonl-line-of-128-mib-of-spaces",
        of(HUGE_BYTES, b" ", _A + b"\n", b"\n" + _B),
        2,
        "a blank line is no record, and must not be held either",
    ),
    _jsonl.mixed(
        "jsonl-line-too-large-once-its-producer-is-named", _between(neighbour(3, body="a" * 899_912)), "too_large"
    ),
    _jsonl.mixed("jsonl-line-cut-off", _between(_A[:40]), "invalid_json", ":2"),
    _jsonl.mixed("jsonl-last-line-cut-off", _A + b"\n" + _B + b"\n" + _A[:40], "invalid_json", ":3"),
    _jsonl.mixed(
        "jsonl-line-in-latin-1",
        _between('{"publisher": "r\u00e9"}'.encode("latin-1")),
        "invalid_json not_utf8",
        ":2",
    ),
    _jsonl.mixed("jsonl-line-with-a-mark-of-its-own", _between(b"\xef\xbb\xbf" + _A), "invalid_json", ":2"),
    _jsonl.mixed("jsonl-comment", _between(b"# corrections"), "invalid_json", ":2"),
    _jsonl.mixed("jsonl-log-line-before-the-record", _between(b"2026-01-31 INFO " + _A), "invalid_json", ":2"),
    _jsonl.mixed("jsonl-nul-bytes-between", _between(bytes(512)), "invalid_json", ":2"),
    _jsonl.mixed("jsonl-depth-100000", _between(b'{"a":' * 100_000), "invalid_json too_deep", ":2"),
    _jsonl.mixed("jsonl-an-array-in-lines", b"[\n" + _A + b"\n" + _B + b"\n]\n", "invalid_json", ":[14]"),
    _jsonl.mixed(
        "jsonl-line-of-another-kind", _between(b'{"type": "heartbeat", "at": 17}'), "invalid_record", ":2"
    ),
    _jsonl.mixed(
        "jsonl-git-conflict", _A + b"\n<<<<<<< ours\n" + _B + b"\n=======\n>>>>>>> theirs\n", "invalid_json"
    ),
    _jsonl.mixed(
        "jsonl-half-a-surrogate-pair", _between(b'{"publisher": "p", "body": "\\udc00"}'), "invalid_json", ":2"
    ),
    _jsonl.mixed("jsonl-csv-between", _between(b"publisher,body,id"), "invalid_json", ":2"),
    _jsonl.taken("jsonl-empty", b"", 0, "a log that nothing was written to"),
    _jsonl.taken("jsonl-blank-lines", _between(b"\n \t \r\n\n"), 2, "blank lines are no records"),
    _jsonl.taken("jsonl-windows-line-ends", _between(b"\r").replace(b"\n", b"\r\n"), 2, "white space to JSON"),
    _jsonl.taken("jsonl-no-end-of-the-last-line", _A + b"\n" + _B, 2, "a file need not end with a newline"),
    _jsonl.taken(
        "jsonl-line-separator-in-a-text",
        _between(neighbour(3, body=text_of("u2028") + "\u2028\u0085 and on").replace(b"\n", b"")),
        3,
        "U+2028 and U+0085 end no line of JSON lines",
    ),
    _jsonl.taken("jsonl-the-same-record-twice", _between(_A), 3, "the same article twice is one document"),
)

CASES = TEXTS + PAGES + LINES
