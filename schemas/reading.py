"""Reading a record's bytes: either the record, or the reason why not with the field named."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES, Topic

SHOWN_PROBLEMS = 10
"""At most so many problems of one record are named; a hostile one could hold thousands."""


SHOWN_NAME = 200
"""Characters of a field's name in an error; a hostile one could have 800,000."""


class Refused(ValueError):
    """A record that cannot be taken. `reason` is one short word for counting, the text says what to do."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error

    def __reduce__(self) -> tuple[type[Refused], tuple[str, str]]:
        """Both parts survive the way back from a child process."""
        return (Refused, (self.reason, self.error))


def read_record(topic: Topic, value: bytes | None) -> Any:
    """The record in `value`, of the type that `topic` declares.

    Raises `Refused` with the reason `empty`, `too_large`, `invalid_json` or `invalid_record`.
    """
    if topic.record is None:
        raise ValueError(f"{topic.name} holds bytes as they came, not records")
    if not value:
        raise Refused("empty", "the record has no value")
    if topic == ARTICLES_RAW and len(value) > MAX_RAW_BYTES:
        raise Refused("too_large", f"the record has {len(value)} bytes, more than the {MAX_RAW_BYTES} allowed")
    try:
        record = topic.record.model_validate_json(value)
    except ValidationError as error:
        raise refusal(error) from None
    if topic == ARTICLES_RAW:
        # pydantic keeps the last of two equal keys; which of them the producer meant, nobody can tell.
        json.loads(value, object_pairs_hook=no_key_twice)
    return record


def write_record(record: BaseModel) -> bytes:
    """The record as UTF-8 JSON, without the fields that hold their default."""
    return record.model_dump_json(exclude_defaults=True).encode()


def refusal(error: ValidationError) -> Refused:
    """What is wrong with a record, each problem with its field."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        return Refused("invalid_json", problems[0]["msg"])
    lines = [_problem(".".join(str(part) for part in each["loc"]), each["msg"]) for each in problems]
    if len(lines) > SHOWN_PROBLEMS:
        lines[SHOWN_PROBLEMS:] = [f"and {len(lines) - SHOWN_PROBLEMS} more problems"]
    return Refused("invalid_record", "; ".join(lines))


def _problem(field: str, message: str) -> str:
    if message == "Extra inputs are not permitted":
        message = "unknown field: leave it out, or put it into `extra` as a text"
    text = message.removeprefix("Value error, ")
    return f"{field[:SHOWN_NAME]}: {text}" if field else text


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For `json.loads`: the object of these pairs; raises `Refused` where a key is given twice."""
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise Refused("invalid_record", f"{key[:100]}: the field is given twice")
        seen[key] = value
    return seen
