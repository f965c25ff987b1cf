"""From an article to the record that a producer sends."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.reading import Refused, write_record
from schemas.topics import MAX_RAW_BYTES


@dataclass(frozen=True)
class Found:
    """An article that a source found. `origin` names its place for people: a file, and its line."""

    origin: str
    article: RawArticle


@dataclass(frozen=True)
class Unusable:
    """What a source found and nobody can take, and why; nothing else is held up by it."""

    origin: str
    error: str


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
