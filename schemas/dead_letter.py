"""A dead letter: a record that failed, as its original bytes, with where and why in the headers.

The id is the place that the record failed at, `topic/partition/offset`: a record that is redelivered and fails
again is the same dead letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

PREFIX = "x-dlq-"
"""Of every header of ours; what the record itself carried is kept beside them."""

REPLAYED = f"{PREFIX}replayed"
"""Header of a marker in the queue: the dead letter of this id was published again."""

MAX_ERROR_CHARACTERS = 2_000
"""An error text is cut here: it may quote the record, and a header is no place for a book."""


class DeadLetter(BaseModel):
    """What the headers of a dead letter say. `time` is when it failed, `attempt` counts from 1."""

    model_config = ConfigDict(frozen=True)

    id: str
    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    error: str
    time: datetime
    attempt: int


def dead_letter_id(topic: str, partition: int, offset: int) -> str:
    """The id of the dead letter for the record at this place."""
    return f"{topic}/{partition}/{offset}"


def dead_letter_headers(
    *,
    topic: str,
    partition: int,
    offset: int,
    stage: str,
    reason: str,
    error: str,
    headers: Iterable[tuple[str, bytes]],
    null: bool,
) -> list[tuple[str, bytes]]:
    """The headers for a dead letter; `headers` are the failed record's own, `null` says it had no value."""
    own = list(headers)
    attempt = next((_count(value) for name, value in own if name == f"{PREFIX}attempt"), 0) + 1
    ours = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "stage": stage,
        "reason": reason,
        "error": error[:MAX_ERROR_CHARACTERS],
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "attempt": str(attempt),
    } | ({"null": "1"} if null else {})
    kept = [(name, value) for name, value in own if not name.startswith(PREFIX)]
    return kept + [(f"{PREFIX}{name}", value.encode("utf-8", "replace")) for name, value in ours.items()]


def _count(value: bytes) -> int:
    """A header may come from anyone: what is no small number counts as none."""
    return int(value) if value.isdigit() and len(value) < 10 else 0


def read_dead_letter(headers: Iterable[tuple[str, bytes]]) -> DeadLetter:
    """What the headers say; raises `KeyError` or `ValueError` for a record that is no dead letter of ours."""
    ours: Mapping[str, str] = {
        name.removeprefix(PREFIX): value.decode("utf-8", "replace")
        for name, value in headers
        if name.startswith(PREFIX)
    }
    partition, offset = int(ours["partition"]), int(ours["offset"])
    return DeadLetter(
        id=dead_letter_id(ours["topic"], partition, offset),
        topic=ours["topic"],
        partition=partition,
        offset=offset,
        stage=ours["stage"],
        reason=ours["reason"],
        error=ours["error"],
        time=datetime.fromisoformat(ours["time"]),
        attempt=int(ours["attempt"]),
    )
