"""Pages from WARC files, such as those of CC-NEWS.

A file is read in ranges by child processes, which may run ahead of each other. Where a range's first record begins
is a guess that the parent checks: the range before must end just there, else it is read again from there. So what
stands within a page cannot pass for a record, but where the file itself is damaged.

fastwarc reads a record's headers and takes encoded bodies apart. Where a record ends is judged here: fastwarc goes
on past a wrong length without a word, and has no way on behind what it cannot read.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import urlsplit

from fastwarc.stream_io import BrotliReader, ChunkedReader, ZstdReader
from fastwarc.warc import WarcRecord
from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError, field_validator

from schemas.article import Name, RawArticle, in_utc
from schemas.reading import Refused, refusal
from schemas.topics import MAX_RAW_BYTES
from services.producer.children import ChildFailed, Children
from services.producer.core import Found, Item, Reached, Skipped, Trouble, Unusable, shown_path
from services.producer.decoding import decode_page, page_bytes, slim_page
from services.producer.source import Positional, Run

ENDINGS = (".warc", ".warc.gz")

RANGE_BYTES = 2**20
"""A child's task: some 40 pages of a .warc.gz. Longer ones make a failure dearer, shorter ones the call."""

RESULT_BYTES = 16 * 2**20
"""A child gives back what it has after so many characters of HTML: what is highly compressed stays in bounds."""

HEADER_BYTES = 32 * 1024
"""Longest header of a record, and of the answer in it: what fastwarc reads at most."""

BLOCK_BYTES = 16 * 1024
INFLATED_BYTES = 256 * 1024
"""Read, and decompressed, at a time."""

HEAD_BYTES = 64 * 1024
"""By so many of its first bytes a file is known again."""

GAP_BYTES = 64
"""Empty lines after a record, at most; two are usual."""

PAGE_BYTES = MAX_RAW_BYTES - HEADER_BYTES * 2
"""What a page may take of a record; the rest is for its URL and the record's id, which stand in its header."""

ENCODINGS = 3
"""Encodings of a body on top of each other, chunks counted: nobody needs three."""

AHEAD = timedelta(days=1)
"""How far a crawler's clock may be wrong. A page from the future could never be corrected."""

WAIT_SECONDS = 0.25
"""Between two looks whether the run wants something while a child works."""

_Result = TypeVar("_Result")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _split(value: object) -> object:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        return value
    return [part.strip().lower() for text in given for part in str(text).split(",") if part.strip()]


class Warc(BaseModel):
    """Pages from WARC files (.warc, .warc.gz) and folders of them, such as CC-NEWS; goes on where it stopped.

    Taken are answers with status 200 that are HTML. A page's revision is the time of its capture.
    """

    paths: Positional[list[Path]] = Field(description="Files (.warc, .warc.gz) and folders of them.")
    publisher_from: str = Field(
        default="host",
        description="`host`: the publisher of a page is the host of its URL, without www.; any other text is "
        "the publisher of all.",
    )
    mime: Annotated[list[str], BeforeValidator(_split)] = Field(
        default=["text/html", "application/xhtml+xml"],
        description="Content types that are taken, apart by commas.",
    )
    page_mb: float = Field(
        default=8.0,
        gt=0,
        le=64,
        description="MiB of a page, and of its record, decompressed; what is larger is refused as too_large. "
        "Common Crawl cuts pages off before that.",
    )
    record_seconds: float = Field(
        default=20.0,
        gt=0,
        description="A record that takes longer to be read is refused as timeout.",
    )
    memory_mb: int = Field(
        default=512,
        ge=0,
        description="MiB that a child process may add; a record that needs more is refused as memory. Held on "
        "Linux only; 0 is no limit.",
    )
    processes: int = Field(default=2, ge=1, description="Child processes that read.")
    verify_digests: bool = Field(
        default=False, description="Refuse records whose WARC-Block-Digest is not that of their content."
    )

    @field_validator("paths", mode="before")
    @classmethod
    def _local(cls, paths: Any) -> Any:
        for path in paths if isinstance(paths, list | tuple) else [paths]:
            if re.match(r"[a-z][a-z0-9+.-]+://", str(path), re.IGNORECASE):
                raise ValueError(f"{path}: remote files are not read; download it first")
        return paths

    @field_validator("publisher_from")
    @classmethod
    def _name(cls, publisher: str) -> str:
        return TypeAdapter(Name).validate_python(publisher)

    def articles(self, run: Run) -> Iterator[Item]:
        """The records of all files in order, each file from its checkpoint on."""
        files = []
        for item in self._files(run):
            if isinstance(item, Trouble):
                yield item
            else:
                files.append(item)
        reading = _Reading(self, files, run)
        try:
            yield from reading.items()
        finally:
            reading.children.stop()

    def _files(self, run: Run) -> Iterator[_File | Trouble]:
        seen: set[str] = set()
        for path in self.paths:
            part = shown_path(path.absolute())
            try:
                found = sorted(each for each in path.rglob("*") if _is_warc(each)) if path.is_dir() else [path]
                if path.is_dir() and not found:
                    yield Trouble(part, f"no file in it ends in {' or '.join(ENDINGS)}")
                for each in found:
                    name = shown_path(each.absolute())
                    if name not in seen:
                        seen.add(name)
                        yield _opened(each, name, run.checkpoints.get(name))
            except OSError as error:
                yield Trouble(part, f"it cannot be read: {error.strerror}")


def _is_warc(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and path.is_file()


@dataclass(frozen=True)
class _File:
    """A file to be read: its path, as text too (`part`), its first bytes and size, where its next record begins."""

    path: str
    part: str
    head: bytes
    size: int
    start: int

    def checkpoint(self, at: int) -> str:
        """Where the next record begins, and by what the file is known again: some of the bytes before."""
        return json.dumps({"at": at, "head": _digest(self.head[:at])})


@lru_cache(maxsize=2)
def _digest(head: bytes) -> str:
    """Behind a file's first bytes it is the same for each record."""
    return blake2b(head, digest_size=16).hexdigest()


def _opened(path: Path, part: str, checkpoint: str | None) -> _File | Trouble:
    if not path.exists():
        return Trouble(part, "there is no such file or folder")
    if not _is_warc(path):
        return Trouble(part, f"it is no file that ends in {' or '.join(ENDINGS)}")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    opened = _File(str(path.absolute()), part, head, path.stat().st_size, 0)
    try:
        at = int(json.loads(checkpoint)["at"]) if checkpoint else 0
    except (ValueError, TypeError, KeyError):
        at = 0
    # Another file under the same name is read from its start.
    known = 0 <= at <= opened.size and opened.checkpoint(at) == checkpoint
    return replace(opened, start=at) if known else opened


# ---------------------------------------------------------------- in the parent


class _Range(NamedTuple):
    """A part of a file that a child is to read: the records that begin in it."""

    file: _File
    start: int
    end: int

    @property
    def is_first(self) -> bool:
        return self.start == self.file.start


@dataclass(frozen=True)
class _Chunk:
    """What a child read: where its first record begins, the items, each with where the next record begins.

    `after` is where reading goes on; not `sure`, a record is to be looked for from there.
    """

    first: int | None
    items: tuple[tuple[Item, int], ...]
    after: int
    sure: bool


@dataclass(frozen=True)
class _How:
    """How a child reads: what is taken, and the most bytes of a record and of a page."""

    publisher: str | None
    mime: frozenset[str]
    most_bytes: int
    verify: bool


_Items = Generator[Item, None, tuple[int, bool]]


class _Reading:
    """One look at the files: the children ahead, and the items in order."""

    def __init__(self, source: Warc, files: list[_File], run: Run) -> None:
        self.source = source
        self.files = files
        self.run = run
        self.children = Children(source.processes, source.memory_mb)
        publisher = None if source.publisher_from == "host" else source.publisher_from
        most = int(source.page_mb * 2**20)
        self._how = _How(publisher, frozenset(source.mime), most, source.verify_digests)
        self._total = sum(file.size for file in files)
        self._before = 0

    def items(self) -> Iterator[Item]:
        """All items of all files. A file that cannot be read is `Trouble`, and the next one's turn comes."""
        at, sure = 0, True
        failed: _File | None = None
        for part, future in self._ahead():
            if self.run.stopping():
                return
            if part.is_first:
                at, sure = part.start, True
            if part.start == part.end:
                yield Reached(part.file.part, part.file.checkpoint(at))
            elif part.file is not failed and at < part.end:
                try:
                    at, sure = yield from self._range(part, future, at, sure)
                except OSError as error:
                    failed = part.file
                    yield Trouble(part.file.part, f"it cannot be read: {error.strerror or error}")
            if part.end == part.file.size:
                self._before += part.file.size

    def _ahead(self) -> Iterator[tuple[_Range, Future[_Chunk]]]:
        """The ranges in order, so many of them begun that no child is idle."""
        begun: deque[tuple[_Range, Future[_Chunk]]] = deque()
        for part in self._ranges():
            begun.append((part, self._submit(part, part.start, part.is_first)))
            if len(begun) > self.source.processes:
                yield begun.popleft()
        yield from begun

    def _ranges(self) -> Iterator[_Range]:
        for file in self.files:
            # One that was read to its end is gone through once more: that it is well is to be said.
            for start in range(file.start, max(file.size, file.start + 1), RANGE_BYTES):
                yield _Range(file, start, min(start + RANGE_BYTES, file.size))

    def _submit(self, part: _Range, at: int, sure: bool, records: int | None = None) -> Future[_Chunk]:
        seconds = self.source.record_seconds
        return self.children.submit(seconds, read_records, part.file.path, at, part.end, sure, records, self._how)

    def _result(self, future: Future[_Result]) -> _Result:
        """What a child made; meanwhile the run goes on. Raises `ChildFailed`, and `OSError` for the file."""
        while not future.done():
            wait_for([future], timeout=WAIT_SECONDS)
            self.run.idle()
        return self.children.result(future, self.source.record_seconds)

    def _range(self, part: _Range, future: Future[_Chunk], at: int, sure: bool) -> _Items:
        """The items of a range from `at` on; returns where it goes on, and whether a record begins there."""
        try:
            chunk = self._result(future)
            while at < part.end:
                if sure and chunk.first != at:
                    # The guess was wrong, or the child gave back what it had before the range was at its end.
                    chunk = self._result(self._submit(part, at, sure))
                yield from self._given(part, chunk)
                at, sure = chunk.after, chunk.sure
        except ChildFailed:
            return (yield from self._one_by_one(part, at, sure))
        return at, sure

    def _one_by_one(self, part: _Range, at: int, sure: bool) -> _Items:
        """As `_range`, each record a task of its own: one ended a child, or took it too long."""
        while at < part.end and not self.run.stopping():
            if not sure:
                at, sure = self._found(part, at)
                continue
            try:
                chunk = self._result(self._submit(part, at, sure, 1))
            except ChildFailed as failure:
                after, sure = self._skipped(part, at)
                file = part.file
                error = f"{failure.error}; the record is left out"
                yield Unusable(f"{file.part}@{at}", error, file.part, file.checkpoint(after), failure.reason)
                at = after
            else:
                yield from self._given(part, chunk)
                at, sure = chunk.after, chunk.sure
        return at, sure

    def _found(self, part: _Range, at: int) -> tuple[int, bool]:
        try:
            first = self._result(self._submit(part, at, False, 0)).first
        except ChildFailed:
            first = None
        return (part.end, False) if first is None else (first, True)

    def _skipped(self, part: _Range, at: int) -> tuple[int, bool]:
        """Where the record after the one at `at` begins, which is not looked into."""
        seconds = self.source.record_seconds
        try:
            after = self._result(
                self.children.submit(seconds, next_record, part.file.path, at, self._how.most_bytes)
            )
        except ChildFailed:
            after = None
        return (at + 1, False) if after is None else (after, True)

    def _given(self, part: _Range, chunk: _Chunk) -> Iterator[Item]:
        for item, after in chunk.items:
            self.run.progress(self._before + after, self._total)
            # One that the file's end cuts off may be whole when the file is.
            cut = isinstance(item, Unusable) and item.reason == TRUNCATED
            yield replace(item, part=part.file.part, checkpoint=None if cut else part.file.checkpoint(after))


# ---------------------------------------------------------------- in a child: where records begin and end


def read_records(path: str, start: int, end: int, sure: bool, records: int | None, how: _How) -> _Chunk:
    """The records of a file that begin from `start` to before `end`, at most `records` of them.

    Not `sure`, the first one is looked for. Raises OSError.
    """
    with Path(path).open("rb", buffering=INFLATED_BYTES) as opened:
        file = _Source(opened, path)
        at = start if sure else file.find(start, end)
        if at is None:
            return _Chunk(None, (), end, sure=False)
        first, size = at, 0
        items: list[tuple[Item, int]] = []
        while at < end and size < RESULT_BYTES and (records is None or len(items) < records):
            item, after, look_from = _item_at(file, at, how)
            if after is None:
                after = file.find(look_from, end)
            items.append((item, end if after is None else after))
            if after is None:
                return _Chunk(first, tuple(items), end, sure=False)
            at = after
            size += len(item.article.html or "") if isinstance(item, Found) else 0
    return _Chunk(first, tuple(items), at, sure=True)


def next_record(path: str, at: int, most_bytes: int) -> int | None:
    """Where the record after the one at `at` begins; none where that cannot be told. Raises OSError."""
    with Path(path).open("rb", buffering=INFLATED_BYTES) as opened:
        try:
            return _Source(opened, path).frame(at, most_bytes).after
        except _Damaged as damaged:
            return damaged.after


class _Damaged(Exception):
    """No whole record lies here. `after` is where the next one begins; else it is looked for from `look_from`."""

    def __init__(self, reason: str, error: str, after: int | None = None, look_from: int | None = None) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error
        self.after = after
        self.look_from = look_from


@dataclass(frozen=True)
class _Frame:
    """A record as it lies in the file: its bytes, not all where not `whole`, and where the next one begins.

    The first `header` of them are its header.
    """

    content: bytes
    header: int
    after: int
    whole: bool


TRUNCATED = "truncated"
CUT_OFF = "it is damaged, or its download was cut off"


class _Source:
    """An open WARC file: its records lie one after the other, in a .warc.gz each in a gzip member of its own."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self.file = file
        self.path = path
        self.size = file.seek(0, 2)
        file.seek(0)
        head = file.read(5)
        # A download may have taken the compression off, and left the name.
        self._is_gzip = head.startswith(MAGIC) or (path.lower().endswith(".gz") and head != b"WARC/")

    def frame(self, at: int, most_bytes: int) -> _Frame:
        """The record at `at`, of whose bytes no more than `most_bytes` are kept. Raises `_Damaged`."""
        return self._compressed(at, most_bytes) if self._is_gzip else self._plain(at, most_bytes)

    def find(self, start: int, end: int) -> int | None:
        """The first place from `start` to before `end` at which a record seems to begin."""
        self.file.seek(start)
        window = self.file.read(end - start + BLOCK_BYTES)
        for found in (_MEMBER if self._is_gzip else _LINE).finditer(window, 0, end - start + LINE_BYTES):
            at = found.start()
            if at < end - start and self._begins(window, at):
                return start + at
        return None

    def _begins(self, window: bytes, at: int) -> bool:
        if not self._is_gzip:
            return True
        try:
            return zlib.decompressobj(GZIP).decompress(window[at : at + BLOCK_BYTES], 5) == b"WARC/"
        except zlib.error:
            return False

    def _plain(self, at: int, most_bytes: int) -> _Frame:
        self.file.seek(at)
        head = self.file.read(HEADER_BYTES)
        header, length = _header(head, "bad_header" if len(head) == HEADER_BYTES else TRUNCATED)
        end = at + header + length
        if end > self.size:
            error = f"Content-Length is {length}, {end - self.size} bytes more than the file has: {CUT_OFF}"
            raise _Damaged(TRUNCATED, error, look_from=at + header)
        self.file.seek(end)
        gap = self.file.read(GAP_BYTES)
        follows = gap.lstrip(b"\r\n")
        after = end + len(gap) - len(follows)
        if not b"WARC/".startswith(follows[:5]):
            if not gap.startswith(b"\r\n\r\n"):
                error = f"Content-Length is {length}, but no record ends there"
                raise _Damaged("wrong_length", error, look_from=at + header)
            after = end + 4  # what follows is no record, and is judged in its turn
        self.file.seek(at)
        content = self.file.read(header + min(length, most_bytes))
        return _Frame(content, header, after, length <= most_bytes)

    def _compressed(self, at: int, most_bytes: int) -> _Frame:
        member = _Member(self.file, at)
        content = member.read(HEADER_BYTES + most_bytes + GAP_BYTES)
        header = length = 0
        damaged: _Damaged | None = None
        try:
            header, length = _header(content, "bad_header")
        except _Damaged as found:
            damaged = found
        total = header + length
        follows = content[total:].lstrip(b"\r\n")
        size = len(content) + member.skip()
        if damaged:
            raise _Damaged(damaged.reason, damaged.error, member.after)
        if follows.startswith(b"WARC/"):
            error = (
                "one gzip member holds several records, which cannot be told apart: unpack it, and give the .warc"
            )
            raise _Damaged("not_record_wise", error, member.after)
        if follows or total > size:
            error = f"Content-Length is {length}, but the record has {size - header} bytes"
            raise _Damaged("wrong_length", error, member.after)
        content = content[: header + min(length, most_bytes)]
        return _Frame(content, header, member.after, length <= most_bytes)


MAGIC = b"\x1f\x8b"

GZIP = 16 + zlib.MAX_WBITS
"""For zlib: one gzip member, its checksum verified."""

LINE_BYTES = 64
"""A record's first line, and the name of a field in the next one, are not longer."""

_FIRST = re.compile(rb"WARC/[0-9]\.[0-9]\r\n")
_LINE = re.compile(rb"WARC/[0-9]\.[0-9]\r\n[A-Za-z-]{1,40}[ \t]{0,4}:")
_MEMBER = re.compile(rb"\x1f\x8b\x08")
_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


def _header(content: bytes, endless: str) -> tuple[int, int]:
    """The length of a record's header, and of what follows it, in bytes; raises `_Damaged`.

    `endless` is the reason where the header does not end.
    """
    if not _FIRST.match(content):
        raise _Damaged("garbage", "no WARC record begins here: these bytes are left out")
    end = content.find(b"\r\n\r\n", 0, HEADER_BYTES)
    if end < 0:
        bound = f"{CUT_OFF}" if endless == TRUNCATED else f"it may have {HEADER_BYTES} bytes"
        raise _Damaged(endless, f"its header does not end: {bound}")
    lengths = set(_LENGTH.findall(content, 0, end + 2))
    if len(lengths) != 1:
        found = f"is given {len(lengths)} times" if lengths else "is missing"
        raise _Damaged("wrong_length", f"Content-Length {found}")
    (length,) = lengths
    if not length.isdigit() or len(length) > LENGTH_DIGITS:
        raise _Damaged("wrong_length", f"Content-Length is {length[:40].decode('latin-1')!r}, which is no length")
    return end + 4, int(length)


LENGTH_DIGITS = 19
"""Of a 64-bit number."""


class _Member:
    """A gzip member, decompressed a piece at a time; raises `_Damaged` where it is none, or ends too early."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        self._file = file
        self._at = at
        self._inflate = zlib.decompressobj(GZIP)
        file.seek(at)
        if file.read(2) != MAGIC:
            raise _Damaged("garbage", "no gzip member begins here: these bytes are left out", look_from=at + 1)
        file.seek(at)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only where it ends."""
        pieces: list[bytes] = []
        while size > 0 and (piece := self._piece(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def skip(self) -> int:
        """Go to its end; returns how many bytes that were, and keeps none."""
        count = 0
        while piece := self._piece(INFLATED_BYTES):
            count += len(piece)
        return count

    @property
    def after(self) -> int:
        """Where the next one begins, at its end."""
        return self._file.tell() - len(self._inflate.unused_data)

    def _piece(self, size: int) -> bytes:
        """Some bytes, none at its end."""
        try:
            while not self._inflate.eof:
                packed = self._inflate.unconsumed_tail or self._file.read(BLOCK_BYTES)
                piece = self._inflate.decompress(packed, min(size, INFLATED_BYTES))
                if piece:
                    return piece
                if not packed and not self._inflate.eof:
                    raise _Damaged(TRUNCATED, f"the file ends within it: {CUT_OFF}", look_from=self._at + 1)
        except zlib.error as error:
            said = f"no whole gzip member lies here ({error}): its bytes are left out"
            raise _Damaged("damaged", said, look_from=self._at + 1) from None
        return b""


# ---------------------------------------------------------------- in a child: what a record holds


def _item_at(file: _Source, at: int, how: _How) -> tuple[Item, int | None, int]:
    """The record at `at` as an item, and where the next one begins, or from where it is to be looked for."""
    origin = f"{shown_path(Path(file.path))}@{at}"
    try:
        frame = file.frame(at, how.most_bytes)
    except _Damaged as damaged:
        look_from = at + 1 if damaged.look_from is None else damaged.look_from
        return Unusable(origin, damaged.error, reason=damaged.reason), damaged.after, look_from
    item: Item
    try:
        item = _read(frame, origin, shown_path(Path(Path(file.path).name)), how)
    except _Passed as passed:
        item = Skipped(origin, passed.reason)
    except Refused as refused:
        item = Unusable(origin, refused.error, reason=refused.reason)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of the parsers' Rust code is no Exception
        item = Unusable(origin, f"it cannot be read: {error}", reason="unreadable")
    return item, frame.after, at


class _Passed(Exception):
    """A record that is passed over on purpose, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _read(frame: _Frame, origin: str, name: str, how: _How) -> Found:
    """The article of a record; raises `_Passed` and `Refused`."""
    record = WarcRecord.from_bytes(_head_of(frame))
    kind = _text(record, "WARC-Type").lower()
    if kind != "response":
        raise _Passed("revisit" if kind == "revisit" else "not_a_response")
    if not record.is_http:
        raise _Passed("not_http")
    body = frame.header + _answer(record)
    content_type, encodings = _kind_of_page(record, how)
    if not frame.whole:
        raise _too_large(how)
    if how.verify:
        _verify(frame, record)
    page = _decoded(frame.content[body:], encodings, how)
    date = _date(_text(record, "WARC-Date"))
    url = _text(record, "WARC-Target-URI").removeprefix("<").removesuffix(">")
    extra = {
        "warc_file": name,
        "warc_record_id": _text(record, "WARC-Record-ID"),
        "warc_truncated": _text(record, "WARC-Truncated"),
    }
    try:
        article = RawArticle(
            publisher=how.publisher or _host(url),
            html=_page(decode_page(page, content_type)),
            url=url,
            revision=(date - EPOCH) // timedelta(milliseconds=1),
            extra={key: value for key, value in extra.items() if value},
        )
    except ValidationError as error:
        raise refusal(error) from None
    return Found(origin, article, time=date)


def _head_of(frame: _Frame) -> bytes:
    """A record's header and the beginning of its content, as fastwarc reads them: it knows these names in one case.

    With the whole of a large record it would end the process where memory is short.
    """
    header = _NAMES.sub(lambda name: _NAMED[name[0].lower()], frame.content[: frame.header])
    return header + frame.content[frame.header : frame.header + HEADER_BYTES]


_NAMED = {name.lower(): name for name in (b"WARC-Type", b"Content-Length", b"Content-Type")}
_NAMES = re.compile(rb"^(?:warc-type|content-length|content-type)(?=[ \t]*:)", re.IGNORECASE | re.MULTILINE)


def _text(record: WarcRecord, name: str) -> str:
    value: bytes = record.headers.get_bytes(name.encode()) or b""
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def _verify(frame: _Frame, record: WarcRecord) -> None:
    algorithm = _text(record, "WARC-Block-Digest").partition(":")[0].lower()
    known = algorithm in ("sha1", "sha256", "md5")
    if known and not WarcRecord.from_bytes(frame.content).verify_block_digest():
        raise Refused("wrong_digest", "WARC-Block-Digest is not that of its content: the file is damaged")


def _answer(record: WarcRecord) -> int:
    """Read the header of the HTTP answer; returns its length."""
    length: int = record.content_length
    try:
        record.parse_http(max_header_len=HEADER_BYTES, quirks_mode=True)
    except OSError as error:
        raise Refused("bad_http", f"the header of its HTTP answer cannot be read: {error}") from None
    return length - int(record.content_length)


def _kind_of_page(record: WarcRecord, how: _How) -> tuple[str, list[str]]:
    """The content type of the answer, whole, and how it is encoded, in that order; raises `_Passed`, `Refused`."""
    headers = record.http_headers
    status = headers.status_code
    if status is None:
        raise Refused("bad_http", "its HTTP answer begins with no status line")
    if status != OK:
        raise _Passed("status")
    stated = (headers.get("Content-Type") or _text(record, "WARC-Identified-Payload-Type")).strip()
    if stated.split(";")[0].strip().lower() not in how.mime:
        raise _Passed("not_html")
    encodings = ",".join(headers.get(name) or "" for name in ("Content-Encoding", "Transfer-Encoding"))
    named = (each.strip().lower() for each in encodings.split(","))
    return stated, [each for each in named if each not in ("", "identity")]


OK = 200


def _decoded(stored: bytes, encodings: list[str], how: _How) -> bytes:
    """The page's bytes. Many crawlers store it decoded, and leave the header as it was."""
    page = stored
    try:
        if len(encodings) > ENCODINGS:
            raise Refused("bad_encoding", f"its body is encoded more than {ENCODINGS} times")
        for encoding in reversed(encodings):
            page = _without(encoding, page, how)
    except Refused as refused:
        if refused.reason == "bad_encoding" and stored.lstrip()[:1] == b"<":
            return stored
        raise
    return page


def _without(encoding: str, body: bytes, how: _How) -> bytes:
    try:
        if encoding in ("gzip", "x-gzip", "deflate"):
            return _inflated(body, encoding, how)
        return _all(_READERS[encoding](BytesIO(body)), how)
    except KeyError:
        raise Refused("bad_encoding", f"its encoding {encoding[:40]!r} is none that is known") from None
    except (OSError, zlib.error) as error:
        raise Refused("bad_encoding", f"it is not encoded as its header says ({encoding}): {error}") from None


_READERS = {"chunked": ChunkedReader, "br": BrotliReader, "zstd": ZstdReader}


def _all(reader: Any, how: _How) -> bytes:
    """All that a reader has; raises `Refused` where that is more than a page may have."""
    pieces = []
    left = how.most_bytes + 1
    while left > 0 and (piece := reader.read(min(left, INFLATED_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        raise _too_large(how)
    return b"".join(pieces)


def _inflated(body: bytes, encoding: str, how: _How) -> bytes:
    decoded = b""
    raw = encoding == "deflate" and body[:1] not in (b"\x78", b"\x1f")
    while body:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS if raw else EITHER)
        decoded += inflate.decompress(body, how.most_bytes + 1 - len(decoded))
        if len(decoded) > how.most_bytes:
            raise _too_large(how)
        if not inflate.eof:
            raise Refused("bad_encoding", f"its {encoding} body ends too early")
        # Of several members all count; what follows the last one does not.
        body = inflate.unused_data if inflate.unused_data.startswith(MAGIC) else b""
    return decoded


EITHER = 32 + zlib.MAX_WBITS
"""For zlib: gzip or zlib, as its first bytes say."""


def _too_large(how: _How) -> Refused:
    return Refused("too_large", f"it has more than {how.most_bytes} bytes, decompressed: see --page-mb")


def _date(text: str) -> datetime:
    try:
        date = in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise Refused("invalid_record", f"WARC-Date: {text[:40]!r} is no ISO 8601 time") from None
    if date < EPOCH or date > datetime.now(UTC) + AHEAD:
        raise Refused("invalid_record", f"WARC-Date: {text[:40]!r} is before 1970 or in the future")
    return date


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if not host:
        raise Refused("invalid_record", f"WARC-Target-URI: {url[:200]!r} has no host to be its publisher")
    return host.removeprefix("www.")


def _page(html: str) -> str:
    if not html.strip():
        raise Refused("empty", "the page is empty")
    if len(html) * LONGEST_ESCAPE <= PAGE_BYTES:
        return html
    html = slim_page(html, PAGE_BYTES)
    if (size := page_bytes(html)) > PAGE_BYTES:
        raise Refused("too_large", f"without scripts and styles the page has {size} bytes, more than {PAGE_BYTES}")
    return html


LONGEST_ESCAPE = 6
"""Bytes of a character in JSON, at most; a control character is written so."""
