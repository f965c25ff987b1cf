"""WARC files, each with a good page before and behind what is wrong."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from cramjam import brotli, zstd

from tests.corpus.case import HUGE_BYTES, MIB, Case, Kind, Maker, of

_make = Maker(Kind.WARC)

_GZ: dict[str, Any] = {"ending": ".warc.gz"}


def _page(text: bytes) -> bytes:
    return b"<html><head><title>T</title></head><body><p>" + text + b"</p></body></html>"


def _http(body: bytes, *headers: bytes, status: bytes = b"HTTP/1.1 200 OK", kind: bytes = b"text/html") -> bytes:
    lines = [status, b"Content-Type: " + kind, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _record(
    uri: bytes,
    content: bytes,
    *headers: bytes,
    length: bytes | None = None,
    date: bytes = b"2026-01-31T08:00:00Z",
    version: bytes = b"WARC/1.0",
    kind: bytes = b"response",
) -> bytes:
    """A record; `length` in place of the true one."""
    lines = [
        version,
        b"WARC-Type: " + kind,
        b"WARC-Target-URI: " + uri,
        b"WARC-Date: " + date,
        b"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-%012d>" % (zlib.crc32(uri + content)),
        b"Content-Type: application/http; msgtype=response",
        *headers,
        b"Content-Length: " + (b"%d" % len(content) if length is None else length),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content + b"\r\n\r\n"


def _good(number: int) -> bytes:
    return _record(b"http://good.example/neighbour-%d" % number, _http(_page(b"The %dth is good." % number)))


def _odd(content: bytes, *headers: bytes, uri: bytes = b"http://odd.example/17", **more: Any) -> bytes:
    return _record(uri, content, *headers, **more)


_A, _B = _good(1), _good(2)
_FINE = _odd(_http(_page(b"x")))


def _bad(name: str, reasons: str, bad: bytes, says: str = "", good: int = 2) -> Case:
    """A bad record between two good ones."""
    return _make.mixed(f"warc-{name}", _A + bad + _B, reasons, says, good)


def _body(name: str, reasons: str, body: bytes, *headers: bytes, says: str = "") -> Case:
    """A page whose body is not what its headers say."""
    return _bad(name, reasons, _odd(_http(body, *headers)), says)


def _gz(name: str, reasons: str, bad: bytes, says: str = "", good: int = 2) -> Case:
    content = gzip.compress(_A, mtime=0) + bad + gzip.compress(_B, mtime=0)
    return _make.mixed(f"warc-gz-{name}", content, reasons, says, good, options=_GZ)


def _passed(name: str, bad: bytes, why: str, good: int = 2) -> Case:
    return _make.taken(f"warc-{name}", _A + bad + _B, good, why)


def _zeros(pack: Callable[[bytes], Any], size: int = 64 * 2**20) -> bytes:
    return bytes(pack(b"<p>" + bytes(size)))


_CHUNKED = b"Transfer-Encoding: chunked"
_GZIPPED = b"Content-Encoding: gzip"
_BROTLI = b"Content-Encoding: br"


def _bombs() -> Iterable[bytes]:
    yield _A
    yield _odd(_http(_zeros(lambda plain: gzip.compress(plain, mtime=0), HUGE_BYTES), _GZIPPED))
    yield _odd(_http(_zeros(brotli.compress), _BROTLI), uri=b"http://odd.example/18")
    yield _odd(_http(_zeros(zstd.compress), b"Content-Encoding: zstd"), uri=b"http://odd.example/19")
    yield _odd(_http(_zeros(zlib.compress), b"Content-Encoding: deflate"), uri=b"http://odd.example/20")
    twice = gzip.compress(gzip.compress(bytes(HUGE_BYTES), mtime=0), mtime=0)
    yield _odd(_http(twice, b"Content-Encoding: gzip, gzip"), uri=b"http://odd.example/21")
    yield _B


def _member_bomb() -> Iterable[bytes]:
    bomb = gzip.compress(_odd(_http(_page(bytes(HUGE_BYTES)))), mtime=0)
    return [gzip.compress(_A, mtime=0), bomb, gzip.compress(_B, mtime=0)]


CASES: tuple[Case, ...] = (
    # ------------------------------------------------------------ no WARC
    _make.refused(
        "warc-words",
        b"Not an archive at all, only words.\n" * 10,
        "garbage",
        "begins here",
    ),
    _make.refused("warc-nul-bytes", bytes(5_000), "garbage", "begins here"),
    _make.refused(
        "warc-a-zip",
        b"PK\x03\x04" + bytes(range(256)) * 20,
        "garbage",
        "begins here",
    ),
    _make.refused(
        "warc-arc-of-old",
        b"filedesc://x.arc 0.0.0.0 20060101000000 text/plain 76\n1 0 InternetArchive\n",
        "garbage",
        "begins here",
    ),
    _make.refused(
        "warc-gz-that-is-none",
        b"Not gzip at all.\n" * 10,
        "garbage",
        "begins here",
        options=_GZ,
    ),
    _make.refused(
        "warc-gz-of-words",
        gzip.compress(b"Only words." * 50, mtime=0),
        "garbage",
        "begins here",
        options=_GZ,
    ),
    _make.refused(
        "warc-larger-without-a-record",
        of(3 * MIB, b"words "),
        "garbage",
        "begins here",
    ),
    _make.refused(
        "warc-header-without-end-of-3-mib",
        of(3 * MIB, b"x: y\r\n", b"WARC/1.0\r\n"),
        "bad_header",
        "32768 bytes",
    ),
    _make.taken("warc-empty", b"", 0, "a crawl that has not begun"),
    # ------------------------------------------------------------ lengths
    _bad("length-negative", "wrong_length", _odd(_http(_page(b"x")), length=b"-5")),
    _bad("length-in-words", "wrong_length", _odd(_http(_page(b"x")), length=b"many")),
    _bad("length-missing", "wrong_length", _FINE.replace(b"Content-Length:", b"X-Length:")),
    _bad("length-too-short", "wrong_length", _odd(_http(_page(b"x" * 500)), length=b"200")),
    _bad(
        "length-too-long-by-9",
        "wrong_length",
        _odd(_http(_page(b"x")), length=b"%d" % (len(_http(_page(b"x"))) + 9)),
    ),
    _bad(
        "length-into-the-next-record",
        "wrong_length",
        _odd(_http(_page(b"x")), length=b"%d" % (len(_http(_page(b"x"))) + 150)),
    ),
    _bad("length-beyond-the-file", "truncated", _odd(_http(_page(b"x")), length=b"999999")),
    _bad("length-2-to-the-64", "wrong_length", _odd(_http(_page(b"x")), length=b"18446744073709551617")),
    _bad("length-of-5000-digits", "wrong_length", _odd(_http(_page(b"x")), length=b"9" * 5_000)),
    _bad("length-twice", "wrong_length", _odd(_http(_page(b"x")), b"Content-Length: 3")),
    _bad("length-0", "bad_http", _odd(b"")),
    # ------------------------------------------------------------ records
    _bad("garbage-between", "garbage", bytes(range(256)) * 8 + b"\r\n\r\n"),
    _bad(
        "header-cut-off",
        "wrong_length",
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://odd.exa\r\n\r\n",
    ),
    _bad("header-without-end", "bad_header", b"WARC/1.0\r\n" + b"x-filler: y\r\n" * 20_000),
    _bad("header-line-of-1-mb", "bad_header", _odd(_http(_page(b"x")), b"x-long: " + b"y" * 1_000_000)),
    _bad("version-unknown", "unreadable", _odd(_http(_page(b"x")), version=b"WARC/9.9")),
    _bad("uri-missing", "invalid_record", _FINE.replace(b"WARC-Target-URI", b"X-Target-URI")),
    _bad("uri-relative", "invalid_record", _odd(_http(_page(b"x")), uri=b"/17")),
    _bad("uri-port-99999", "invalid_record", _odd(_http(_page(b"x")), uri=b"http://odd.example:99999/")),
    _bad("uri-bracket-never-closed", "invalid_record", _odd(_http(_page(b"x")), uri=b"http://[::1/")),
    _bad("date-missing", "invalid_record", _FINE.replace(b"WARC-Date", b"X-Date")),
    _bad("date-in-words", "invalid_record", _odd(_http(_page(b"x")), date=b"soon"), "WARC-Date"),
    _bad("date-year-9999", "invalid_record", _odd(_http(_page(b"x")), date=b"9999-12-31T23:59:59Z"), "WARC-Date"),
    _bad("date-year-0", "invalid_record", _odd(_http(_page(b"x")), date=b"0000-01-01T00:00:00Z"), "WARC-Date"),
    _make.mixed("warc-last-record-cut-off", _A + _B[:-60], "truncated", "@", 1),
    # ------------------------------------------------------------ the answer in it
    _bad("http-empty-page", "empty", _odd(_http(b""))),
    _bad("http-no-status-line", "bad_http", _odd(_page(b"no headers at all"))),
    _bad("http-status-in-words", "bad_http", _odd(_http(_page(b"x"), status=b"HTTP/1.1 OK"))),
    _bad(
        "http-header-without-end",
        "bad_http",
        _odd(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + b"a: b\r\n" * 20_000),
    ),
    _bad("http-header-of-1-mb", "bad_http", _odd(_http(_page(b"x"), b"x-long: " + b"y" * 1_000_000))),
    _bad("page-of-9-mb", "too_large", _odd(_http(_page(b"x" * 9_000_000)))),
    _bad("page-of-2-mb-of-text", "too_large", _odd(_http(_page(b"word " * 400_000)))),
    _body("chunk-length-that-lies", "bad_encoding", b"ffff\r\n" + _page(b"x") + b"\r\n0\r\n\r\n", _CHUNKED),
    _body("chunk-length-of-100-digits", "bad_encoding", b"f" * 100 + b"\r\nx\r\n0\r\n\r\n", _CHUNKED),
    _body("chunk-length-negative", "bad_encoding", b"-5\r\nx\r\n0\r\n\r\n", _CHUNKED),
    _body("chunk-length-no-hex", "bad_encoding", b"zz\r\nx\r\n0\r\n\r\n", _CHUNKED),
    _body("chunks-without-end", "bad_encoding", b"5\r\nabc", _CHUNKED),
    _body("gzip-that-is-none", "bad_encoding", b"\x1f\x8b\x08garbage", _GZIPPED),
    _body("gzip-cut-off", "bad_encoding", gzip.compress(_page(b"x" * 999), mtime=0)[:-12], _GZIPPED),
    _body("gzip-wrong-checksum", "bad_encoding", gzip.compress(_page(b"x"), mtime=0)[:-8] + bytes(8), _GZIPPED),
    _body("brotli-that-is-none", "bad_encoding", b"\xff\xffnot brotli at all", _BROTLI),
    _body("brotli-cut-off", "bad_encoding", bytes(brotli.compress(_page(b"x" * 999)))[:-5], _BROTLI),
    _body("zstd-that-is-none", "bad_encoding", b"\x28\xb5\x2f\xfdgarbage", b"Content-Encoding: zstd"),
    _body("encoding-unknown", "bad_encoding", b"\x00\x01\x02", b"Content-Encoding: rot13"),
    _body(
        "encoding-of-1000-layers",
        "bad_encoding",
        _page(b"x")[1:],
        b"Content-Encoding: " + b"gzip, " * 1_000 + b"gzip",
    ),
    _make.mixed("warc-bombs-in-bodies", _bombs, "too_large bomb memory", "", 2),
    # ------------------------------------------------------------ gzip members
    _gz("member-cut-off", "damaged", gzip.compress(_FINE, mtime=0)[:-30]),
    _gz("member-with-garbage", "damaged", gzip.compress(_FINE, mtime=0)[:60] + b"\xff" * 50),
    _gz("member-wrong-checksum", "damaged", gzip.compress(_FINE, mtime=0)[:-8] + bytes(8)),
    _gz("garbage-between-members", "garbage", bytes(range(256)) * 4),
    _gz("nul-bytes-between-members", "garbage", bytes(5_000)),
    _gz("member-of-words", "garbage", gzip.compress(b"Only words.", mtime=0)),
    _gz("member-header-cut-off", "bad_header", gzip.compress(_FINE[:90], mtime=0)),
    _make.mixed("warc-gz-member-bomb", _member_bomb, "too_large memory", "", options=_GZ),
    _gz("record-uncompressed-between", "garbage", _FINE),
    _gz(
        "length-beyond-the-member",
        "wrong_length",
        gzip.compress(_odd(_http(_page(b"x")), length=b"99999"), mtime=0),
    ),
    _make.mixed(
        "warc-gz-last-member-cut-off",
        gzip.compress(_A, mtime=0) + gzip.compress(_B, mtime=0)[:-40],
        "",
        "",
        1,
        options=_GZ,
    ),
    # ------------------------------------------------------------ odd, and taken or passed over on purpose
    _passed("charset-unknown", _odd(_http(_page(b"x"), kind=b"text/html; charset=x-no-such")), "the bytes tell", 3),
    _passed(
        "charset-that-is-no-charset", _odd(_http(_page(b"x"), kind=b"text/html; charset=zip")), "the bytes tell", 3
    ),
    _passed(
        "charset-that-lies",
        _odd(_http(_page("Fähre – zwölf".encode()), kind=b"text/html; charset=utf-16")),
        "the bytes tell",
        3,
    ),
    _passed(
        "charset-utf-7",
        _odd(_http(_page(b"+ADw-script+AD4-"), kind=b"text/html; charset=utf-7")),
        "no browser reads it either",
        3,
    ),
    _passed(
        "page-undecodable", _odd(_http(_page(bytes(range(128, 256)) * 9))), "what is no character is marked so", 3
    ),
    _passed("page-nul-bytes", _odd(_http(_page(b"\0x\0" * 99))), "they are left out", 3),
    _passed(
        "page-100000-nested-divs", _odd(_http(b"<div>" * 100_000 + b"x")), "the cleaner says how deep it may be", 3
    ),
    _passed(
        "gzip-header-over-a-plain-page",
        _odd(_http(_page(b"x"), _GZIPPED)),
        "many crawlers store the page decoded",
        3,
    ),
    _passed(
        "chunked-header-over-a-plain-page",
        _odd(_http(_page(b"x"), _CHUNKED)),
        "many crawlers store the page decoded",
        3,
    ),
    _passed(
        "status-404",
        _odd(_http(_page(b"x"), status=b"HTTP/1.1 404 Not Found")),
        "passed over on purpose, and counted",
    ),
    _passed("a-picture", _odd(_http(b"\x89PNG", kind=b"image/png")), "passed over on purpose, and counted"),
    _passed(
        "a-request",
        _record(b"http://odd.example/17", b"GET / HTTP/1.1\r\n\r\n", kind=b"request"),
        "passed over on purpose",
    ),
    _passed("of-an-unknown-type", _record(b"http://odd.example/17", b"x", kind=b"x-own"), "passed over on purpose"),
    _passed("ten-empty-lines-between", b"\r\n" * 10, "white space between records"),
    _make.refused(
        "warc-line-ends-without-carriage-returns",
        (_A + _B).replace(b"\r\n", b"\n"),
        "garbage truncated",
    ),
    _make.refused(
        "warc-gz-one-member-for-all",
        gzip.compress(_A + _FINE + _B, mtime=0),
        "not_record_wise",
        "unpack",
        options=_GZ,
    ),
)
