"""A stand-in for `KafkaProducer` that keeps what a producer sends to its two topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from kafka.errors import KafkaTimeoutError

from schemas.article import RawArticle
from schemas.reading import read_record
from schemas.source import SourceState
from schemas.topics import ARTICLES_RAW, SOURCE_STATES
from services.producer import app
from services.runtime import confirmed


class Future:
    """A send under way; the broker says when it is over."""

    def __init__(self, broker: Broker, body: str | None, fails: bool) -> None:
        self.broker, self.body, self.fails = broker, body, fails

    @property
    def is_done(self) -> bool:
        return self.broker.answers

    def get(self, timeout: float) -> None:
        assert timeout > 0
        self.broker.in_flight -= 1
        self.broker.asked += 1
        if self.fails:
            raise KafkaTimeoutError
        if self.body is not None:
            self.broker.confirmed.append(self.body)


class Broker:
    """Stands for `KafkaProducer`, and for the two topics that it writes to."""

    def __init__(self) -> None:
        self.articles: list[RawArticle] = []
        self.confirmed: list[str] = []
        self.states: list[SourceState] = []
        self.keys: list[tuple[str, bytes]] = []
        """Topic and key of each record."""
        self.seen: list[tuple[SourceState, int]] = []
        """Each state written, and how many articles were confirmed by then."""
        self.answers = True
        """Whether what was sent is over when it is looked at; asked to wait for, it always is."""
        self.lost: set[str] = set()
        """Bodies that are never confirmed."""
        self.away = 0
        """Sends of articles that still fail."""
        self.unconfirmed: dict[str, int] = {}
        """Body -> how many of its sends are never confirmed."""
        self.unsendable: dict[str, int] = {}
        """Body -> how many of its sends raise at once."""
        self.tries: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = self.asked = 0
        """Sends whose end nobody has asked for, now and at the most; and those for which somebody has."""
        self.options: dict[str, Any] = {}
        self.state_failures = 0
        """Writes of states that still fail."""
        self.closed = False

    def connect(self, **options: Any) -> Broker:
        self.options = options
        return self

    def send(self, topic: str, key: bytes, value: bytes) -> Future:
        future = self._send(topic, key, value)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return future

    def _send(self, topic: str, key: bytes, value: bytes) -> Future:
        if topic.endswith(SOURCE_STATES.name):
            state = read_record(SOURCE_STATES, value)
            if self.state_failures:
                self.state_failures -= 1
                return Future(self, None, fails=True)
            self.keys.append((topic, key))
            self.states.append(state)
            self.seen.append((state, len(self.confirmed)))
            return Future(self, None, fails=False)
        article = read_record(ARTICLES_RAW, value)
        body = article.body or ""
        self.tries[body] += 1
        if self.tries[body] <= self.unsendable.get(body, 0):
            raise KafkaTimeoutError
        fails = self.away > 0 or body in self.lost or self.tries[body] <= self.unconfirmed.get(body, 0)
        self.away = max(0, self.away - 1)
        if not fails:
            self.keys.append((topic, key))
            self.articles.append(article)
        return Future(self, article.body, fails)

    def flush(self) -> None:
        """All has been sent at once."""

    def close(self, timeout: float) -> None:
        self.closed = True

    def abandon(self) -> None:
        """What is given up in the end is closed by the one that comes after it."""

    @property
    def bodies(self) -> list[str | None]:
        return [article.body for article in self.articles]

    @property
    def last(self) -> dict[str, SourceState]:
        """What the compacted topic has: the last state of each part."""
        return {state.part: state for state in self.states}

    @property
    def checkpoints(self) -> dict[str, str | None]:
        return {part: state.checkpoint for part, state in self.last.items()}


@contextmanager
def connected() -> Iterator[Broker]:
    broker = Broker()
    with (
        patch.object(confirmed, "KafkaProducer", broker.connect),
        patch.object(app, "abandon", Broker.abandon),
    ):
        yield broker


@pytest.fixture
def broker() -> Iterator[Broker]:
    with connected() as broker:
        yield broker
