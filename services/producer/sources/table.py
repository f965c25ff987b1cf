"""Articles from tables: CSV files and JSON lines, one article a row or line, by a map of fields to columns.

What both share is here too: lines of a bounded length, the place in a file that a checkpoint stands for, and JSON
that nobody has checked.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import math
import os
import re
import time
import zlib
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import structlog
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from schemas.article import RawArticle, in_utc
from schemas.reading import Refused, no_key_twice, refusal
from services.producer.core import Found, Item, Reached, Skipped, Trouble, Unusable, shown_path
from services.producer.source import Positional, Run

log = structlog.get_logger(__name__)

MAX_RECORD_BYTES = 2_000_000
"""Default for the longest row or line, in bytes: twice what `articles-raw` takes and more, since JSON may write a
character in six bytes that is three there, and columns that are mapped nowhere count as well."""

EDGE = 1024
"""Bytes at both ends of what was read whose digests a checkpoint has: a replaced file differs in one of them."""

SHOWN_NAMES = 50
"""Columns that an error names at the most."""

EXTRA = "extra."
"""Begin of a field that is an entry of `extra`."""

FIELDS = tuple(name for name in RawArticle.model_fields if name != "extra")

UNIX = {"unix": "seconds", "unix-ms": "milliseconds"}
"""Time formats that are numbers, and their unit."""


# ---------------------------------------------------------------- lines and places


@dataclass(frozen=True)
class Line:
    """A line with its ending. `data` is None where it is longer than allowed; `first` and `last` are its edges."""

    data: bytes | None
    size: int
    first: bytes
    last: bytes

    @classmethod
    def of(cls, data: bytes) -> Line:
        """The line of these bytes."""
        return cls(data, len(data), data[:EDGE], data[-EDGE:])

    @property
    def finished(self) -> bool:
        """Whether its ending is there; without it the line may still be written."""
        return self.last.endswith(b"\n")


@dataclass(frozen=True)
class Place:
    """How far a file was read: bytes and lines, and both edges of those bytes."""

    offset: int = 0
    lines: int = 0
    head: bytes = b""
    tail: bytes = b""

    def after(self, taken: Iterable[Line]) -> Place:
        """The place behind these lines."""
        place = self
        for line in taken:
            head = place.head if len(place.head) == EDGE else (place.head + line.first)[:EDGE]
            tail = (place.tail + line.last)[-EDGE:]
            place = Place(place.offset + line.size, place.lines + 1, head, tail)
        return place

    def written(self, begun: Place) -> str:
        """The checkpoint. `begun` is where the last row began: one without a line ending may yet go on."""
        again = None if self.tail.endswith(b"\n") else [begun.offset, begun.lines]
        return json.dumps([self.offset, self.lines, _digest(self.head), _digest(self.tail), again])


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=8).hexdigest()


class Lines:
    """The lines of a stream, none longer than `longest` bytes in memory; `place` is behind those taken."""

    def __init__(self, stream: io.BufferedIOBase, longest: int, stopping: Callable[[], bool]) -> None:
        self.stream = stream
        self.longest = longest
        self.stopping = stopping
        self.place = Place()
        self.ended = False
        self._again: deque[Line] = deque()
        self._over = False

    def next(self) -> Line | None:
        """The next line; none at the end, which `ended` says then."""
        line = self._again.popleft() if self._again else self._read()
        self.ended = line is None
        return line

    def take(self, lines: Sequence[Line], count: int | None = None) -> None:
        """The first `count` of these lines (all) have come to their end, the others are given again."""
        count = len(lines) if count is None else count
        self.place = self.place.after(lines[:count])
        self._again.extendleft(reversed(lines[count:]))

    def _read(self) -> Line | None:
        data = b"" if self._over else self.stream.readline(self.longest + 1)
        if len(data) <= self.longest:
            return Line.of(data) if data else None
        line = replace(Line.of(data), data=None)
        while not line.finished and not self.stopping():
            more = self.stream.readline(io.DEFAULT_BUFFER_SIZE)
            if not more:
                break
            line = replace(line, size=line.size + len(more), last=(line.last + more)[-EDGE:])
        return line

    def go_on(self, checkpoint: str | None) -> None:
        """Go to where a checkpoint stands, unless the file is no longer the one that it is of."""
        found = self._found(checkpoint) if checkpoint else None
        if found is None or found.offset < self.place.offset:
            found = self.place
        self.stream.seek(found.offset)
        self.place = found

    def _found(self, checkpoint: str) -> Place | None:
        try:
            offset, lines, head, tail, begun = json.loads(checkpoint)
            place = self._at(offset, lines)
        except (ValueError, TypeError):  # of another form: not ours, or of another version
            return None
        if [_digest(place.head), _digest(place.tail)] != [head, tail]:
            return None
        if begun is None:
            return place
        rest = self.stream.readline(2)
        if rest in (b"\n", b"\r\n"):
            # The line was whole, and has its ending by now.
            return replace(place.after([Line.of(rest)]), lines=lines)
        self._over = not rest
        return place if self._over else self._at(*begun)

    def _at(self, offset: int, lines: int) -> Place:
        edge = min(EDGE, offset)
        self.stream.seek(0)
        head = self.stream.read(edge)
        self.stream.seek(offset - edge)
        return Place(offset, lines, head, self.stream.read(edge))


def files_in(path: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files of a folder and all below it that have one of these endings, by name; a file is itself."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.name.lower().endswith(endings) and file.is_file())


def size_of(file: Path) -> int:
    """A file's bytes, for telling how far a run is; none where it cannot be told."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


# ---------------------------------------------------------------- JSON


def read_json(value: bytes) -> Any:
    """What JSON in UTF-8 says. Raises `Refused` for whatever two readers would not read alike.

    Reasons: `not_utf8`, `invalid_json` (NaN, numbers beyond all bounds and halves of surrogate pairs included),
    `too_deep`, and `invalid_record` for a key that is given twice.
    """
    try:
        text = value.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("not_utf8", f"it is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    try:
        found = json.loads(text, object_pairs_hook=no_key_twice, parse_float=_finite, parse_constant=_no_constant)
        if _SURROGATE.search(text):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise Refused("too_deep", "its lists and objects are nested too deep") from None
    except UnicodeEncodeError:
        raise Refused(
            "invalid_json", "it has half of a surrogate pair (\\ud800 to \\udfff), which is no text"
        ) from None
    except json.JSONDecodeError as error:
        raise Refused("invalid_json", f"{error.msg} (character {error.pos + 1})") from None
    except Refused:
        raise
    except ValueError:  # Python's limit for whole numbers
        raise Refused("invalid_json", "a number has too many digits: write it as a text") from None
    return found


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Refused("invalid_json", f"the number {text[:20]} is too large: write it as a text")
    return number


def _no_constant(name: str) -> Any:
    raise Refused("invalid_json", f"{name} is no JSON: leave it out, or write null")


# ---------------------------------------------------------------- fields and columns


class Table(BaseModel):
    """What CSV and JSON lines have in common: the map of fields to columns, times, and the reading of files."""

    paths: Positional[list[Path]] = Field(min_length=1, description="Files and folders; .gz is unpacked.")
    map: list[str] = Field(
        default=[],
        description="FIELD=COLUMN: where a field of the article stands (also extra.NAME). A field that is not "
        "named here is looked for under its own name; FIELD= looks for it nowhere. May be given again.",
    )
    set: list[str] = Field(
        default=[],
        description="FIELD=TEXT: a field that is the same for all, such as publisher. May be given again.",
    )
    extra: bool = Field(default=False, description="Put all plain values that are mapped nowhere into `extra`.")
    time_format: str | None = Field(
        default=None,
        description="How published and modified are written: as for strptime, or unix or unix-ms for numbers. "
        "Left out: ISO 8601.",
    )
    time_zone: str | None = Field(
        default=None,
        description="Zone of times that state none, such as Europe/Lisbon. Left out: UTC, and flagged.",
    )
    list_separator: str = Field(default=";", min_length=1, description="What stands between subjects in one text.")
    live: bool = Field(
        default=False,
        description="These are no old articles: set no revision, and what is sent last wins. Else the revision is "
        "the time of modified or published.",
    )
    max_record_bytes: int = Field(
        default=MAX_RECORD_BYTES,
        ge=1,
        description="Longest row or line, in bytes (unpacked); longer ones are refused.",
    )
    settle_seconds: float = Field(
        default=60.0,
        ge=0,
        description="With --follow: a last row without its end waits until the file has not changed for so long.",
    )

    @field_validator("map", "set")
    @classmethod
    def _known_fields(cls, given: list[str]) -> list[str]:
        fields = [each.partition("=")[0] for each in given]
        for each, field in zip(given, fields, strict=True):
            if "=" not in each:
                raise ValueError(f"{each!r}: write it as FIELD=…")
            if field not in FIELDS and not (field.startswith(EXTRA) and field != EXTRA):
                raise ValueError(f"{field!r} is no field; there are {', '.join(FIELDS)} and extra.NAME")
            if fields.count(field) > 1:
                raise ValueError(f"{field} is given twice")
        return given

    @field_validator("time_format")
    @classmethod
    def _usable_format(cls, given: str | None) -> str | None:
        if given is not None and given not in UNIX:
            try:
                datetime.strptime(datetime(2026, 1, 31, 8, tzinfo=UTC).strftime(given), given)  # noqa: DTZ007 - tried
            except (ValueError, re.error) as error:
                raise ValueError(f"{given!r} is no format for strptime: {error}") from None
        return given

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, given: str | None) -> str | None:
        if given is not None:
            try:
                ZoneInfo(given)
            except (LookupError, ValueError, OSError):
                raise ValueError(f"{given!r} is no time zone that is known here, such as Europe/Lisbon") from None
        return given

    @model_validator(mode="after")
    def _usable_constants(self) -> Self:
        both = self._mapped.keys() & _pairs(self.set).keys()
        if both:
            raise ValueError(f"{min(both)} is given by --map and by --set: leave one out")
        given: dict[str, Any] = {"publisher": "p", **self._constants}
        try:
            RawArticle.model_validate(given if given.keys() & {"body", "html"} else {**given, "body": "b"})
        except ValidationError as error:
            raise ValueError(f"set: {refusal(error).error}") from None
        return self

    @cached_property
    def _mapped(self) -> dict[str, str]:
        """Field -> column, as --map has it."""
        return _pairs(self.map)

    @cached_property
    def _columns(self) -> dict[str, str]:
        """Field -> column: the map, and the fields that are looked for under their own names."""
        own = {field: field for field in FIELDS if field not in _pairs(self.set)}
        return {field: column for field, column in {**own, **self._mapped}.items() if column}

    @cached_property
    def _constants(self) -> dict[str, Any]:
        return self._given(_pairs(self.set))

    def _article(self, values: Mapping[str, Any], others: Mapping[str, Any]) -> RawArticle:
        """The article of the values found: field -> value, and what else goes into `extra`.

        Raises `Refused` with the field named.
        """
        given = {**self._constants, **self._given(values)}
        own = {name: _text(f"{EXTRA}{name}", value) for name, value in others.items() if not _blank(value)}
        given["extra"] = own | self._constants.get("extra", {}) | given.get("extra", {})
        when = given.get("modified") or given.get("published")
        if not self.live and when is not None:
            given.setdefault("revision", max(0, int(in_utc(when).timestamp() * 1000)))
        try:
            return RawArticle.model_validate(given)
        except ValidationError as error:
            raise refusal(error) from None

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for field, value in values.items():
            if _blank(value):
                continue
            if field.startswith(EXTRA):
                given.setdefault("extra", {})[field.removeprefix(EXTRA)] = _text(field, value)
            else:
                given[field] = self._value(field, value)
        return given

    def _value(self, field: str, value: Any) -> Any:
        if field in ("published", "modified"):
            return self._time(field, value)
        if field == "subjects":
            parts = value if isinstance(value, list) else _text(field, value).split(self.list_separator)
            texts = [_text(f"subjects.{number}", part).strip() for number, part in enumerate(parts)]
            return tuple(text for text in texts if text)
        if field == "revision":
            try:
                return int(_text(field, value))
            except ValueError:
                raise Refused("invalid_record", "revision: must be a whole number") from None
        return _text(field, value)

    def _time(self, field: str, value: Any) -> datetime:
        unit = UNIX.get(self.time_format or "")
        try:
            when = _EPOCH + timedelta(**{unit: float(_text(field, value))}) if unit else self._read_time(value)
            if when.tzinfo is None and self.time_zone is not None:
                when = when.replace(tzinfo=ZoneInfo(self.time_zone))
            in_utc(when)
        except Refused:
            raise
        except (ValueError, OverflowError):
            wanted = (
                f"a number of {unit} since 1970"
                if unit
                else f"a text of the form {self.time_format}"
                if self.time_format
                else "an ISO 8601 text such as 2026-01-31T08:00:00Z; --time-format reads other forms"
            )
            raise Refused("invalid_record", f"{field}: must be {wanted}") from None
        return when

    def _read_time(self, value: Any) -> datetime:
        if not isinstance(value, str):
            raise ValueError("no text")
        text = value.strip()
        if self.time_format is not None:
            return datetime.strptime(text, self.time_format)  # noqa: DTZ007 - a zone is given where it has none
        # Thirteen digits, a time in ms, would be read as a date and a time of day without what is between them.
        if text.isdecimal() and len(text) != len("20260131"):
            raise ValueError("a bare number")
        return datetime.fromisoformat(text)

    # ------------------------------------------------------------ files

    def articles(self, run: Run) -> Iterator[Item]:
        """What is new in each file since its checkpoint, in the order of its rows."""
        found = (file.absolute() for path in self.paths for file in files_in(path, self._endings))
        files = list(dict.fromkeys(found))
        sizes = [size_of(file) for file in files]
        for number, file in enumerate(files):
            reading = Reading(self.max_record_bytes, self.settle_seconds, sum(sizes[:number]), sum(sizes))
            yield from read_file(file, run, reading, self._reader)

    @property
    @abstractmethod
    def _endings(self) -> tuple[str, ...]:
        """Endings of the files that are read in a folder."""

    @abstractmethod
    def _reader(self, lines: Lines, part: str, waits: bool) -> Read:
        """What reads the next row.

        It takes the row's lines from `lines`, and none at the end or where it `waits` for the rest of the last one.
        Raises `Refused` for a file of which no row can be read.
        """


@dataclass(frozen=True)
class Reading:
    """How a file is read: `longest` in bytes of a line, `settle_seconds` as in `Table`; `done` bytes of `total`
    were read before it.
    """

    longest: int
    settle_seconds: float
    done: int = 0
    total: int | None = None


def read_file(file: Path, run: Run, reading: Reading, reader: Callable[[Lines, str, bool], Read]) -> Iterator[Item]:
    """What is new in a file since the checkpoint of its path, in the order of its rows; `reader` as in `Table`."""
    part = shown_path(file.absolute())
    if not file.is_file():
        yield Trouble(part, "there is no such file")
        return
    line = 0
    try:
        for item in _read_file(file, part, run, reading, reader):
            line = max(line, _line_of(item))
            yield item
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        yield Trouble(part, f"it cannot be read behind line {line}: {why}")


def _read_file(
    file: Path, part: str, run: Run, reading: Reading, reader: Callable[[Lines, str, bool], Read]
) -> Iterator[Item]:
    with file.open("rb") as raw:
        stream = gzip.GzipFile(fileobj=raw) if file.suffix.lower() == ".gz" else raw
        waits = run.follow and time.time() - os.fstat(raw.fileno()).st_mtime < reading.settle_seconds
        lines = Lines(stream, reading.longest, run.stopping)
        try:
            read = reader(lines, part, waits)
        except Refused as refused:
            yield Trouble(part, refused.error)
            return
        lines.go_on(run.checkpoints.get(part))
        checkpoint = None
        while True:
            begun = lines.place
            outcome = _outcome(read)
            if lines.place == begun:
                break
            run.progress(reading.done + raw.tell(), reading.total)
            checkpoint = lines.place.written(begun)
            if outcome is not None:
                yield _item(outcome, f"{part}:{begun.lines + 1}", part, checkpoint)
        yield Reached(part, checkpoint)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Outcome = RawArticle | Refused | str | None
"""What became of a row: an article, why there is none, the reason to pass it over, or nothing to say."""

Read = Callable[[], Outcome]
"""Reads the next row; raises `Refused` where it is unusable."""


def _outcome(read: Read) -> Outcome:
    try:
        return read()
    except Refused as refused:
        return refused


def _item(outcome: RawArticle | Refused | str, origin: str, part: str, checkpoint: str) -> Item:
    if isinstance(outcome, RawArticle):
        return Found(origin, outcome, part, checkpoint)
    if isinstance(outcome, Refused):
        return Unusable(origin, outcome.error, part, checkpoint, outcome.reason)
    return Skipped(origin, outcome, part, checkpoint)


def _line_of(item: Item) -> int:
    return int(item.origin.rpartition(":")[2]) if isinstance(item, Found | Unusable | Skipped) else 0


def _pairs(given: Iterable[str]) -> dict[str, str]:
    return {field: text for field, _, text in (each.partition("=") for each in given)}


def _blank(value: Any) -> bool:
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def _text(field: str, value: Any) -> str:
    """A plain value as a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    kind, way = ("a list", "number, as in authors.0") if isinstance(value, list) else ("an object", "name")
    raise Refused("invalid_record", f"{field}: is {kind}: map it to one value in it, by its {way}")


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _too_long(longest: int) -> Refused:
    return Refused("too_large", f"the line has more than {longest} bytes: raise --max-record-bytes")


# ---------------------------------------------------------------- JSON lines


def json_line(lines: Lines, waits: bool, made: Callable[[dict[str, Any]], Outcome]) -> Read:
    """What reads the next of JSON lines: what is `made` of its object, nothing where it is blank."""

    def read() -> Outcome:
        line = lines.next()
        if line is None or (waits and not line.finished):
            return None
        lines.take([line])
        if line.data is None:
            raise _too_long(lines.longest)
        if not line.data.strip():
            return None
        record = read_json(line.data)
        if not isinstance(record, dict):
            raise Refused("invalid_record", "it is no object: one in {…} a line")
        return made(record)

    return read


class JsonLines(Table):
    """JSON lines with an article a line, in fields of any name (.jsonl, .ndjson, also .gz).

    A COLUMN is a path such as meta.title; entries of a list go by their number, from 0: authors.0.
    """

    @property
    def _endings(self) -> tuple[str, ...]:
        return (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")

    def _reader(self, lines: Lines, part: str, waits: bool) -> Read:
        unseen = _Unseen(part, self._mapped)
        next_line = json_line(lines, waits, lambda record: self._record(record, unseen))

        def read() -> Outcome:
            outcome = next_line()
            if lines.ended:
                unseen.tell()
            return outcome

        return read

    def _record(self, record: dict[str, Any], unseen: _Unseen) -> RawArticle:
        values = {field: at_path(record, path) for field, path in self._columns.items()}
        unseen.note(values)
        others: dict[str, Any] = {}
        if self.extra:
            mapped = self._columns.values()
            others = {key: value for key, value in record.items() if key and key not in mapped and _plain(value)}
        if isinstance(record.get("extra"), dict):
            others.update((key, value) for key, value in record["extra"].items() if key and _plain(value))
        return self._article(values, others)


class _Unseen:
    """The mapped paths that no record has had so far: told once, since a misspelt one would lose its field."""

    def __init__(self, part: str, mapped: Mapping[str, str]) -> None:
        self.part = part
        self.paths = {field: path for field, path in mapped.items() if path}
        self.records = 0

    def note(self, values: Mapping[str, Any]) -> None:
        self.records += 1
        for field in [field for field in self.paths if values[field] is not None]:
            del self.paths[field]
        if self.records == UNSEEN_RECORDS:
            self.tell()

    def tell(self) -> None:
        if self.records and self.paths:
            log.warning("mapped, but in no record so far", part=self.part, paths=self.paths, records=self.records)
            self.paths = {}


UNSEEN_RECORDS = 1_000
"""Records after which a path that none had is told."""


def at_path(record: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or under the path as one key; None where there is none."""
    if path in record:
        return record[path]
    value: Any = record
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


_INDEX = re.compile("[0-9]{1,9}")


# ---------------------------------------------------------------- CSV


@dataclass(frozen=True)
class _Header:
    """A file's columns: how many, which of them is which field, and which go into `extra`."""

    delimiter: str
    count: int
    fields: Mapping[str, int]
    others: Mapping[str, int]


class Csv(Table):
    """CSV files with a header and an article a row (.csv, .tsv, also .gz).

    Rows that are no rows of this table are refused with their line; after one whose quotes don't close, reading
    goes on at the next line.
    """

    delimiter: str | None = Field(
        default=None, description="Between cells: one character, or tab. Left out: told from the header."
    )
    quote: str = Field(default='"', max_length=1, description="Around cells; empty where nothing is quoted.")
    escape: str | None = Field(
        default=None, min_length=1, max_length=1, description="Before a character that stands for itself."
    )
    encoding: str = Field(default="utf-8", description="The files' encoding, such as cp1252.")
    max_row_lines: int = Field(
        default=2_000,
        ge=1,
        description="Most lines of one row: a quote that is never closed costs so much reading.",
    )

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, given: str | None) -> str | None:
        given = "\t" if given in ("tab", "\\t") else given
        if given is not None and (len(given) != 1 or given in '"\r\n'):
            raise ValueError("must be one character, or tab")
        return given

    @field_validator("encoding")
    @classmethod
    def _ascii_beneath(cls, given: str) -> str:
        try:
            usable = _SIGNS.encode(given) == _SIGNS.encode("ascii")
        except (LookupError, ValueError):
            raise ValueError(f"{given!r} is no encoding of texts that is known here") from None
        if not usable:
            raise ValueError(f"{given} has no lines that can be told apart: save the file as UTF-8")
        return codecs.lookup(given).name

    @model_validator(mode="after")
    def _usable_together(self) -> Self:
        try:
            csv.reader([], **self.form(self.delimiter or ","))
        except (TypeError, ValueError, csv.Error) as error:
            raise ValueError(f"delimiter, quote and escape: {error}") from None
        signs = [sign for sign in (self.delimiter, self.quote, self.escape) if sign]
        if len(dict.fromkeys(signs)) < len(signs):
            raise ValueError("delimiter, quote and escape: two of them are the same")
        return self

    def articles(self, run: Run) -> Iterator[Item]:
        """What is new in each file since its checkpoint, in the order of its rows."""
        csv.field_size_limit(self.max_record_bytes)
        return super().articles(run)

    @property
    def _endings(self) -> tuple[str, ...]:
        return (".csv", ".tsv", ".csv.gz", ".tsv.gz")

    def form(self, delimiter: str) -> dict[str, Any]:
        """How a row is written, as the csv module wants to be told."""
        return {
            "delimiter": delimiter,
            "quotechar": self.quote or None,
            "quoting": csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            "escapechar": self.escape,
            # A stray quote would otherwise run cells and rows together without a word.
            "strict": True,
        }

    def _reader(self, lines: Lines, part: str, waits: bool) -> Read:  # noqa: ARG002 - as `Table` has it
        header = self._header(lines, waits)

        def read() -> Outcome:
            return None if header is None else self._row(lines, header, waits)

        return read

    def _header(self, lines: Lines, waits: bool) -> _Header | None:
        """The columns; none while the file has no header yet."""
        first = lines.next()
        if first is None or (waits and not first.finished):
            return None
        if first.data is not None and first.data.startswith(codecs.BOM_UTF8) and self.encoding.startswith("utf-8"):
            data = first.data.removeprefix(codecs.BOM_UTF8)
            first = replace(first, data=data)
        lines.take([first], 0)
        delimiter = self.delimiter or _told_by(first.data or b"", self.quote)
        row = _Row(self, lines, delimiter)
        if row.refused is not None:
            raise Refused(row.refused.reason, f"the header in line 1: {row.refused.error}")
        lines.take(row.taken)
        return self._columns_of([name.strip() for name in row.cells], delimiter)

    def _columns_of(self, names: list[str], delimiter: str) -> _Header:
        there = ", ".join(repr(name[:100]) for name in names[:SHOWN_NAMES])
        absent = [column for column in self._mapped.values() if column and column not in names]
        if absent:
            raise Refused("unknown_column", f"there is no column {absent[0]!r}; there are {there}")
        fields = {field: column for field, column in self._columns.items() if column in names}
        others = [name for name in names if name and name not in fields.values()] if self.extra else []
        twice = [name for name in [*fields.values(), *others] if names.count(name) > 1]
        if twice:
            raise Refused("unknown_column", f"there are two columns {twice[0]!r}: rename one")
        given = fields.keys() | self._constants.keys()
        for needed in (("publisher",), ("body", "html")):
            if not given & {*needed}:
                raise Refused(
                    "unknown_column",
                    f"no column is the {' or '.join(needed)}: say --map {needed[0]}=COLUMN, or "
                    f"--set {needed[0]}=TEXT; there are {there}",
                )
        return _Header(
            delimiter,
            len(names),
            {field: names.index(column) for field, column in fields.items()},
            {name: names.index(name) for name in others},
        )

    def _row(self, lines: Lines, header: _Header, waits: bool) -> Outcome:
        row = _Row(self, lines, header.delimiter)
        if not row.taken or (waits and (lines.ended or not row.taken[-1].finished)):
            return None
        refused = row.refused
        if refused is None and row.cells and len(row.cells) != header.count:
            refused = Refused("ragged", f"it has {len(row.cells)} cells, and the header {header.count}")
        # What followed an open quote may be rows of its own: only the first line is given up.
        lines.take(row.taken, 1 if refused else None)
        refused = refused or row.unreadable
        if refused is not None:
            raise refused
        if not row.cells:
            return None
        if not any(cell.strip() for cell in row.cells):
            return "empty"
        values = {field: row.cells[number] for field, number in header.fields.items()}
        return self._article(values, {name: row.cells[number] for name, number in header.others.items()})


class _Row:
    """The next row of a file: the lines it has, and its cells, or why there are none.

    `refused` means that its end is not known, `unreadable` that it is and the row holds what is no text.
    """

    def __init__(self, source: Csv, lines: Lines, delimiter: str) -> None:
        self.source = source
        self.taken: list[Line] = []
        self.cells: list[str] = []
        self.refused: Refused | None = None
        self.unreadable: Refused | None = None
        first = lines.place.lines + 1
        form = source.form(delimiter)
        try:
            self.cells = next(csv.reader(self._texts(lines, first), **form), [])
        except Refused as refused:
            self.refused = refused
        except csv.Error as error:
            self.refused = (
                Refused("unclosed_quote", "its quote is not closed before the file ends")
                if lines.ended
                else Refused("invalid_csv", f"{error} (line {first + len(self.taken) - 1})")
            )
        if any("\0" in cell for cell in self.cells):
            self.unreadable = Refused("nul", "it has a NUL byte, which no text has: the file is damaged")

    def _texts(self, lines: Lines, first: int) -> Iterator[str]:
        size = 0
        while (line := lines.next()) is not None:
            self.taken.append(line)
            size += line.size
            if line.data is None and len(self.taken) == 1:
                raise _too_long(self.source.max_record_bytes)
            most, longest = self.source.max_row_lines, self.source.max_record_bytes
            if line.data is None or size > longest or len(self.taken) > most:
                raise Refused(
                    "too_large",
                    f"it goes on for more than {longest} bytes or {most} lines: a quote is not closed, or "
                    "--max-record-bytes or --max-row-lines is too low",
                )
            yield self._text(line.data, first + len(self.taken) - 1)

    def _text(self, data: bytes, number: int) -> str:
        encoding = self.source.encoding
        try:
            return data.decode(encoding)
        except ValueError:
            reason = "not_" + re.sub("[^a-z0-9]", "", encoding)
            error = f"line {number} is not {encoding}: say --encoding, or save it as UTF-8"
            self.unreadable = Refused(reason, error)
            # Any byte is a character there, and the signs between cells are the same.
            return data.decode("latin-1")


_SIGNS = " \"',;:|\t\r\nAz09\\"

DELIMITERS = ",;\t|"


def _told_by(header: bytes, quote: str) -> str:
    """The delimiter that the header has most often, outside of quotes.

    The csv module's Sniffer looks at all that follows too, takes a comma of a text for a delimiter where there is
    but one column, and on 16 kB of quotes and line ends it takes 5 s, on 64 kB over a minute.
    """
    text = header.decode("latin-1")
    if quote:
        text = re.sub(f"{re.escape(quote)}[^{re.escape(quote)}]*{re.escape(quote)}", "", text)
    return max(DELIMITERS, key=text.count)
