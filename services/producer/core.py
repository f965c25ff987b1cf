"""What a source finds, and the record that a producer sends of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.reading import Refused, refusal, write_record
from schemas.topics import MAX_RAW_BYTES


@dataclass(frozen=True)
class Found:
    """An article that a source found. `origin` names its place for people: a file, and its line.

    `part` is the part of the source that it comes from (a feed, a file), `checkpoint` what the source wants to be
    given at its next start when everything of that part up to here has come to its end. `time` is when the article
    was published as far as the source knows, where the article itself does not say it.
    """

    origin: str
    article: RawArticle
    part: str = ""
    checkpoint: str | None = None
    time: datetime | None = None


@dataclass(frozen=True)
class Unusable:
    """What a source found and nobody can take, and why; nothing else is held up by it.

    `reason` is one short word for counting, `error` says what to do.
    """

    origin: str
    error: str
    part: str = ""
    checkpoint: str | None = None
    reason: str = "unusable"


@dataclass(frozen=True)
class Skipped:
    """What a source passes over on purpose, such as what it gave before; `reason` is one short word."""

    origin: str
    reason: str
    part: str = ""
    checkpoint: str | None = None


@dataclass(frozen=True)
class Reached:
    """A part was looked at without trouble, up to `checkpoint`; said where no article says it."""

    part: str
    checkpoint: str | None = None


@dataclass(frozen=True)
class Trouble:
    """A part that cannot be read at present, and why. Its articles are not lost: the next look may find them."""

    part: str
    error: str
    checkpoint: str | None = None


Item = Found | Unusable | Skipped | Reached | Trouble
"""What a source may give; a bare `RawArticle` stands for a `Found` without more."""


@dataclass(frozen=True)
class RawRecord:
    """A record for `articles-raw`: its key (the article id) and its value."""

    key: bytes
    value: bytes


def to_record(article: RawArticle) -> RawRecord:
    """The record of `article`; raises `schemas.reading.Refused` when it is larger than the topic takes."""
    value = write_record(article)
    if len(value) > MAX_RAW_BYTES:
        raise Refused("too_large", f"the record has {len(value)} bytes, more than the {MAX_RAW_BYTES} allowed")
    return RawRecord(article_id(article).encode(), value)


def to_item(
    origin: str,
    fields: Mapping[str, Any],
    part: str = "",
    checkpoint: str | None = None,
    time: datetime | None = None,
) -> Found | Unusable:
    """The article that has these fields, or why it has none, with the field named. None and "" are left out."""
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.items()
        if value is not None and value != ""
    }
    try:
        return Found(origin, RawArticle.model_validate(given), part, checkpoint, time)
    except ValidationError as error:
        return Unusable(origin, refusal(error).error, part, checkpoint, "invalid_record")


def shown_path(path: Path) -> str:
    """A path as text; bytes of it that are no UTF-8 are escaped, since no record can hold them."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
