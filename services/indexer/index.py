"""The port to an index: what is written, and the verdict on each document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Verdict(StrEnum):
    """What became of a document."""

    WRITTEN = "written"
    SUPERSEDED = "superseded"
    """A newer revision is there already."""
    AGAIN = "again"
    """Not now: the index is busy or blocked. Nothing is wrong with the document."""
    REFUSED = "refused"
    """The index will never take this document."""
    RETRACTED = "retracted"
    """The article was taken out, and this revision of it stays out."""
    EXPIRED = "expired"
    """It was published longer ago than documents are kept."""


@dataclass(frozen=True)
class Write:
    """A document to be written under `id` unless a revision above `revision` is there.

    `source` is its JSON; without one, what is there is deleted.
    """

    id: str
    revision: int
    source: bytes | None


@dataclass(frozen=True)
class Stored:
    """A document as it is in the index, and the revision under which it was written."""

    revision: int
    source: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The verdict on one document, with the index's own words."""

    verdict: Verdict
    error: str = ""


class Unavailable(Exception):
    """The index as a whole takes nothing now, or did not answer; all of the request is to be tried again."""


class TooLarge(Exception):
    """The request as a whole is larger than the index allows."""


class Forbidden(Exception):
    """The index does not know us or does not allow this; no repetition mends that."""


class DocumentIndex(Protocol):
    """Takes documents, and gives them back at once, whether they can be found by searching yet or not."""

    def write(self, documents: Sequence[Write]) -> list[Outcome]:
        """Try once to write all; an outcome each, in order. Raises `Unavailable`, `TooLarge` or `Forbidden`."""

    def read(self, ids: Sequence[str]) -> dict[str, Stored]:
        """Those of the documents that are there, by id. Raises `Unavailable` or `Forbidden`."""

    def without(self, fields: Iterable[str]) -> list[str]:
        """Those of the fields that the index does not know. Raises `Unavailable` or `Forbidden`."""
