"""The document that Elasticsearch stores for an article; the index template maps just these fields.

Names follow IPTC ninjs 3.1 in snake_case, and ECS where it has the concept. `source`, `url` and `entity` are
never a plain text here, since ECS owns them as objects.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from schemas.article import Entity, Mention, Place
from schemas.story import SeenParagraph

INDEX_ALIAS = "news-articles"
"""What searches and dashboards name. One concrete index stands behind it at a time."""

STORIES_ALIAS = "news-stories"
"""The story of each article as last told (`schemas.story.Story`); what the indexer remembers, not for searching."""

STANDBY_ALIAS = "news-articles-standby"
"""A second index that takes every write too: the next one while it is filled, the one before after the switch."""

DEAD_LETTERS_ALIAS = "news-dead-letters"
"""The open dead letters, for Kibana; the queue itself is the topic."""

INDEX_VERSION = 2
"""Of the mapping: a new mapping is a new index, and one switch of the alias."""

RESERVED = "\x00\x1e\x1f"
"""Characters that Lucene keeps for itself in suggestions: one in a headline or a name refuses the document."""

NOT_RETRACTED = {"bool": {"must_not": [{"exists": {"field": "retracted.time"}}]}}
"""The filter of the alias: what is left of a retracted article is no hit and is not counted."""


def first_index(alias: str) -> str:
    """The name of the first concrete index of this mapping."""
    return f"{alias}-v{INDEX_VERSION}-000001"


class Part(BaseModel):
    """Common settings of the document's parts."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Event(Part):
    """ECS: when the record of it was made (stored by Kafka), and when it was written to the index."""

    created: datetime
    ingested: datetime


class Url(Part):
    """ECS: the whole address, and its host."""

    full: str
    domain: str


class Publisher(Part):
    """Who published it."""

    name: str


class Drops(Part):
    """How many paragraphs were dropped, by reason: one field for each `schemas.article.Reason`."""

    boilerplate: int = 0
    exact_duplicate: int = 0
    near_duplicate: int = 0


class Changes(Part):
    """In how many paragraphs something was changed: one field for each `schemas.article.Change`."""

    mojibake: int = 0
    entities: int = 0
    invisible: int = 0
    spaces: int = 0
    normalized: int = 0
    lines_joined: int = 0
    hyphenation: int = 0
    sign_off: int = 0


class Paragraphs(Part):
    """How many paragraphs came in, and how many were kept, dropped, and kept with a change."""

    total: int
    kept: int
    dropped: int
    dropped_by: Drops
    changed: int
    changed_by: Changes


class Pipeline(Part):
    """What the pipeline did with the article."""

    versions: tuple[str, ...] = Field(description="`cleaner 1`, `model en_core_web_md-3.7.1`, …")
    flags: tuple[str, ...]
    quality: tuple[str, ...] = Field(description="What makes it less than an article: `schemas.article.Quality`.")
    entities: str | None = Field(
        default=None,
        description="`tagged`, or `unsupported_language` where no model reads it; none in older documents.",
    )
    language_stated: str | None = None
    language_confidence: float
    paragraphs: Paragraphs
    dedup: str = Field(description="`linked`, or `partial` while its copies have not been looked for.")
    story_id: str = Field(description="The id of the first article of its story: its own where it is no copy.")
    duplicate_of: str | None = Field(
        default=None, description="The first article that has its text, if not itself."
    )
    originality: float | None = Field(
        default=None, description="Share of its text that no other article had first."
    )
    seen_first: tuple[SeenParagraph, ...] = Field(default=(), description="Paragraphs that were elsewhere first.")


class EarlierVersion(Part):
    """What an earlier revision of the article said."""

    revision: int
    received: datetime
    headline: str | None = None
    summary: str | None = None
    body: str
    byline: str | None = None
    url: str | None = None
    published: datetime | None = None
    modified: datetime | None = None


class Retracted(Part):
    """That an article was taken out: when, by whom, why, and whether newer revisions stay out too.

    Once a person has `withdrawn` it, any revision comes in again, those from before too.
    """

    time: datetime
    by: str
    reason: str | None = None
    hold: bool = False
    withdrawn: bool = False


class RetractedDocument(Part):
    """What is left of a retracted article under its id: nothing of its text. `revision` is that of what was there.

    A copy that comes late finds it there, and stays out by the time at which Kafka had it.
    """

    id: str
    revision: int
    retracted: Retracted


class ArticleDocument(Part):
    """One article as it is stored under its article id."""

    id: str
    timestamp: datetime = Field(alias="@timestamp", description="Published, else first seen.")
    published: datetime | None = None
    modified: datetime | None = None
    event: Event
    revision: int
    url: Url | None = None
    headline: str | None = None
    summary: str | None = None
    body: str
    byline: str | None = None
    language: str
    publisher: Publisher
    producer: str | None = None
    people: tuple[Entity, ...]
    organisations: tuple[Entity, ...]
    places: tuple[Place, ...]
    mentions: tuple[Mention, ...]
    subjects: tuple[str, ...]
    copyright_notice: str | None = None
    section: str | None = None
    located: str | None = None
    agency: str | None = None
    extra: dict[str, str]
    history: tuple[EarlierVersion, ...] = Field(default=(), description="Earlier revisions, the newest first.")
    cleared: datetime | None = Field(
        default=None,
        description="What Kafka had of the article up to then was taken out, and is not in the history either.",
    )
    pipeline: Pipeline


class DeadLetterDocument(Part):
    """An open dead letter, for looking at: `schemas.dead_letter.DeadLetter`, with its text cut short."""

    id: str
    timestamp: datetime = Field(alias="@timestamp", description="When it failed.")
    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    error: str
    attempt: int
    publisher: str | None = None
    headline: str | None = None
    key: str | None = None
    bytes: int = Field(description="Of the whole value, in the queue.")
    text: str = Field(description="The value's beginning, as text.")
