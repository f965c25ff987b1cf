"""A dead letter: a record that failed, as its original bytes, with where and why in the headers.

The id is the place that the record failed at, `topic/partition/offset`: a record that is redelivered and fails
again is the same dead letter. A marker in the queue closes it: it was published again, or given up.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.article import in_utc
from schemas.cloudevents import packing_headers

PREFIX = "x-dlq-"
"""Of every header of ours; what the record itself carried is kept beside them."""

REPLAYED = f"{PREFIX}replayed"
"""Header of a marker in the queue: the dead letter of this id was published again."""

PURGED = f"{PREFIX}purged"
"""Header of a marker in the queue: the dead letter of this id was given up."""

ATTEMPT = f"{PREFIX}attempt"
TIMESTAMP = f"{PREFIX}timestamp"
FIRST_TIME = f"{PREFIX}first-time"
HEADERS_CUT = f"{PREFIX}headers-cut"
CARRIED = (ATTEMPT, TIMESTAMP, FIRST_TIME, HEADERS_CUT)
"""What a record that is published again keeps of its dead letter."""

NO_TIMESTAMP = -1
"""Kafka's own word for a record without a time."""

MAX_ERROR_CHARACTERS = 2_000
"""An error text is cut here: it may quote the record, and a header is no place for a book."""

MAX_OWN_HEADER_BYTES = 32 * 1024
"""Of the failed record's own headers in its dead letter. The queue has 64 KiB of room beside the largest value, and
what we say of a failure takes up to 9 KiB of it."""

HEADER_OVERHEAD_BYTES = 10
"""Of each header beside its name and value: two lengths, of 5 bytes at the most."""

MAX_NAME_CHARACTERS = 512
"""Of a publisher or a headline that is read from a value: what is longer is cut."""

Word = Annotated[str, Field(max_length=249)]
"""The longest name that Kafka takes for a topic; no stage or reason of ours comes near it."""


class DeadLetter(BaseModel):
    """What the headers of a dead letter say. `time` is when it failed, `attempt` counts from 1.

    `first_time` is when it failed first; `timestamp` is when Kafka first stored the record, in milliseconds, and -1
    in dead letters of older versions.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    topic: Word
    partition: int = Field(ge=0, lt=2**31)
    offset: int = Field(ge=0, lt=2**63)
    stage: Word
    reason: Word
    error: str
    time: datetime
    attempt: int = Field(ge=0, lt=2**31)
    first_time: datetime
    timestamp: int = NO_TIMESTAMP


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
    timestamp: int = NO_TIMESTAMP,
) -> list[tuple[str, bytes]]:
    """The headers for a dead letter, some 40 KiB at the most.

    `headers` are the failed record's own, `null` says it had no value, `timestamp` is its Kafka time in
    milliseconds. A record that failed before keeps its first times. Of its other headers those that say how its
    article is packed come first; how many had no room is counted.
    """
    own = list(headers)
    carried = {name: value for name, value in own if name in CARRIED}
    now = datetime.now(UTC)
    kept, cut = _within(own)
    cut += _count(carried.get(HEADERS_CUT, b""))
    first = original_timestamp_ms(own, timestamp)
    ours = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "stage": stage,
        "reason": reason,
        "error": error[:MAX_ERROR_CHARACTERS],
        "time": now.isoformat(timespec="milliseconds"),
        "attempt": str(_count(carried.get(ATTEMPT, b"")) + 1),
        "first-time": _first_time(carried, now).isoformat(timespec="milliseconds"),
    }
    ours |= {"timestamp": str(first)} if first >= 0 else {}
    ours |= {"headers-cut": str(cut)} if cut else {}
    ours |= {"null": "1"} if null else {}
    return kept + [(f"{PREFIX}{name}", value.encode("utf-8", "replace")) for name, value in ours.items()]


def replay_headers(headers: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The headers of a record that is published again: its own, its attempts so far, and its first times."""
    return [(name, value) for name, value in headers if not name.startswith(PREFIX) or name in CARRIED]


def original_timestamp_ms(headers: Iterable[tuple[str, bytes | None]], record_timestamp_ms: int) -> int:
    """When Kafka first stored a record, in milliseconds: for one that was published again its first time.

    Anyone may write any header: what is no time, or later than the record's own, is passed over.
    """
    stated = next((value or b"" for name, value in headers if name == TIMESTAMP), b"")
    if stated.isdigit() and len(stated) <= 15 and 0 < int(stated) <= record_timestamp_ms:
        return int(stated)
    return record_timestamp_ms


def closed_id(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The id of the dead letter that a record of the queue closes; None where it is no marker."""
    for name, value in headers:
        if name in (REPLAYED, PURGED):
            return (value or b"").decode("utf-8", "replace")
    return None


def _within(headers: Iterable[tuple[str, bytes]]) -> tuple[list[tuple[str, bytes]], int]:
    """Those of a record's own headers that have room, in their order, and how many have none."""
    own = [(name, value) for name, value in headers if not name.startswith(PREFIX)]
    room = MAX_OWN_HEADER_BYTES
    kept: set[int] = set()
    # Without those that say how its article is packed it could not be read when it is published again.
    for index in sorted(range(len(own)), key=lambda each: not packing_headers([own[each]])):
        name, value = own[index]
        size = len(name.encode("utf-8", "replace")) + len(value) + HEADER_OVERHEAD_BYTES
        if size <= room:
            kept.add(index)
            room -= size
    return [own[index] for index in sorted(kept)], len(own) - len(kept)


def _count(value: bytes) -> int:
    """A header may come from anyone: what is no small number counts as none."""
    return int(value) if value.isdigit() and len(value) < 10 else 0


def _first_time(carried: Mapping[str, bytes], now: datetime) -> datetime:
    try:
        return min(_time(carried[FIRST_TIME].decode("utf-8", "replace")), now)
    except (KeyError, ValueError):
        return now


def _time(text: str) -> datetime:
    """Raises `ValueError` for what is no time."""
    try:
        return in_utc(datetime.fromisoformat(text))
    except OverflowError as error:
        raise ValueError(f"no time: {text}") from error


def read_dead_letter(headers: Iterable[tuple[str, bytes]]) -> DeadLetter:
    """What the headers say; raises `KeyError` or `ValueError` for a record that is no dead letter of ours."""
    ours: Mapping[str, str] = {
        name.removeprefix(PREFIX): value.decode("utf-8", "replace")
        for name, value in headers
        if name.startswith(PREFIX)
    }
    partition, offset = int(ours["partition"]), int(ours["offset"])
    time = _time(ours["time"])
    timestamp = ours.get("timestamp", "")
    return DeadLetter(
        id=dead_letter_id(ours["topic"], partition, offset),
        topic=ours["topic"],
        partition=partition,
        offset=offset,
        stage=ours["stage"],
        reason=ours["reason"],
        error=ours["error"][:MAX_ERROR_CHARACTERS],
        time=time,
        attempt=int(ours["attempt"]),
        first_time=_time(ours["first-time"]) if "first-time" in ours else time,
        timestamp=int(timestamp) if timestamp.isdecimal() and len(timestamp) <= 15 else NO_TIMESTAMP,
    )


def named_in(value: bytes | None) -> tuple[str | None, str | None]:
    """Publisher and headline as far as the value of a dead letter tells them; never raises.

    The value is an article as any stage reads it, plain or in the envelope of a CloudEvent, or whatever else.
    """
    found = _parsed(value)
    if "publisher" not in found:
        inner = found.get("data")
        found = inner if isinstance(inner, dict) else _parsed(_decoded(found.get("data_base64")))
    return _name(found.get("publisher")), _name(found.get("headline"))


def _parsed(value: bytes | None) -> dict[str, Any]:
    try:
        # A value of 10,000 arrays in each other is a RecursionError here, and no more than that.
        parsed = json.loads(value or b"{}")
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _decoded(text: object) -> bytes | None:
    try:
        return base64.b64decode(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _name(text: object) -> str | None:
    if not isinstance(text, str) or not text.strip():
        return None
    # Half of a surrogate pair can be neither printed nor indexed.
    return text.strip()[:MAX_NAME_CHARACTERS].encode("utf-8", "replace").decode()
