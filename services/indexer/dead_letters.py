"""From a record of the dead letter queue to the document that shows it, or to the word that it is closed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.dead_letter import (
    MAX_NAME_CHARACTERS,
    PREFIX,
    DeadLetter,
    closed_id,
    named_in,
    read_dead_letter,
)
from schemas.document import DeadLetterDocument

SHOWN_CHARACTERS = 10_000
"""Of a dead letter's value in its document: enough to see what it is. The queue has all of it."""

BYTES_OF_A_CHARACTER = 4
"""In UTF-8, at the most."""

MAX_ID_BYTES = 512
"""The longest id that Elasticsearch takes. None of ours is longer; anyone may write into the queue."""


@dataclass(frozen=True)
class Open:
    """A dead letter that waits: this document shows it."""

    document: DeadLetterDocument


@dataclass(frozen=True)
class Closed:
    """The dead letter of this id was published again or given up: nothing shows it any more."""

    id: str


def read_queue_record(
    headers: Iterable[tuple[str, bytes | None]], key: bytes | None, value: bytes | None
) -> Open | Closed | None:
    """What a record of `articles-dlq` says; None for what others wrote into it. Never raises."""
    given = [(name, text or b"") for name, text in headers]
    closed = closed_id(given)
    if closed is not None:
        return Closed(closed) if 0 < len(closed.encode()) <= MAX_ID_BYTES else None
    try:
        letter = read_dead_letter(given)
    except (KeyError, ValueError):
        return None
    if len(letter.id.encode()) > MAX_ID_BYTES:
        return None
    null = (f"{PREFIX}null", b"1") in given
    return Open(to_dead_letter_document(letter, key, None if null else value))


def to_dead_letter_document(letter: DeadLetter, key: bytes | None, value: bytes | None) -> DeadLetterDocument:
    """The document of an open dead letter, its text cut at `SHOWN_CHARACTERS`."""
    publisher, headline = named_in(value)
    return DeadLetterDocument(
        id=letter.id,
        timestamp=letter.time,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        stage=letter.stage,
        reason=letter.reason,
        error=letter.error,
        attempt=letter.attempt,
        publisher=publisher,
        headline=headline,
        key=_beginning(key, MAX_NAME_CHARACTERS) if key else None,
        bytes=len(value or b""),
        text=_beginning(value or b"", SHOWN_CHARACTERS),
    )


def _beginning(value: bytes, characters: int) -> str:
    return value[: characters * BYTES_OF_A_CHARACTER].decode("utf-8", "replace")[:characters]
