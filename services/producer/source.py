"""The source protocol: what a plug-in implements, and what it is given.

A source is a pydantic model: its docstring is its help, its fields are its settings (each an option of `newsflow
produce NAME`, or the variable SOURCE_NAME_FIELD), and its method `articles` yields what it finds. An installed
distribution offers it under the entry-point group `newsflow.sources`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Protocol, TypeVar, runtime_checkable

from pydantic import Field

from schemas.article import RawArticle
from services.producer.core import Found, Item, Reached, Skipped, Trouble, Unusable, to_item

__all__ = [
    "ArticleSource",
    "Found",
    "Item",
    "Positional",
    "RawArticle",
    "Reached",
    "Run",
    "Skipped",
    "Trouble",
    "Unusable",
    "to_item",
]

GROUP = "newsflow.sources"
"""The entry-point group of the sources."""

_Value = TypeVar("_Value")

IS_POSITIONAL = {"positional": True}

Positional = Annotated[_Value, Field(json_schema_extra=dict(IS_POSITIONAL))]
"""A field that is given on the command line without its name: `Positional[list[str]] = Field(description=…)`."""


@dataclass
class Run:
    """What a source is given when it runs.

    `checkpoints` are the last ones of its parts; `follow` asks for going on until it is stopped, with `every`
    seconds between two looks; `since` and `until` may save it work: what lies outside them is left out anyway.
    """

    checkpoints: Mapping[str, str] = field(default_factory=dict)
    follow: bool = False
    every: float = 300.0
    since: datetime | None = None
    until: datetime | None = None
    idle: Callable[[], None] = lambda: None
    """Called while the source waits: what is under way is confirmed then."""
    stopping: Callable[[], bool] = lambda: False
    """Whether the source is asked to end; what is not given until then is found by the next run."""
    done: float = 0
    total: float | None = None

    def checkpoint(self, part: str = "") -> str | None:
        """Where a part goes on; None where it begins."""
        return self.checkpoints.get(part)

    def progress(self, done: float, total: float | None = None) -> None:
        """Tell how far it is, in any unit (bytes, lines, articles), where it knows."""
        self.done, self.total = done, total

    def wait(self, seconds: float) -> bool:
        """Wait, in a way that the run goes on around it; returns False when the source is to end."""
        end = time.monotonic() + seconds
        while True:
            self.idle()
            left = end - time.monotonic()
            if left <= 0 or self.stopping():
                return not self.stopping()
            time.sleep(min(left, WAIT_STEP_SECONDS))

    def wanted(self, when: datetime) -> bool:
        """Whether a time lies within `since` and `until`."""
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        return (self.since is None or when >= self.since) and (self.until is None or when < self.until)


WAIT_STEP_SECONDS = 0.25
"""How often a waiting source lets the run go on: a stop is heeded within this time."""


@runtime_checkable
class ArticleSource(Protocol):
    """One kind of place where articles come from.

    Beside the method it may have two class attributes: `keeps_state = False`, for a source whose checkpoints and
    health nobody needs (what is sent whole each time), and `follows = True`, for one that follows by itself. Any
    other one is asked for its articles again and again when a run follows.
    """

    def articles(self, run: Run) -> Iterable[RawArticle | Item]:
        """What it finds, in an order in which a checkpoint stands for all before it in its part.

        Never raises for what one article holds: that is `Unusable`; nor for a part that cannot be read at
        present: that is `Trouble`.
        """
        ...
