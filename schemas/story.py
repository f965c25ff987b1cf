"""The records that link syndicated copies: fingerprints, what they were found to share, and the story found.

An article's fingerprints are spread over the partitions of `articles-fingerprints` by their value. Who owns such a
partition knows all articles with a fingerprint in it, and says on `articles-overlaps` what each shares with which.
There the article id picks the partition: who owns an article there sums up, and writes its story to
`articles-stories`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, RootModel, StringConstraints

from schemas.article import Inner, Revision

ArticleId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""An article id (schemas/identity.py)."""

MAX_FINGERPRINT = 2**48 - 1
"""A fingerprint has 48 bits: of ten million different ones, two are the same by chance in one case of six."""

Fingerprint = Annotated[int, Field(ge=0, le=MAX_FINGERPRINT)]


class Fingerprints(Inner):
    """Those fingerprints of one article that belong to one partition, on `articles-fingerprints`."""

    id: ArticleId
    revision: Revision
    offset: int = Field(ge=0, description="Of the article's record on articles-deduped: of one revision, the last.")
    time: datetime = Field(description="Published, else first seen: who is named first among copies.")
    total: int = Field(ge=0, description="Fingerprints of the whole article, in all partitions.")
    fingerprints: tuple[tuple[Fingerprint, int], ...] = Field(
        description="Each fingerprint with the index of the paragraph that it stands in."
    )


class Shared(Inner):
    """Another article with some of the same fingerprints in one partition."""

    id: ArticleId
    time: datetime
    total: int = Field(ge=0)
    count: int = Field(ge=1, description="Fingerprints in this partition that both have.")


class SeenFirst(Inner):
    """Fingerprints of one paragraph that another article had before."""

    index: int = Field(description="The paragraph.")
    id: ArticleId = Field(description="The first article that had them, by its time, then by its id.")
    count: int = Field(ge=1)


class Overlap(Inner):
    """What an article shares with earlier ones in one partition of the fingerprints; the last record counts."""

    kind: Literal["overlap"] = "overlap"
    id: ArticleId
    partition: int = Field(ge=0, description="Of articles-fingerprints.")
    time: datetime
    total: int = Field(ge=0)
    counts: tuple[tuple[int, int], ...] = Field(
        description="Paragraph index, and how many of its fingerprints are in this partition."
    )
    shared: tuple[Shared, ...] = ()
    seen_first: tuple[SeenFirst, ...] = ()


class Follow(Inner):
    """Asks the article `id` to tell `follower` whenever its own story changes."""

    kind: Literal["follow"] = "follow"
    id: ArticleId
    follower: ArticleId


class Leads(Inner):
    """Tells the article `id` that `leader`, which it follows, belongs to the story `story_id`."""

    kind: Literal["leads"] = "leads"
    id: ArticleId
    leader: ArticleId
    story_id: ArticleId


class FingerprintsRecord(RootModel[tuple[Fingerprints, ...]]):
    """A record on `articles-fingerprints`: what belongs to one partition, of as many articles as came together."""


class LinkRecord(RootModel[tuple[Overlap | Follow | Leads, ...]]):
    """A record on `articles-overlaps`: what belongs to one partition, in order; kinds differ in their fields."""


class SeenParagraph(Inner):
    """A paragraph of which at least half was in another article first."""

    index: int
    id: ArticleId = Field(description="The article that had it first.")
    share: float = Field(gt=0, le=1, description="Share of the paragraph's fingerprints that it had first.")


class Story(Inner):
    """Which story an article belongs to, on `articles-stories`; the last record of an article counts."""

    id: ArticleId
    story_id: ArticleId = Field(description="The id of the story's first article: its own where it is no copy.")
    duplicate_of: ArticleId | None = Field(
        default=None, description="The first of the articles that share its text, unless that is itself."
    )
    originality: float = Field(
        default=1.0, ge=0, le=1, description="Share of its fingerprints that no other article had first."
    )
    paragraphs: tuple[SeenParagraph, ...] = ()
