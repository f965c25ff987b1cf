"""The record that takes an article out of the index, and what is left there in its place."""

from __future__ import annotations

import re
from datetime import datetime

from pydantic import Field

from schemas.article import Inner

ARTICLE_ID = re.compile(rb"[0-9a-f]{32}")
"""The form of an article id (schemas/identity.py), as the key of a record has it."""

BY_PRODUCER = "producer"
"""Who takes an article out by a tombstone on `articles-raw`."""

BY_PERSON = "newsflow retract"
"""Who takes an article out by the command."""

MAX_REASON_CHARACTERS = 500
"""Of a person's reason: it is shown with the article in one look, and it is no place for the article's text."""


class Retraction(Inner):
    """An article is taken out, on `articles-retracted`; of each key the last one counts.

    A producer takes out what it has sent so far: a newer revision comes in again. A person holds an article back:
    nothing of it comes in, whatever its revision, until that is withdrawn.
    """

    id: str = Field(description="The article id; also the record's key.")
    time: datetime = Field(description="When Kafka stored the tombstone, or the person said so.")
    by: str = Field(description=f"`{BY_PRODUCER}` for a tombstone on `articles-raw`, `{BY_PERSON}` for a person.")
    reason: str | None = Field(default=None, max_length=MAX_REASON_CHARACTERS, description="In the person's words.")
    hold: bool = Field(default=False, description="Newer revisions stay out too.")
    withdrawn: bool = Field(default=False, description="The article may come in again, as a newer revision.")


def is_article_id(key: bytes | None) -> bool:
    """Whether a record's key is an article id, so that with a null value it is a tombstone."""
    return key is not None and ARTICLE_ID.fullmatch(key) is not None
