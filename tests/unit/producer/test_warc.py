from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial, reduce
from pathlib import Path
from typing import Any

import pytest
from fastwarc.stream_io import BrotliWriter, GzipWriter, ZstdWriter
from fastwarc.warc import ArchiveIterator
from pydantic import ValidationError

from services.producer.core import Found, Item, Reached, Skipped, Trouble, Unusable, to_record
from services.producer.source import Run
from services.producer.sources import warc
from services.producer.sources.warc import HEADER_BYTES, Warc

Pack = Callable[[bytes], bytes]

gzipped = partial(gzip.compress, mtime=0)
"""The same bytes whenever it is called: a test that is named after them has the same name in every process."""

PACKS: dict[str, Pack] = {".warc": bytes, ".warc.gz": gzip.compress}

Make = Callable[..., Path]


def answer(
    body: bytes, status: bytes = b"200 OK", type_: bytes = b"text/html; charset=utf-8", more: bytes = b""
) -> bytes:
    return b"HTTP/1.1 " + status + b"\r\nContent-Type: " + type_ + b"\r\n" + more + b"\r\n" + body


def record(
    name: str = "1",
    content: bytes | None = None,
    *,
    type_: bytes = b"response",
    length: bytes | None = None,
    more: bytes = b"",
    date: bytes = b"2026-01-31T08:00:00Z",
    url: bytes | None = None,
    holds: bytes = b"application/http; msgtype=response",
) -> bytes:
    """A record; `length` is the Content-Length where it is not the true one, empty where there is none."""
    content = answer(f"<p>Article {name}</p>".encode()) if content is None else content
    length = str(len(content)).encode() if length is None else length
    return (
        b"WARC/1.0\r\nWARC-Type: " + type_ + b"\r\nWARC-Record-ID: <urn:uuid:" + name.encode() + b">\r\n"
        b"WARC-Date: " + date + b"\r\nWARC-Target-URI: " + (url or b"https://www.paper.example/" + name.encode())
        + b"\r\nContent-Type: " + holds + b"\r\n" + more
        + (b"Content-Length: " + length + b"\r\n" if length else b"")
        + b"\r\n" + content + b"\r\n\r\n"
    )  # fmt: skip


class Inline:
    """In place of child processes: the work is done at once, in this process."""

    def __init__(self, *_: Any) -> None:
        self.stopped = False

    def submit(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - as a pool does
            future.set_exception(error)
        return future

    def result(self, future: Future[Any], seconds: float) -> Any:
        return future.result()

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc, "Children", Inline)


@pytest.fixture(params=PACKS)
def make(request: pytest.FixtureRequest, tmp_path: Path, inline: None) -> Make:
    """Write a file of these records, plain or each in a gzip member of its own; `raw` is put in as it is."""

    def write(*records: bytes | tuple[str, bytes], name: str = "a") -> Path:
        path = tmp_path / f"{name}{request.param}"
        pack = PACKS[request.param]
        path.write_bytes(b"".join(each[1] if isinstance(each, tuple) else pack(each) for each in records))
        return path

    return write


def raw(content: bytes) -> tuple[str, bytes]:
    return "raw", content


def read(path: Path | Sequence[Path], run: Run | None = None, **settings: Any) -> list[Item]:
    paths = [path] if isinstance(path, Path) else list(path)
    return list(Warc(paths=paths, **settings).articles(run or Run()))


def names(items: Sequence[Item]) -> list[str]:
    """The last part of each article's URL; of anything else its reason."""
    return [
        (each.article.url or "").rsplit("/", 1)[1] if isinstance(each, Found) else getattr(each, "reason", "?")
        for each in items
    ]


def found(items: list[Item]) -> Found:
    (item,) = items
    assert isinstance(item, Found), item
    return item


# ---------------------------------------------------------------- what is taken


def test_a_page_becomes_an_article(make: Make) -> None:
    path = make(record("x", answer("<p>Über</p>".encode())))

    item = found(read(path))

    assert item.origin == f"{path}@0"
    assert item.part == str(path)
    assert item.article.html == "<p>Über</p>"
    assert item.article.url == "https://www.paper.example/x"
    assert item.article.publisher == "paper.example"
    assert item.article.revision == 1_769_846_400_000
    assert item.article.id is None
    assert item.article.extra == {"warc_record_id": "<urn:uuid:x>", "warc_file": path.name}
    assert item.time is not None
    assert item.time.isoformat() == "2026-01-31T08:00:00+00:00"


def test_the_publisher_can_be_one_for_all(make: Make) -> None:
    assert found(read(make(record()), publisher_from="Old Paper")).article.publisher == "Old Paper"


def test_what_is_no_page_is_passed_over_by_its_reason(make: Make) -> None:
    path = make(
        record(type_=b"warcinfo", content=b"software: x\r\n", holds=b"application/warc-fields"),
        record(type_=b"request", content=b"GET / HTTP/1.1\r\n\r\n", holds=b"application/http; msgtype=request"),
        record(type_=b"revisit"),
        record(type_=b"conversion", content=b"text", holds=b"text/plain"),
        record(content=b"\0\1\2", holds=b"text/dns"),
        record(content=answer(b"", b"404 Not Found")),
        record(content=answer(b"", b"301 Moved")),
        record(content=answer(b"%PDF", type_=b"application/pdf")),
        record(content=b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n<p>a</p>"),
        record("good"),
    )

    items = read(path)

    reasons = ["not_a_response", "not_a_response", "revisit", "not_a_response", "not_http", "status", "status"]
    assert names(items) == [*reasons, "not_html", "not_html", "good"]
    assert all(isinstance(each, Skipped) for each in items[:-1])


def test_the_content_types_can_be_named(make: Make) -> None:
    path = make(
        record("1", answer(b"<p>a</p>", type_=b"Application/XHTML+XML ; charset=utf-8")),
        record("2", answer(b"a", type_=b"text/plain")),
        record("3", b"HTTP/1.1 200 OK\r\n\r\n<p>a</p>", more=b"WARC-Identified-Payload-Type: text/html\r\n"),
    )

    assert names(read(path)) == ["1", "not_html", "3"]
    assert names(read(path, mime=["text/plain, Text/HTML"])) == ["not_html", "2", "3"]


def test_forms_that_tools_write(make: Make) -> None:
    path = make(
        record("1", url=b"<https://paper.example/1>"),
        record("2").replace(b"WARC/1.0", b"WARC/1.1").replace(b"08:00:00Z", b"08:00:00.123456789Z"),
        record("3").replace(b"Content-Length", b"content-length").replace(b"WARC-Type", b"warc-type"),
        record("4", answer(b"<p>a</p>").replace(b"\r\n", b"\n")),
        record("5", url="https://paper.example/é/5".encode("latin-1")),
        record("6", more=b"WARC-Truncated: length\r\n"),
        record("7", answer(b"<p>a</p>").replace(b"HTTP/1.1", b"HTTP/2")),
    )

    items = read(path)

    assert names(items) == ["1", "2", "3", "4", "5", "6", "7"]
    articles = [each.article for each in items if isinstance(each, Found)]
    assert articles[1].revision == 1_769_846_400_123
    assert articles[4].url == "https://paper.example/é/5"
    assert articles[5].extra["warc_truncated"] == "length"


def test_records_that_fastwarc_writes(tmp_path: Path, inline: None) -> None:
    """Another writer than this file's: the pages go through fastwarc and come back."""
    path = tmp_path / "a.warc.gz"
    source = io.BytesIO(b"".join(record(str(number)) for number in range(5)))
    with path.open("wb") as file:
        writer = GzipWriter(file)
        for each in ArchiveIterator(source, parse_http=True):
            each.write(writer, checksum_data=True)
            writer.finish()
        writer.close()

    items = read(path, verify_digests=True)

    assert names(items) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"Content-Encoding: gzip", gzipped(b"<p>page</p>")),
        (b"Content-Encoding: x-gzip", gzipped(b"<p>pa") + gzipped(b"ge</p>")),
        (b"Content-Encoding: deflate", zlib.compress(b"<p>page</p>")),
        (b"Content-Encoding: deflate", zlib.compress(b"<p>page</p>")[2:-4]),
        (b"Content-Encoding: identity", b"<p>page</p>"),
        (b"Content-Encoding: gzip, gzip", gzipped(gzipped(b"<p>page</p>"))),
        (b"Transfer-Encoding: chunked", b"5\r\n<p>pa\r\n6\r\nge</p>\r\n0\r\n\r\n"),
        # The crawler took the encoding off and left the header.
        (b"Content-Encoding: gzip", b"<p>page</p>"),
        (b"Content-Encoding: br", b"<p>page</p>"),
        (b"Content-Encoding: utf-8", b"<p>page</p>"),
        (b"Transfer-Encoding: chunked", b"<p>page</p>"),
        (b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip", b"<p>page</p>"),
    ],
)
def test_encoded_bodies(make: Make, header: bytes, body: bytes) -> None:
    path = make(record(content=answer(body, more=header + b"\r\n")))

    assert found(read(path)).article.html == "<p>page</p>"


@pytest.mark.parametrize(("encoding", "writer"), [(b"br", BrotliWriter), (b"zstd", ZstdWriter)])
def test_brotli_and_zstandard(make: Make, encoding: bytes, writer: Any) -> None:
    def packed(page: bytes) -> bytes:
        file = io.BytesIO()
        opened = writer(file)
        opened.write(page)
        opened.close()
        return file.getvalue()

    page = b"".join(b"<p>%d</p>" % number for number in range(9_999))
    bodies = (packed(page), packed(page)[:-9], packed(page * 9))
    path = make(*(record(content=answer(body, more=b"Content-Encoding: " + encoding + b"\r\n")) for body in bodies))

    first, second, third = read(path, page_mb=0.5)

    assert isinstance(first, Found)
    assert first.article.html == page.decode()
    assert names([second, third]) == ["bad_encoding", "too_large"]
    assert isinstance(third, Unusable)
    assert "--page-mb" in third.error


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"Content-Encoding: gzip", gzipped(b"<p>page</p>" * 99)[:-9]),
        (b"Content-Encoding: gzip", b"\x1f\x8b\x08nothing"),
        (b"Content-Encoding: foo", b"\1\2"),
        (
            b"Content-Encoding: gzip, gzip, gzip, gzip",
            reduce(lambda body, _: gzipped(body), range(4), b"<p>"),
        ),
        (b"Transfer-Encoding: chunked", b"zz\r\nabc"),
        (b"Transfer-Encoding: chunked", b"FFFFFFFFFFFFFFFF\r\nabc"),
    ],
)
def test_bodies_that_are_not_encoded_as_they_say(make: Make, header: bytes, body: bytes) -> None:
    path = make(record(content=answer(body, more=header + b"\r\n")), record("next"))

    assert names(read(path)) == ["bad_encoding", "next"]


def test_values_that_no_article_has(make: Make) -> None:
    path = make(
        record("1", date=b"yesterday"),
        record("2", date=b"1969-01-01T00:00:00Z"),
        record("3", date=b"2999-01-01T00:00:00Z"),
        record("4", url=b"ftp://paper.example/4"),
        record("5", url=b"no address"),
        record("6", url=b"http://[::1/"),
        record("7", answer(b" \0 ")),
        record("8", b"<p>no HTTP at all</p>"),
        record("9", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 99_999),
        record("10"),
    )

    items = read(path)

    assert names(items) == [*["invalid_record"] * 6, "empty", "bad_http", "bad_http", "10"]
    errors = [each.error for each in items if isinstance(each, Unusable)]
    assert [error.split(":")[0] for error in errors[:6]] == [*["WARC-Date"] * 3, "url", *["WARC-Target-URI"] * 2]


def test_digests_are_checked_where_that_is_asked_for(make: Make) -> None:
    right = base64.b32encode(hashlib.sha1(answer(b"<p>a</p>")).digest())
    path = make(
        record("1", answer(b"<p>a</p>"), more=b"WARC-Block-Digest: sha1:" + right + b"\r\n"),
        record("2", answer(b"<p>b</p>"), more=b"WARC-Block-Digest: sha1:" + right + b"\r\n"),
        record("3", answer(b"<p>b</p>"), more=b"WARC-Block-Digest: other:" + right + b"\r\n"),
    )

    assert names(read(path)) == ["1", "2", "3"]
    assert names(read(path, verify_digests=True)) == ["1", "wrong_digest", "3"]


def test_a_page_over_the_limit_of_a_record_goes_without_its_scripts(make: Make) -> None:
    scripts = b"<script>" + b"x" * 1_500_000 + b"</script>"
    path = make(
        record("1", answer(scripts + b"<p>Kept</p>")),
        record("2", answer(b"<p>" + b"word " * 400_000)),
        record("3", answer(b"<p>" + b"\\\n" * 230_000)),
        record("4", answer(b"<p>" + b"\\\n" * 200_000)),
    )

    items = read(path)

    assert names(items) == ["1", "too_large", "too_large", "4"]
    for each in (items[0], items[3]):
        assert isinstance(each, Found)
        to_record(each.article)
    assert "Kept" in (getattr(items[0], "article").html or "")  # noqa: B009 - the type is checked above


# ---------------------------------------------------------------- hostile files


@pytest.mark.parametrize("length", [b"40", b"5000", b"-5", b"abc", b"", b"1" + b"0" * 18, b"9" * 30, b"9" * 5000])
def test_lengths_that_lie(make: Make, length: bytes) -> None:
    path = make(record("1"), record("bad", length=length), record("3"), record("4"))

    items = read(path)

    kept = [name for name in names(items) if name not in ("wrong_length", "truncated", "bad_header")]
    assert kept == ["1", "3", "4"]
    assert len(items) == 4
    (bad,) = [each for each in items if isinstance(each, Unusable)]
    assert bad.origin == f"{path}@{len(PACKS[path.name[1:]](record('1')))}"
    assert "Content-Length" in bad.error


def test_a_length_given_twice(make: Make) -> None:
    path = make(record("bad", more=b"Content-Length: 3\r\n"), record("2"))

    assert names(read(path)) == ["wrong_length", "2"]


def test_the_last_record_is_cut_off(make: Make) -> None:
    whole = make(record("1"), record("2")).read_bytes()
    for cut in (len(whole) - 30, len(whole) // 2 + 20, len(whole) // 2 + 300):
        path = make(raw(whole[:cut]))
        if cut < len(whole):
            assert names(read(path)) == ["1", "truncated"]


def test_a_record_that_the_files_end_cuts_off_is_read_when_it_is_whole(make: Make) -> None:
    whole = make(record("1"), record("2"), record("3")).read_bytes()
    path = make(raw(whole[: len(whole) // 2]))
    before = read(path)
    path.write_bytes(whole)

    after = read(path, Run(checkpoints={str(path): last_checkpoint(before)}))

    assert names(before) == ["1", "truncated"]
    assert names(after) == ["2", "3"]


def test_a_record_with_bytes_missing_in_its_midst(make: Make) -> None:
    packed = PACKS["".join(make(record()).suffixes)](record("bad"))
    path = make(record("1"), raw(packed[:-60] + packed[-40:]), record("3"))

    items = read(path)

    assert names(items)[::2] == ["1", "3"]
    assert names(items)[1] in ("damaged", "wrong_length")


def test_garbage_between_records(make: Make) -> None:
    for garbage in (b"garbage\0\r\n" * 30, b"\0" * 5000, b"\x1f\x8b\x08" * 3000, b"\nWARC/", b"x"):
        path = make(record("1"), raw(garbage), record("2"), raw(garbage), record("3"))

        items = read(path)

        assert names(items)[0::2] == ["1", "2", "3"]
        assert all(isinstance(each, Unusable) for each in items[1::2])
        assert names(items)[1] in ("garbage", "damaged")


def test_garbage_longer_than_a_range(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc, "RANGE_BYTES", 1000)
    path = make(record("1"), raw(b"no record at all\r\n" * 500), record("2"), record("3"), raw(b"x" * 5000))

    assert names(read(path)) == ["1", "garbage", "2", "3", "garbage"]


def test_garbage_before_the_first_record_and_nothing_but_garbage(make: Make) -> None:
    assert names(read(make(raw(b"\x89PNG\r\n" * 100), record("1")))) == ["garbage", "1"]
    assert names(read(make(raw(b"\x89PNG\r\n" * 100)))) == ["garbage"]


def test_headers_without_an_end(make: Make) -> None:
    for header in (b"WARC/1.0\r\n" + b"x" * 10_000_000, b"WARC/1.0\r\n" + b"A: b\r\n" * 1_700_000):
        path = make(record("1"), header, record("2"))

        items = read(path)

        assert names(items) == ["1", "bad_header", "2"]
        assert str(HEADER_BYTES) in getattr(items[1], "error")  # noqa: B009 - the type is checked above


def test_what_looks_like_a_record_within_a_page_is_none(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges begin anywhere, and a page may hold records, plain or as gzip members."""
    monkeypatch.setattr(warc, "RANGE_BYTES", 700)
    forged = record("forged")
    noise = bytes(range(256)) * 8  # stored by gzip nearly as it is
    page = answer(b"<p>" + b"\r\n\r\n".join([noise, gzip.compress(forged, 9), forged]) * 20)
    path = make(*(record(str(number), page) for number in range(9)))
    stored = make(*(raw(gzip.compress(record(str(n), page), 0)) for n in range(9)), name="stored")

    assert names(read(path)) == [str(number) for number in range(9)]
    if path.suffix == ".gz":
        assert names(read(stored)) == [str(number) for number in range(9)]


def test_a_child_gives_back_what_it_has_before_it_is_too_much(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc, "RESULT_BYTES", 100)
    path = make(*(record(str(number)) for number in range(40)))
    how = warc._How(None, frozenset(["text/html"]), 2**20, False)

    chunk = warc.read_records(str(path), 0, path.stat().st_size, True, None, how)

    assert 1 < len(chunk.items) < 10
    assert names(read(path)) == [str(number) for number in range(40)]


def test_a_record_larger_than_a_page_may_be(make: Make) -> None:
    """Its bytes are not kept, and what lies in it is no record."""
    filler = bytes(2 * 2**20)
    path = make(
        record("big", answer(filler + record("forged") + filler)),
        record("video", answer(filler, type_=b"video/mp4")),
        record("info", filler, type_=b"warcinfo"),
        record("next"),
    )

    items = read(path, page_mb=1)

    assert names(items) == ["too_large", "not_html", "not_a_response", "next"]
    assert "--page-mb" in getattr(items[0], "error")  # noqa: B009 - the type is checked above


def bomb(begin: bytes, megabytes: int) -> bytes:
    """A gzip member that begins so, and goes on with zeros without an end."""
    packer = zlib.compressobj(1, wbits=31)
    zeros = bytes(2**20)
    packed = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    return packed + (packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)) * megabytes


def test_bombs(make: Make) -> None:
    """A page of 300 MiB in a body of 1.4 MB, and one in another: never in memory whole."""
    packed = bomb(b"<p>", 300)
    path = make(
        record("1", answer(packed, more=b"Content-Encoding: gzip\r\n")),
        record("2", answer(gzip.compress(packed), more=b"Content-Encoding: gzip, gzip\r\n")),
        record("3"),
    )
    tracemalloc.start()
    try:
        assert names(read(path)) == ["too_large", "too_large", "3"]
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()


def test_a_whole_file_in_one_gzip_member(tmp_path: Path, inline: None) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip.compress(record("1") + record("2")))

    (item,) = read(path)

    assert isinstance(item, Unusable)
    assert item.reason == "not_record_wise"
    assert "unpack it" in item.error


def test_a_member_with_a_wrong_checksum(tmp_path: Path, inline: None) -> None:
    path = tmp_path / "a.warc.gz"
    packed = gzip.compress(record("2"))
    broken = packed[:-8] + b"\1\2\3\4" + packed[-4:]
    path.write_bytes(gzip.compress(record("1")) + broken + gzip.compress(record("3")))

    assert names(read(path)) == ["1", "damaged", "3"]


def test_a_name_that_lies_about_the_compression(tmp_path: Path, inline: None) -> None:
    plain, packed = tmp_path / "a.warc.gz", tmp_path / "b.warc"
    plain.write_bytes(record("1") + record("2"))
    packed.write_bytes(gzip.compress(record("3")) + gzip.compress(record("4")))

    assert names(read([plain, packed])) == ["1", "2", "3", "4"]


def test_whatever_a_parser_raises_is_one_records_matter(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        pass

    def panic(content: bytes, content_type: str) -> str:
        if b"bad" in content:
            raise Panic("index out of bounds")
        return content.decode()

    monkeypatch.setattr(warc, "decode_page", panic)

    items = read(make(record("bad"), record("2")))

    assert names(items) == ["unreadable", "2"]
    assert "index out of bounds" in getattr(items[0], "error")  # noqa: B009 - the type is checked above


# ---------------------------------------------------------------- where it goes on


def last_checkpoint(items: list[Item]) -> str:
    return [each.checkpoint for each in items if not isinstance(each, Trouble) and each.checkpoint][-1]


@pytest.fixture
def files(make: Make, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two files of some ranges each."""
    monkeypatch.setattr(warc, "RANGE_BYTES", 900)
    return [make(*(record(f"{name}{number}") for number in range(20)), name=name) for name in "ab"]


def test_each_checkpoint_leads_to_just_what_is_missing(files: list[Path]) -> None:
    every = read(files)
    parts = [str(file) for file in files]

    assert [name[0] for name in names(every)] == ["a"] * 20 + ["b"] * 20
    for done in (0, 1, 7, 19, 20, 21, 33, 40):
        checkpoints = {
            part: last_checkpoint(sent) for part in parts if (sent := [e for e in every[:done] if e.part == part])
        }
        again = read(files, Run(checkpoints=checkpoints))
        left = [each for each in again if not isinstance(each, Reached)]
        assert names(left) == names(every[done:])
        assert [each.origin for each in left if isinstance(each, Found)] == [
            each.origin for each in every[done:] if isinstance(each, Found)
        ]


def test_a_file_read_to_its_end_is_said_to_be_well(files: list[Path]) -> None:
    checkpoints = {str(files[0]): last_checkpoint(read(files[0]))}

    (item,) = read(files[0], Run(checkpoints=checkpoints))

    assert item == Reached(str(files[0]), checkpoints[str(files[0])])


def test_another_file_under_the_name_is_read_from_its_start(make: Make) -> None:
    path = make(record("1"), record("2"))
    run = Run(checkpoints={str(path): last_checkpoint(read(path)[:1])})
    assert names(read(path, run)) == ["2"]

    make(record("x"), record("y"), record("z"))
    assert names(read(path, run)) == ["x", "y", "z"]
    make(record("1"))
    path.write_bytes(path.read_bytes()[:-9])
    assert names(read(path, run)) == ["truncated"]
    for broken in ("", "{}", "[]", "null", '{"at": "x"}', '{"at": -1, "head": ""}'):
        assert names(read(path, Run(checkpoints={str(path): broken}))) == ["truncated"]


def test_a_file_that_grew_is_read_on(make: Make) -> None:
    path = make(record("1"), record("2"))
    run = Run(checkpoints={str(path): last_checkpoint(read(path))})

    make(record("1"), record("2"), record("3"))

    assert names(read(path, run)) == ["3"]


def test_a_checkpoint_holds_for_all_before_it(make: Make) -> None:
    path = make(record("1"), raw(b"garbage"), record("2"), record("3", answer(b"", b"404 Not Found")))
    items = read(path)

    for number, item in enumerate(items):
        assert not isinstance(item, Trouble)
        assert item.checkpoint
        again = read(path, Run(checkpoints={str(path): item.checkpoint}))
        assert names([each for each in again if not isinstance(each, Reached)]) == names(items[number + 1 :])


def test_how_far_it_is(files: list[Path]) -> None:
    run = Run()
    total = sum(file.stat().st_size for file in files)
    seen = [run.done for _ in Warc(paths=files).articles(run)]

    assert seen == sorted(set(seen))
    assert (run.done, run.total) == (total, total)


# ---------------------------------------------------------------- files and folders


def test_folders_are_read_in_order_and_each_file_once(tmp_path: Path, inline: None) -> None:
    (tmp_path / "in").mkdir()
    for name in ("c.warc", "in/b.WARC.GZ", "a.warc.gz"):
        (tmp_path / name).write_bytes(record(name[:3]))
    (tmp_path / "d.txt").write_bytes(record("no"))

    items = read([tmp_path, tmp_path / "c.warc"])

    assert [Path(getattr(each, "part")).name for each in items] == ["a.warc.gz", "c.warc", "b.WARC.GZ"]  # noqa: B009


def test_what_cannot_be_read_holds_up_no_other_file(tmp_path: Path, inline: None) -> None:
    good, empty, other = tmp_path / "good.warc", tmp_path / "empty.warc", tmp_path / "a.txt"
    good.write_bytes(record("1"))
    empty.write_bytes(b"")
    other.write_bytes(b"")
    (tmp_path / "folder").mkdir()

    items = read([tmp_path / "none.warc", other, tmp_path / "folder", empty, good])

    assert [type(each) for each in items] == [Trouble, Trouble, Trouble, Reached, Found]
    assert "no such file" in getattr(items[0], "error")  # noqa: B009 - the type is checked above


def test_a_file_that_goes_away_is_trouble(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source = Warc(paths=files)
    items = source.articles(Run())
    first = next(items)
    files[0].unlink()

    rest = list(items)

    assert isinstance(first, Found)
    assert [type(each) for each in rest if each.part == str(files[0]) and not isinstance(each, Found)] == [Trouble]
    assert [name[0] for name in names([each for each in rest if each.part == str(files[1])])] == ["b"] * 20


def test_names_that_are_no_text_are_shown_as_text(tmp_path: Path, inline: None) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.warc")
    path.write_bytes(record("1") + record("2", b"<p>no HTTP</p>"))

    items = read(path)

    assert names(items) == ["1", "bad_http"]
    to_record(found(items[:1]).article)
    for each in items:
        assert not isinstance(each, Trouble | Reached)
        assert each.part == str(tmp_path / r"caf\xe9.warc")
        assert each.origin.startswith(each.part)
    again = read(path, Run(checkpoints={str(tmp_path / r"caf\xe9.warc"): last_checkpoint(items[:1])}))
    assert names(again) == ["bad_http"]


def test_remote_files_are_refused_at_once() -> None:
    for path in ("https://data.example/a.warc.gz", "s3://bucket/a.warc.gz"):
        with pytest.raises(ValidationError, match="download it first"):
            Warc.model_validate({"paths": [path]})
    with pytest.raises(ValidationError):
        Warc(paths=[Path("a.warc")], publisher_from=" ")


# ---------------------------------------------------------------- in child processes


def read_or_die(path: str, start: int, end: int, sure: bool, records: int | None, how: Any) -> Any:
    """As `read_records`, but that some pages do to the process what hostile ones may."""
    chunk = warc.read_records(path, start, end, sure, records, how)
    pages = "".join(item.article.html or "" for item, _ in chunk.items if isinstance(item, Found))
    if "HANG" in pages:
        time.sleep(600)
    if "DIE" in pages:
        os._exit(3)
    if "EAT" in pages:
        bytearray(600 * 2**20)
    return chunk


class Dying(warc._Reading):
    """Reads with `read_or_die`."""

    def _submit(self, part: Any, at: int, sure: bool, records: int | None = None) -> Any:
        arguments = (part.file.path, at, part.end, sure, records, self._how)
        return self.children.submit(self.source.record_seconds, read_or_die, *arguments)


def die(*_: Any) -> None:
    os._exit(4)


def hostile_file(path: Path, hostile: dict[int, bytes]) -> Path:
    """100 articles, in four ranges; some hold a word that `read_or_die` knows."""
    pages = (answer(b"<p>%d %s</p>" % (number, hostile.get(number, b"a"))) for number in range(100))
    path.write_bytes(b"".join(gzip.compress(record(str(number), page)) for number, page in enumerate(pages)))
    return path


def test_a_record_that_ends_its_process_is_the_only_one_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hostile_file(tmp_path / "a.warc.gz", {30: b"HANG", 60: b"DIE", 90: b"EAT"})
    monkeypatch.setattr(warc, "RANGE_BYTES", path.stat().st_size // 4)
    monkeypatch.setattr(warc, "_Reading", Dying)

    items = read(path, record_seconds=2, memory_mb=300)

    kept = [str(number) for number in range(100)]
    kept[30], kept[60], kept[90] = "timeout", "crashed", "memory"
    assert names(items) == kept
    assert all("left out" in each.error for each in items if isinstance(each, Unusable))


def test_a_record_that_cannot_even_be_skipped_is_looked_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hostile_file(tmp_path / "a.warc.gz", {30: b"DIE"})
    monkeypatch.setattr(warc, "RANGE_BYTES", path.stat().st_size // 4)
    monkeypatch.setattr(warc, "_Reading", Dying)
    monkeypatch.setattr(warc, "next_record", die)

    kept = [str(number) for number in range(100)]
    kept[30] = "crashed"
    assert names(read(path)) == kept


def test_a_record_that_is_too_much_for_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    big = record("big", answer(b"<p>" + "ä𝄞".encode() * 3_000_000))
    path.write_bytes(b"".join(gzip.compress(each, 1) for each in (record("1"), big, record("3"))))

    items = read(path, page_mb=64, memory_mb=60)

    assert names(items) == ["1", "memory", "3"]


def test_a_member_that_takes_too_long_even_to_be_skipped(tmp_path: Path) -> None:
    """Its end is not known then, and the next record is looked for."""
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip.compress(record("1")) + bomb(record("bomb"), 8_000) + gzip.compress(record("3")))

    items = read(path, record_seconds=0.5, processes=1)

    assert names(items)[0] == "1"
    assert names(items)[-1] == "3"
    assert Counter(names(items))["timeout"] == 1


def test_processes_that_read_ahead_keep_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc, "RANGE_BYTES", 3000)
    paths = [tmp_path / f"{name}.warc.gz" for name in "abc"]
    for path in paths:
        records = (gzip.compress(record(f"{path.name[0]}{number}")) for number in range(150))
        path.write_bytes(b"".join(records))

    items = read(paths, processes=2)

    assert names(items) == [f"{name}{number}" for name in "abc" for number in range(150)]


def test_children_end_when_a_run_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(b"".join(record(str(number)) for number in range(10)))
    items: Iterator[Item] = Warc(paths=[path]).articles(Run())
    next(items)
    assert children()

    items.close()  # type: ignore[attr-defined]

    assert not children()


def children() -> list[str]:
    """The child processes of this one that read."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"spawn_main" in command:
            found.append(status.parent.name)
    return found


def test_a_run_that_stops_ends_between_two_ranges(files: list[Path]) -> None:
    stopped = False
    run = Run(stopping=lambda: stopped)
    items = []
    for item in Warc(paths=files).articles(run):
        items.append(item)
        stopped = True

    assert 0 < len(items) < 20
