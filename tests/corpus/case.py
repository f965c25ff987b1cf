"""A case of the corpus: a file that is wrong (or odd) in one way, and what must become of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

MIB = 2**20

HUGE_BYTES = 128 * MIB
"""Of the files that no reader may hold: without a limit each of them alone takes a process over its cap."""


class Kind(StrEnum):
    """What reads the file; the value is its ending."""

    TXT = ".txt"
    HTML = ".html"
    JSON = ".json"
    JSONL = ".jsonl"
    CSV = ".csv"
    MAPPED = ".ndjson"
    NINJS = ".ninjs"
    WARC = ".warc"
    FEED = ".xml"
    SITEMAP = ".sitemap"
    BODY = ".body"


class Expects(StrEnum):
    """What becomes of a file: nothing of it is taken, all of it is, or all but what is wrong."""

    REFUSED = "refused"
    TAKEN = "taken"
    MIXED = "mixed"


@dataclass(frozen=True)
class Case:
    """One file. `name` says what is wrong with it.

    `content` is its bytes; a function gives those that are large, in pieces. `good` is how many articles must come:
    in a mixed file they are its neighbours (their id or URL says so). `reasons` are the words of which each refusal
    has one, `says` a pattern found in a refusal's error or origin: the field, the line, the offset. `why` is said
    of what is odd and rightly taken.
    """

    name: str
    kind: Kind
    content: bytes | Callable[[], Iterable[bytes]]
    expects: Expects
    reasons: tuple[str, ...] = ()
    says: str = ""
    good: int = 0
    why: str = ""
    filename: str = ""
    """Where the file's own name is what is wrong."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the source, or of the request."""

    def pieces(self) -> Iterable[bytes]:
        """The content, piece by piece."""
        return [self.content] if isinstance(self.content, bytes) else self.content()

    def bytes(self) -> bytes:
        """The content as a whole."""
        return b"".join(self.pieces())

    def write(self, folder: Path) -> tuple[Path, str]:
        """Write the file into a folder of its own; returns its path, and the SHA-256 of its content."""
        file = folder / self.name / (self.filename or f"{self.name}{self.options.get('ending', self.kind.value)}")
        file.parent.mkdir(parents=True)
        digest = sha256()
        with file.open("wb") as out:
            for piece in self.pieces():
                out.write(piece)
                digest.update(piece)
        return file, digest.hexdigest()


@dataclass(frozen=True)
class Maker:
    """Makes the cases of one kind, in one line each."""

    kind: Kind

    def refused(
        self,
        name: str,
        content: bytes | Callable[[], Iterable[bytes]],
        reasons: str,
        says: str = "",
        **more: Any,
    ) -> Case:
        """Nothing of it is taken; `reasons` are words apart by spaces."""
        return Case(name, self.kind, content, Expects.REFUSED, tuple(reasons.split()), says, **more)

    def mixed(
        self,
        name: str,
        content: bytes | Callable[[], Iterable[bytes]],
        reasons: str,
        says: str = "",
        good: int = 2,
        **more: Any,
    ) -> Case:
        """The neighbours come, what stands between them is refused."""
        return Case(name, self.kind, content, Expects.MIXED, tuple(reasons.split()), says, good, **more)

    def taken(
        self, name: str, content: bytes | Callable[[], Iterable[bytes]], good: int, why: str, **more: Any
    ) -> Case:
        """It is odd, and taken for a reason."""
        return Case(name, self.kind, content, Expects.TAKEN, good=good, why=why, **more)


def neighbour(number: int, **other: Any) -> bytes:
    """A good record, as one line of JSON without its end."""
    record = {
        "publisher": "good.example",
        "id": f"neighbour-{number}",
        "headline": f"Neighbour {number}",
        "body": f"Nothing is wrong with the {number}th of these articles: it stands beside a bad one.",
    }
    return json.dumps(record | other, ensure_ascii=False).encode()


def of(size: int, piece: bytes = b"a", before: bytes = b"", after: bytes = b"") -> Callable[[], Iterable[bytes]]:
    """About `size` bytes of a repeated piece, made when they are asked for, a MiB at a time."""

    def pieces() -> Iterable[bytes]:
        yield before
        block = piece * max(1, MIB // len(piece))
        for _ in range(max(1, size // len(block))):
            yield block
        yield after

    return pieces
