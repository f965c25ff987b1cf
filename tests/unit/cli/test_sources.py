from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from schemas.source import Day, SourceState
from services.cli import sources
from services.runtime import confirmed
from tests.unit.cli.conftest import Newsflow

Remember = Callable[..., None]


class Producer:
    """Stands for `KafkaProducer`: what is sent to the states' topic."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None]] = []
        self.fails = False
        self.closed = False

    def connect(self, **_: Any) -> Producer:
        return self

    def send(self, topic: str, key: bytes, value: bytes | None) -> Producer:
        self.sent.append((topic, key, value))
        return self

    def get(self, timeout: float) -> None:
        if self.fails:
            raise KafkaTimeoutError("no answer")

    def close(self, timeout: float) -> None:
        self.closed = True


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    producer = Producer()
    monkeypatch.setattr(confirmed, "KafkaProducer", producer.connect)
    return producer


@pytest.fixture
def remember(monkeypatch: pytest.MonkeyPatch) -> Remember:
    """Say which states there are."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("NEWSFLOW_PREFIX", "night-")

    def given(*states: SourceState) -> None:
        monkeypatch.setattr(sources, "read_states", lambda _: list(states))

    given()
    monkeypatch.setattr(sources, "datetime", Clock)
    return given


NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


class Clock(datetime):
    """It is always noon."""

    @classmethod
    def now(cls, tz: Any = None) -> Clock:
        return cls(2026, 3, 4, 12, tzinfo=tz)


def state(part: str = "north", **fields: Any) -> SourceState:
    """A part that is followed, looked at just now, with ten articles of which the last one is a minute old."""
    given: dict[str, Any] = {
        "source": "wire",
        "part": part,
        "looked": NOW,
        "follow_seconds": 60.0,
        "last_article": NOW - timedelta(minutes=1),
        "sent": 10,
        "days": {NOW.date(): Day(articles=10, longest_gap_seconds=600.0)},
    }
    return SourceState(**(given | fields))


def quiet(**fields: Any) -> SourceState:
    """Its last article is a day old, and it never was still for longer than ten minutes."""
    yesterday = NOW - timedelta(days=1)
    days = {yesterday.date(): Day(articles=10, longest_gap_seconds=600.0)}
    given: dict[str, Any] = {"last_article": yesterday, "days": days}
    return state(**(given | fields))


# ---------------------------------------------------------------- what is shown


def test_the_shape_that_scripts_rely_on(newsflow: Newsflow, remember: Remember) -> None:
    week = {(NOW - timedelta(days=back)).date(): Day(articles=4) for back in range(1, 8)}
    remember(
        state(
            days=week | {NOW.date(): Day(articles=3, longest_gap_seconds=600.0)},
            skipped={"seen": 2},
            refused={"empty": 1},
            checkpoint="7",
        ),
        SourceState(source="files", part="/in", looked=NOW),
    )
    said = newsflow("sources", "--json")
    assert said.status == 0
    first, second = map(json.loads, said.out.splitlines())
    assert first == {
        "source": "wire",
        "part": "north",
        "ok": True,
        "reason": None,
        "last_article": (NOW - timedelta(minutes=1)).isoformat(),
        "looked": NOW.isoformat(),
        "today": 3,
        "usual_per_day": 4,
        "sent": 10,
        "skipped": {"seen": 2},
        "refused": {"empty": 1},
        "errors": 0,
        "error_since": None,
        "follows": True,
    }
    assert (second["last_article"], second["usual_per_day"], second["today"]) == (None, None, 0)
    assert (second["ok"], second["follows"]) == (True, False)


def test_people_read_the_same(newsflow: Newsflow, remember: Remember) -> None:
    remember(state(refused={"empty": 1, "too_large": 2}), state("[red]south[/red]", error="no answer", errors=3))
    said = newsflow("sources")
    assert said.status == 1
    north, south = (next(line for line in said.out.splitlines() if part in line) for part in ("north", "south"))
    assert [cell.strip() for cell in north.split("│")[1:-1]] == [
        "wire",
        "north",
        f"{NOW - timedelta(minutes=1):%Y-%m-%d %H:%M}",
        "10",
        "–",
        "10",
        "3",
        "well",
    ]
    assert "[red]south[/red]" in south
    assert "cannot be read: no answer" in south


def test_without_a_source_that_was_read_the_next_step_is_named(newsflow: Newsflow, remember: Remember) -> None:
    said = newsflow("sources")
    assert said.status == 0
    assert "newsflow produce --list" in said.out
    assert newsflow("sources", "--json").out == ""


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (state(), None),
        (state(error="no answer", error_since=NOW, errors=2), "cannot be read: no answer"),
        # Seen every minute: one sign of life may be late, and another missing.
        (state(looked=NOW - timedelta(seconds=180)), None),
        (state(looked=NOW - timedelta(seconds=181)), "its producer has not been seen since"),
        (state(looked=NOW - timedelta(days=9), follow_seconds=None), None),
        (quiet(), "silent for longer than it ever is"),
        (quiet(follow_seconds=None), None),
        (quiet(days={(NOW - timedelta(days=1)).date(): Day(articles=9, longest_gap_seconds=600.0)}), None),
        (quiet(days={(NOW - timedelta(days=1)).date(): Day(articles=10, longest_gap_seconds=80_000.0)}), None),
        # An error says more than the silence that comes of it; and who has no producer is silent, of course.
        (quiet(error="no answer"), "cannot be read: no answer"),
        (quiet(looked=NOW - timedelta(days=1)), "its producer has not been seen since"),
    ],
)
def test_a_part_that_is_not_well_says_why_and_is_status_1(
    newsflow: Newsflow, remember: Remember, found: SourceState, reason: str | None
) -> None:
    remember(state("other"), found)
    said = newsflow("sources", "--json")
    shown = json.loads(said.out.splitlines()[1])
    assert said.status == (0 if reason is None else 1)
    assert shown["ok"] is (reason is None)
    if reason is not None:
        assert shown["reason"].startswith(reason)


def test_when_a_part_is_silent_is_a_setting(
    newsflow: Newsflow, remember: Remember, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(quiet())
    monkeypatch.setenv("PRODUCER_SILENT_FACTOR", "200")
    assert newsflow("sources").status == 0
    monkeypatch.setenv("PRODUCER_SILENT_FACTOR", "2")
    assert newsflow("sources").status == 1
    monkeypatch.setenv("PRODUCER_SILENT_LEAST_SECONDS", "200000")
    assert newsflow("sources").status == 0


@pytest.mark.parametrize(
    "error",
    [KafkaConnectionError("refused"), LookupError("topic source-states does not exist"), TimeoutError("silent")],
)
def test_nobody_who_answers_is_status_1(
    newsflow: Newsflow, remember: Remember, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: object) -> list[SourceState]:
        raise error

    monkeypatch.setattr(sources, "read_states", fail)
    said = newsflow("sources", "--json")
    assert (said.status, said.out) == (1, "")
    assert str(error) in said.told


# ---------------------------------------------------------------- forgetting


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("wire north", b"wire north"),
        ("wire https://p.example/a b", b"wire https://p.example/a b"),
        # A source without parts has a key that ends in a space.
        ("wire", b"wire "),
        ("wire ", b"wire "),
    ],
)
def test_a_part_is_forgotten_by_its_key(
    newsflow: Newsflow, remember: Remember, producer: Producer, given: str, key: bytes
) -> None:
    remember(state(), state("https://p.example/a b"), state(""))
    said = newsflow("sources", "--forget", given)
    assert (said.status, said.out) == (0, "")
    assert producer.sent == [("night-source-states", key, None)]
    assert producer.closed


@pytest.mark.parametrize("given", ["wire south", "north", "", "wire nort"])
def test_what_is_not_known_cannot_be_forgotten(
    newsflow: Newsflow, remember: Remember, producer: Producer, given: str
) -> None:
    remember(state())
    said = newsflow("sources", "--forget", given)
    assert said.status == 2
    assert f"nothing is known of {given!r}" in said.told
    assert producer.sent == []


def test_what_kafka_did_not_take_is_not_forgotten(
    newsflow: Newsflow, remember: Remember, producer: Producer
) -> None:
    remember(state())
    producer.fails = True
    said = newsflow("sources", "--forget", "wire north")
    assert said.status == 1
    assert "no answer" in said.told
    assert producer.closed
