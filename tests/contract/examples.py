"""The examples in `schemas/examples/`, as the tests read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import schemas
from schemas.topics import TOPICS, Topic

EXAMPLES = Path(schemas.__file__).parent / "examples"
EXPECTED = "expected.json"

RECORD_TOPICS = [topic for topic in TOPICS if topic.record is not None]


@dataclass(frozen=True)
class Example:
    topic: Topic
    path: Path

    @property
    def value(self) -> bytes:
        return self.path.read_bytes()

    def __str__(self) -> str:
        return f"{self.topic.name}/{self.path.stem}"


@dataclass(frozen=True)
class InvalidExample(Example):
    reason: str
    error_contains: str


def valid_examples() -> list[Example]:
    return [
        Example(topic, path)
        for topic in RECORD_TOPICS
        for path in sorted((EXAMPLES / topic.name / "valid").glob("*.json"))
    ]


def invalid_examples() -> list[InvalidExample]:
    return [
        InvalidExample(topic, EXAMPLES / topic.name / "invalid" / name, **why)
        for topic in RECORD_TOPICS
        for name, why in expected(topic).items()
    ]


def expected(topic: Topic) -> dict[str, dict[str, str]]:
    """File name -> reason and a part of the error, for each invalid example of the topic."""
    file = EXAMPLES / topic.name / "invalid" / EXPECTED
    known: dict[str, dict[str, str]] = json.loads(file.read_bytes()) if file.is_file() else {}
    return known
