"""The record that says of a publisher's line that it is boilerplate, or that it is none."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from schemas.article import Inner


class Ruling(StrEnum):
    """What was found or said about a line."""

    LEARNED = "learned"
    """Found by the deduper in enough different articles."""
    DENIED = "denied"
    """A person said: drop it."""
    ALLOWED = "allowed"
    """A person said: never drop it, whatever is learned."""
    WITHDRAWN = "withdrawn"
    """A person took back what they said: what is learned counts again."""


class Line(Inner):
    """A publisher's line on `publisher-boilerplate`: of each key the last one counts, and a person's first."""

    publisher: str
    line: str = Field(pattern=r"^[0-9a-f]{16}$", description="Fingerprint of its words, with all digits alike.")
    text: str = Field(description="As it stood in the article from which it is known.")
    ruling: Ruling
    time: datetime = Field(description="When it was learned, by the articles' own times, or said.")
    articles: tuple[str, ...] = Field(default=(), description="Ids of the articles that taught it, the first ones.")

    @property
    def key(self) -> str:
        """The record's key: what a person says stands beside what was learned."""
        who = "learned" if self.ruling is Ruling.LEARNED else "said"
        return f"{who} {self.publisher} {self.line}"
