"""A record without a value at a stage that passes tombstones on, and at one that does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from prometheus_client import REGISTRY

from schemas.dead_letter import read_dead_letter
from schemas.reading import read_record
from schemas.retraction import Retraction
from schemas.topics import ARTICLES_CLEAN, ARTICLES_DLQ, ARTICLES_RAW, ARTICLES_RETRACTED
from services.cleaner.app import STAGE as CLEANER
from services.deduper.app import STAGE as DEDUPER
from services.runtime.remembering import Record
from services.runtime.settings import StageSettings
from services.runtime.stage import StageWorker, _waves
from services.runtime.step import Failure, Result, Stage, Step, Task, Verdict
from services.tagger.app import STAGE as TAGGER

NAME = b"8f3a5c0d9b7e4f21a6d2c4e8b1f09357"
SECONDS = 1_767_225_600.25
"""2026-01-01T00:00:00.250Z"""


def load_nothing(_: StageSettings) -> Step:
    raise AssertionError("no child process is started here")


STAGE = Stage("cleaner", ARTICLES_RAW, ARTICLES_CLEAN, load_nothing, tombstones=ARTICLES_RETRACTED)


def record(value: bytes | None = None, key: bytes | None = NAME, **other: Any) -> Record:
    return replace(Record("articles-raw", 2, 7, key, value, SECONDS, []), **other)


class Driven:
    """A worker without Kafka and without child processes: what it delivers, and what it gives to the children."""

    def __init__(self, stage: Stage = STAGE, refuses: str = "") -> None:
        self.worker = StageWorker(stage, StageSettings(kafka_bootstrap_servers="127.0.0.1:1"))
        self.sent: list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]] = []
        self.tasks: list[list[Task]] = []

        async def deliver(
            topic: Any, key: bytes, value: bytes, headers: list[tuple[str, bytes]], partition: int | None = None
        ) -> None:
            name = topic.get_topic_name()
            if name == refuses:
                raise MessageSizeTooLargeError
            assert partition is None
            self.sent.append((name, key, value, headers))

        async def run(tasks: list[Task]) -> list[Verdict]:
            self.tasks.append(tasks)
            return [Result(b"k", b"v") if task[0] else Failure("empty", "none") for task in tasks]

        self.worker._deliver = deliver  # type: ignore[method-assign]
        self.worker.children.run = run  # type: ignore[method-assign, assignment]

    def take(self, *records: Record) -> None:
        asyncio.run(self.worker._chunk(records))

    @property
    def topics(self) -> list[str]:
        return [topic for topic, *_ in self.sent]

    @property
    def errors(self) -> list[tuple[str, str]]:
        letters = [read_dead_letter(headers) for topic, _, _, headers in self.sent if topic == ARTICLES_DLQ.name]
        return [(each.reason, each.error) for each in letters]


def test_a_null_value_under_an_article_id_takes_the_article_out() -> None:
    driven = Driven()
    before = REGISTRY.get_sample_value("newsflow_tombstones_total", {"stage": "cleaner"}) or 0
    driven.take(record())
    ((topic, key, value, headers),) = driven.sent
    assert (topic, key, headers) == (ARTICLES_RETRACTED.name, NAME, [])
    time = datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)
    assert read_record(ARTICLES_RETRACTED, value) == Retraction(id=NAME.decode(), time=time, by="producer")
    assert driven.tasks == [], "a child process would be asked for nothing"
    assert REGISTRY.get_sample_value("newsflow_tombstones_total", {"stage": "cleaner"}) == before + 1


@pytest.mark.parametrize(
    "headers",
    [
        [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("content-type", b"application/json")],
        [("ce_specversion", b"0.3")],
        [("content-type", b"application/cloudevents+json")],
    ],
)
def test_so_it_does_as_a_cloud_event(headers: list[tuple[str, bytes]]) -> None:
    driven = Driven()
    driven.take(record(headers=headers))
    assert driven.topics == [ARTICLES_RETRACTED.name]


@pytest.mark.parametrize(
    "key", [None, b"", b"7", NAME[:-1], NAME + b"0", NAME.upper(), NAME + b"\n", b"\xff" * 32, b"g" * 32]
)
def test_a_null_value_under_another_key_is_a_dead_letter_that_says_what_a_tombstone_is(key: bytes | None) -> None:
    driven = Driven()
    driven.take(record(key=key))
    ((reason, error),) = driven.errors
    assert (reason, driven.topics, driven.tasks) == ("empty", [ARTICLES_DLQ.name], [])
    assert "article id as its key" in error
    assert dict(driven.sent[0][3])["x-dlq-null"] == b"1"


def test_an_empty_value_is_no_tombstone() -> None:
    driven = Driven()
    driven.take(record(b""))
    assert [reason for reason, _ in driven.errors] == ["empty"]
    assert driven.tasks == [[(b"", SECONDS)]]


def test_neighbours_of_a_tombstone_are_worked_on() -> None:
    driven = Driven()
    driven.take(record(b"{}", b"a"), record(), record(b"[]", b"b"), record(key=b"c"))
    assert driven.tasks == [[(b"{}", SECONDS), (b"[]", SECONDS)]]
    assert sorted(driven.topics) == sorted(
        [ARTICLES_CLEAN.name, ARTICLES_RETRACTED.name, ARTICLES_CLEAN.name, ARTICLES_DLQ.name]
    )


def test_a_tombstone_and_an_article_of_its_key_keep_their_order() -> None:
    records = [record(b"{}"), record(), record(b"[]")]
    assert _waves(records) == [[each] for each in records]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e18])
def test_a_time_that_is_none_costs_one_record(seconds: float) -> None:
    driven = Driven()
    driven.take(record(seconds=seconds))
    assert [reason for reason, _ in driven.errors] == ["failed"]


def test_a_retraction_that_kafka_refuses_is_a_dead_letter() -> None:
    driven = Driven(refuses=ARTICLES_RETRACTED.name)
    driven.take(record())
    ((reason, error),) = driven.errors
    assert reason == "result_refused"
    assert "MessageSizeTooLarge" in error


def test_a_stage_that_passes_none_on_gives_it_to_its_step() -> None:
    driven = Driven(Stage("cleaner", ARTICLES_RAW, ARTICLES_CLEAN, load_nothing))
    driven.take(record())
    assert driven.tasks == [[(None, SECONDS)]]
    assert driven.topics == [ARTICLES_DLQ.name]


def test_only_the_cleaner_passes_tombstones_on() -> None:
    assert CLEANER.tombstones is ARTICLES_RETRACTED
    assert [each.tombstones for each in (DEDUPER, TAGGER)] == [None, None]
