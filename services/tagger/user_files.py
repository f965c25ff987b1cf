"""What a user tells the tagger in files: aliases, Wikidata's items. Read again when a file changes.

A file with a mistake stops a start; a mistake that comes later is told in the log, and what it said before holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from schemas.article import Label
from services.tagger.folding import folded

log = structlog.get_logger(__name__)

T = TypeVar("T")
AliasNames = dict[tuple[Label, tuple[str, ...]], str]


class UserFile(Generic[T]):
    """A file and what it says; without a path it says what `nothing` is."""

    def __init__(self, path: Path | None, read: Callable[[Path], T], nothing: T) -> None:
        self.path = path
        self.read = read
        self.said = nothing
        self.digest: str | None = None
        """SHA-256 of the file that said so; None without a file."""
        self.state: tuple[int, int] | None = None
        if path is not None:
            self._read(path)

    def current(self) -> T:
        """What it says now, or said last when it could be read."""
        if self.path is None:
            return self.said
        try:
            if _state(self.path) != self.state:
                self._read(self.path)
                log.info("read again", file=str(self.path))
        except (OSError, ValueError) as error:
            log.error("what this file said before holds", file=str(self.path), error=str(error))
        return self.said

    def _read(self, path: Path) -> None:
        self.state = _state(path)  # before the reading: a change in the midst of it is seen the next time
        digest = digest_of(path)
        self.said, self.digest = self.read(path), digest


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    return sha256(path.read_bytes()).hexdigest()


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def read_aliases(path: Path) -> AliasNames:
    """Label and folded name -> canonical name, of lines: label, canonical name, other names (apart by semicolons).

    Raises ValueError naming the line, and OSError where the file cannot be read.
    """
    found: AliasNames = {}
    for number, parts in _lines(path, 3):
        label, name, others = parts
        if label not in set(Label):
            raise ValueError(f"{path}:{number}: the label is {label!r} and must be one of {', '.join(Label)}")
        for other in (name, *others.split(";")):
            words = folded(other)
            words = words[1:] if words[:1] == ("the",) else words
            if not words:
                raise ValueError(f"{path}:{number}: a name without letters: write label, name, name;name")
            found[Label(label), words] = name
    return found


def read_wikidata(path: Path) -> dict[str, str]:
    """Lines of an entity's id and its Wikidata item, apart by a tab. Raises as `read_aliases` does."""
    found: dict[str, str] = {}
    for number, (entity_id, item) in _lines(path, 2):
        if not re.fullmatch(r"Q[1-9]\d*", item):
            raise ValueError(f"{path}:{number}: the item is {item!r} and must be like Q42")
        found[entity_id] = item
    return found


def _lines(path: Path, fields: int) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != fields:
            raise ValueError(f"{path}:{number}: {len(parts)} fields and not {fields}: put one tab between two")
        yield number, parts
