"""The record that says how far a producer is with a part of a source, and how that part does."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from schemas.article import Inner


class Day(Inner):
    """A UTC day of a part: its articles, and the longest time without one that ended on it, in seconds."""

    articles: int = 0
    longest_gap_seconds: float = 0.0


class SourceState(Inner):
    """A part of a source (a feed, a file) on `source-states`; of each key the last one counts."""

    source: str
    part: str = Field(description="The feed's URL, the file's path; empty where the source is all one.")
    checkpoint: str | None = Field(default=None, description="Where the source goes on; its own form.")
    looked: datetime = Field(description="When the producer last looked.")
    follow_seconds: float | None = Field(
        default=None,
        description="How often a following producer says that it lives; none where it does not follow.",
    )
    last_article: datetime | None = Field(default=None, description="When the last article was confirmed.")
    sent: int = 0
    skipped: dict[str, int] = Field(default={}, description="Passed over on purpose, by reason.")
    refused: dict[str, int] = Field(default={}, description="What nobody can take, by reason.")
    days: dict[date, Day] = Field(default={}, description="The last days with an article.")
    error: str | None = Field(default=None, description="Why it cannot be read at present.")
    error_since: datetime | None = None
    errors: int = Field(default=0, description="Looks in a row that failed.")

    @property
    def key(self) -> str:
        """The record's key."""
        return f"{self.source} {self.part}"
