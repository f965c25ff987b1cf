from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dead_letter import (
    MAX_ERROR_CHARACTERS,
    PREFIX,
    dead_letter_headers,
    dead_letter_id,
    read_dead_letter,
)

Headers = list[tuple[str, bytes]]


def failed(own: Headers | None = None, **other: Any) -> Headers:
    said: dict[str, Any] = {
        "topic": "articles-raw",
        "partition": 3,
        "offset": 17,
        "stage": "cleaner",
        "reason": "invalid_record",
        "error": "publisher: Field required",
        "null": False,
    }
    return dead_letter_headers(headers=own or [], **(said | other))


def test_headers_say_what_was_said() -> None:
    letter = read_dead_letter(failed())
    assert letter.id == dead_letter_id("articles-raw", 3, 17) == "articles-raw/3/17"
    assert (letter.topic, letter.partition, letter.offset) == ("articles-raw", 3, 17)
    assert (letter.stage, letter.reason) == ("cleaner", "invalid_record")
    assert letter.error == "publisher: Field required"


def test_time_is_now_in_utc() -> None:
    time = read_dead_letter(failed()).time
    assert time.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)


def test_first_failure_is_attempt_one_and_each_replay_counts_up() -> None:
    headers: Headers = []
    for attempt in (1, 2, 3):
        headers = failed(headers)
        assert read_dead_letter(headers).attempt == attempt


def test_own_headers_are_kept_as_they_came() -> None:
    own = [("trace", b"\xff\x00"), ("trace", b"second"), ("ce_id", b"0417")]
    assert [header for header in failed(own) if not header[0].startswith(PREFIX)] == own


def test_a_second_failure_replaces_what_the_first_one_said() -> None:
    first = failed([("trace", b"abc")], null=True)
    second = failed(first, stage="tagger", offset=40)
    assert len({name for name, _ in second}) == len(second)
    assert read_dead_letter(second).stage == "tagger"
    assert read_dead_letter(second).id == "articles-raw/3/40"
    assert f"{PREFIX}null" not in dict(second)


def test_no_value_is_told_from_an_empty_one() -> None:
    assert dict(failed(null=True))[f"{PREFIX}null"] == b"1"
    assert f"{PREFIX}null" not in dict(failed(null=False))


def test_error_has_a_limit() -> None:
    assert len(read_dead_letter(failed(error="x" * 1_000_000)).error) == MAX_ERROR_CHARACTERS


@settings(deadline=None)
@given(st.text(), st.integers(min_value=0), st.integers(min_value=0))
def test_any_error_and_place_go_there_and_back(error: str, partition: int, offset: int) -> None:
    letter = read_dead_letter(failed(error=error, partition=partition, offset=offset))
    assert letter.error == error[:MAX_ERROR_CHARACTERS]
    assert (letter.partition, letter.offset) == (partition, offset)


def test_error_with_half_of_a_surrogate_pair_can_be_sent() -> None:
    assert read_dead_letter(failed(error="kite \ud83e")).error == "kite ?"


@pytest.mark.parametrize("missing", ["topic", "partition", "offset", "stage", "reason", "error", "time", "attempt"])
def test_what_lacks_a_header_is_no_dead_letter(missing: str) -> None:
    headers = [(name, value) for name, value in failed() if name != f"{PREFIX}{missing}"]
    with pytest.raises(KeyError):
        read_dead_letter(headers)


@pytest.mark.parametrize("wrong", ["partition", "offset", "time", "attempt"])
def test_what_has_a_wrong_header_is_no_dead_letter(wrong: str) -> None:
    headers = dict(failed()) | {f"{PREFIX}{wrong}": b"soon"}
    with pytest.raises(ValueError, match="soon"):
        read_dead_letter(headers.items())


@pytest.mark.parametrize("value", [b"", b"soon", b"\xff", b"9" * 5_000])
def test_a_foreign_attempt_header_costs_no_dead_letter(value: bytes) -> None:
    # Anyone may write any header to the open topic; whoever raises here has nowhere to put the record.
    assert read_dead_letter(failed([(f"{PREFIX}attempt", value)])).attempt >= 1
