"""Articles from files and folders: .txt, .html, .json and .jsonl; and from standard input."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO, ClassVar

from pydantic import BaseModel, Field

from schemas.article import Name
from schemas.reading import Refused, read_record
from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES
from services.producer.core import Found, Item, Reached, Trouble, Unusable, shown_path, to_item
from services.producer.source import Positional, Run

ENDINGS = (".txt", ".html", ".htm", ".json", ".jsonl", ".ndjson")

NAMED = (".txt", ".html", ".htm")
"""Endings of files whose name is the article's own id."""

LINES = (".jsonl", ".ndjson")
"""Endings of files that hold a record a line."""

EXPECTATION = ".expected.json"
"""Ending of what stands beside a sample article and is none itself."""


class Seeds(BaseModel):
    """Files and folders, sent whole each time; without a path the sample articles.

    .txt is a body, .html a page, .json an articles-raw record, .jsonl one a line.
    """

    keeps_state: ClassVar[bool] = False

    paths: Positional[list[Path]] = Field(
        default=[], description="Files (.txt, .html, .json, .jsonl) and folders; left out: the sample articles."
    )
    publisher: Name = Field(
        default="local-files", description="Publisher of .txt and .html files, which name none themselves."
    )

    def articles(self, run: Run) -> Iterator[Item]:
        """All of them, read twice: the first time to know how many there are."""
        paths = self.paths or [Path(str(files("seeds") / "README.md")).parent]
        total = sum(1 for _ in read_files(paths, self.publisher, "seeds"))
        for number, item in enumerate(read_files(paths, self.publisher, "seeds"), start=1):
            run.progress(number, total)
            yield item


class Stdin(BaseModel):
    """articles-raw records as JSON lines on standard input."""

    keeps_state: ClassVar[bool] = False

    def articles(self, run: Run) -> Iterator[Item]:  # noqa: ARG002 - as the protocol has it
        """One a line, until the input ends."""
        yield from read_lines(sys.stdin.buffer, "standard input")


@dataclass
class _Reached:
    """How far a folder has been read: the newest change that was, and the lines of the files that grow."""

    changed: int = 0
    name: str = ""
    lines: dict[str, tuple[int, int]] = field(default_factory=dict)
    """File name -> its inode, and the bytes of it that were read."""

    def written(self) -> str:
        return json.dumps([self.changed, self.name, self.lines])

    @classmethod
    def read(cls, checkpoint: str | None) -> _Reached:
        if checkpoint is None:
            return cls()
        changed, name, lines = json.loads(checkpoint)
        return cls(changed, name, {file: (inode, size) for file, (inode, size) in lines.items()})


class Files(BaseModel):
    """Files and folders, each file sent when it is new or has changed; with --follow also those that come later.

    .txt is a body, .html a page, .json an articles-raw record, .jsonl one a line. A changed .txt or .html file is
    a correction. Of a .jsonl file that grows only the new lines are read.
    """

    paths: Positional[list[Path]] = Field(description="Files and folders.")
    publisher: Name = Field(
        default="local-files", description="Publisher of .txt and .html files, which name none themselves."
    )
    settle_seconds: float = Field(
        default=2.0,
        ge=0,
        description="With --follow: a file that changed within so many seconds may still be written; it is left "
        "for the next look.",
    )

    def articles(self, run: Run) -> Iterator[Item]:
        """What is new since the checkpoint of each path, in the order in which it changed."""
        latest = time.time_ns() - int(self.settle_seconds * 1e9 if run.follow else 0)
        # Else a file that is written within the same step of the clock would be behind the checkpoint, and lost.
        time.sleep(TICK_SECONDS)
        names: dict[str, Path] = {}
        for path in self.paths:
            part = shown_path(path.absolute())
            wrong = _wrong(path, names)
            if wrong:
                yield Trouble(part, wrong)
                continue
            reached = _Reached.read(run.checkpoints.get(part))
            try:
                found = self._changed(path, reached, latest)
            except OSError as error:
                yield Trouble(part, f"it cannot be read: {error.strerror}")
                continue
            for number, (changed, name, file) in enumerate(found):
                run.progress(number, len(found))
                yield from self._one(file, name, part, reached, changed, run)
            yield Reached(part, reached.written())

    def _changed(self, path: Path, reached: _Reached, latest: int) -> list[tuple[int, str, Path]]:
        """The time of the last change (ns, up to `latest`) and name of each file that is to be read, in that order.

        The time is that of the inode: a file that is moved in, or whose own time was set back, is new all the same.
        """
        inside = path.rglob("*") if path.is_dir() else [path]
        found = []
        for file in inside:
            if not _is_readable(file):
                continue
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            changed = file.stat().st_ctime_ns
            if (changed, name) > (reached.changed, reached.name) and changed <= latest:
                found.append((changed, name, file))
        return sorted(found)

    def _one(self, file: Path, name: str, part: str, reached: _Reached, changed: int, run: Run) -> Iterator[Item]:
        """The articles of one file; the last one brings the checkpoint."""
        items = (
            self._new_lines(file, name, reached, run)
            if file.suffix.lower() in LINES
            else _read_file(file, name, self.publisher, "files")
        )
        last: Item | None = None
        for item in items:
            if last is not None:
                yield last
            last = replace(item, part=part)
        reached.changed, reached.name = changed, name
        if last is not None:
            yield replace(last, checkpoint=reached.written())

    def _new_lines(self, file: Path, name: str, reached: _Reached, run: Run) -> Iterator[Item]:
        origin = shown_path(file)
        try:
            with file.open("rb") as lines:
                inode, size = file.stat().st_ino, file.stat().st_size
                known, at = reached.lines.get(name, (inode, 0))
                at = begun = at if known == inode and at <= size else 0
                lines.seek(at)
                for number, line in enumerate(bounded_lines(lines), start=1):
                    if run.follow and not line.endswith(b"\n"):
                        break  # still being written
                    where = f"{origin} at byte {at}" if begun else f"{origin}:{number}"
                    at = lines.tell()
                    if line.strip():
                        yield _read_record(line, where, "files")
        except OSError as error:
            yield Unusable(origin, f"it cannot be read: {error.strerror}", reason="unreadable")
            return
        reached.lines.pop(name, None)
        reached.lines[name] = (inode, at)
        while len(reached.lines) > GROWING_FILES:
            del reached.lines[next(iter(reached.lines))]


TICK_SECONDS = 0.02
"""Longer than a step of the clock by which a file system dates its changes (4 or 10 ms)."""


def _is_readable(file: Path) -> bool:
    """Whether a file below a folder is one of ours to read."""
    return file.is_file() and file.suffix.lower() in ENDINGS and not file.name.endswith(EXPECTATION)


def _wrong(path: Path, names: dict[str, Path]) -> str | None:
    """Why a path that was given cannot be read; `names` are the files given before it, by their name."""
    if not path.exists():
        return "there is no such file or folder"
    if path.is_dir():
        return None
    if path.suffix.lower() not in ENDINGS:
        return f"its ending is none of {', '.join(ENDINGS)}"
    if path.suffix.lower() in NAMED and names.setdefault(path.name, path) != path:
        return f"its name is its id, and {names[path.name]} has it too: give their folder"
    return None


GROWING_FILES = 1_000
"""Files with lines whose place is remembered, those read last; the checkpoint stays under 100 kB."""


def read_files(paths: Iterable[Path], publisher: str, producer: str) -> Iterator[Found | Unusable]:
    """The articles in `paths`, folders with all below them, in the order given and by name within a folder.

    A .txt file is a body, one paragraph a line or apart by blank lines; a .html file is a page. Both are taken
    as published by `publisher`, and their name (below the given folder) is their own id, so that a changed file
    is a correction. A .json file holds one `articles-raw` record; a .jsonl file holds one a line.
    """
    single: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if _is_readable(file):
                    yield from _read_file(file, file.relative_to(path).as_posix(), publisher, producer)
        elif path.name.endswith(EXPECTATION):
            continue  # a shell's `seeds/*.json` names these too
        elif not path.is_file():
            yield Unusable(str(path), "there is no such file or folder")
        elif wrong := _wrong(path, single):
            yield Unusable(str(path), wrong)
        else:
            yield from _read_file(path, path.name, publisher, producer)


def read_lines(lines: Iterable[bytes], origin: str, producer: str | None = None) -> Iterator[Found | Unusable]:
    """The `articles-raw` records in JSON lines; empty lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _read_record(line, f"{origin}:{number}", producer)


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of a file. One that no record can be in is given up to a byte over the limit, and read past."""
    while line := stream.readline(MAX_RAW_BYTES + 2):
        part = line
        while not part.endswith(b"\n") and (part := stream.readline(MAX_RAW_BYTES)):
            pass
        yield line


TOO_LARGE = f"it has more than the {MAX_RAW_BYTES} bytes that a record may have"


def _read_file(file: Path, name: str, publisher: str, producer: str) -> Iterator[Found | Unusable]:
    origin = shown_path(file)
    try:
        if file.suffix.lower() in LINES:
            with file.open("rb") as lines:
                yield from read_lines(bounded_lines(lines), origin, producer)
            return
        with file.open("rb") as opened:
            content = opened.read(MAX_RAW_BYTES + 1)
    except OSError as error:
        yield Unusable(origin, f"it cannot be read: {error.strerror}", reason="unreadable")
        return
    if len(content) > MAX_RAW_BYTES:
        yield Unusable(origin, TOO_LARGE, reason="too_large")
        return
    if file.suffix.lower() == ".json":
        yield _read_record(content, origin, producer)
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Unusable(origin, f"it is not UTF-8 (byte {error.start}): save it as UTF-8", reason="not_utf8")
        return
    if not text.strip():
        yield Unusable(origin, "it is empty", reason="empty")
    else:
        field = "body" if file.suffix.lower() == ".txt" else "html"
        id_ = shown_path(Path(name))
        yield to_item(origin, {field: text, "publisher": publisher, "id": id_, "producer": producer})


def _read_record(value: bytes, origin: str, producer: str | None) -> Found | Unusable:
    try:
        article = read_record(ARTICLES_RAW, value.strip())
    except Refused as refused:
        return Unusable(origin, refused.error, reason=refused.reason)
    if producer and article.producer is None:
        article = article.model_copy(update={"producer": producer})
    return Found(origin, article)
