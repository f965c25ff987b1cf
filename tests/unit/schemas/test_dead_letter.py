from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import (
    MAX_ERROR_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_OWN_HEADER_BYTES,
    NO_TIMESTAMP,
    PREFIX,
    PURGED,
    REPLAYED,
    TIMESTAMP,
    closed_id,
    dead_letter_headers,
    dead_letter_id,
    named_in,
    original_timestamp_ms,
    read_dead_letter,
    replay_headers,
)
from schemas.topics import ARTICLES_DLQ, MAX_INNER_BYTES

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


@given(st.text(), st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
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


@pytest.mark.parametrize("wrong", ["partition", "offset", "time", "attempt", "first-time"])
def test_what_has_a_wrong_header_is_no_dead_letter(wrong: str) -> None:
    headers = dict(failed()) | {f"{PREFIX}{wrong}": b"soon"}
    with pytest.raises(ValueError, match="soon"):
        read_dead_letter(headers.items())


@pytest.mark.parametrize("value", [b"", b"soon", b"\xff", b"9" * 5_000])
def test_a_foreign_attempt_header_costs_no_dead_letter(value: bytes) -> None:
    # Anyone may write any header to the open topic; whoever raises here has nowhere to put the record.
    assert read_dead_letter(failed([(f"{PREFIX}attempt", value)])).attempt >= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partition", b"9" * 40),
        ("offset", b"-1"),
        ("attempt", b"9" * 4_000),
        ("topic", b"t" * 100_000),
        ("stage", b"s" * 300),
        ("reason", b"r" * 300),
        ("time", b"0001-01-01T00:00:00+23:59"),
    ],
)
def test_what_nobody_of_ours_would_write_is_no_dead_letter(name: str, value: bytes) -> None:
    with pytest.raises(ValueError, match=r"no time|DeadLetter"):
        read_dead_letter((dict(failed()) | {f"{PREFIX}{name}": value}).items())


def test_a_time_without_a_zone_can_be_compared() -> None:
    letter = read_dead_letter((dict(failed()) | {f"{PREFIX}time": b"2026-01-31T08:00:00"}).items())
    assert letter.time == datetime(2026, 1, 31, 8, tzinfo=UTC)


# ---------------------------------------------------------------- the first times


def again(headers: Headers, timestamp: int) -> Headers:
    """It is replayed, and fails again at another place."""
    return failed(replay_headers(headers), timestamp=timestamp, offset=timestamp % 1_000)


def test_the_first_times_stay_through_every_replay() -> None:
    first = failed([("trace", b"1")], timestamp=1_700_000_000_123)
    began = read_dead_letter(first).first_time
    assert began == read_dead_letter(first).time
    headers = first
    for later in (1_700_000_001_000, 1_700_000_002_000):
        headers = again(headers, later)
    letter = read_dead_letter(headers)
    assert (letter.timestamp, letter.first_time, letter.attempt) == (1_700_000_000_123, began, 3)
    assert [value for name, value in headers if name == "trace"] == [b"1"]


def test_a_replayed_record_has_the_time_of_its_first_storing() -> None:
    headers = replay_headers(failed(timestamp=1_700_000_000_123))
    assert original_timestamp_ms(headers, 1_700_000_999_999) == 1_700_000_000_123
    assert original_timestamp_ms([], 5) == 5


@pytest.mark.parametrize(
    "stated", [b"", b"soon", b"-5", b"0", b"1.5", b"\xb2", b"9" * 5_000, b"1700000000001", None, b" 17"]
)
def test_no_header_makes_a_time_later_or_none(stated: bytes | None) -> None:
    assert original_timestamp_ms([(TIMESTAMP, stated)], 1_700_000_000_000) == 1_700_000_000_000


def test_a_record_without_a_time_has_none() -> None:
    letter = read_dead_letter(failed())
    assert letter.timestamp == NO_TIMESTAMP
    assert TIMESTAMP not in dict(failed())


@pytest.mark.parametrize("stated", [b"", b"soon", b"2999-01-01T00:00:00Z", b"0001-01-01T00:00:00+23:59", b"\xff"])
def test_no_header_makes_the_first_failure_later_or_none(stated: bytes) -> None:
    letter = read_dead_letter(failed([(f"{PREFIX}first-time", stated)]))
    assert letter.first_time == letter.time


def test_dead_letters_of_an_older_version_are_read() -> None:
    old = [(name, value) for name, value in failed() if name not in (TIMESTAMP, f"{PREFIX}first-time")]
    letter = read_dead_letter(old)
    assert (letter.first_time, letter.timestamp) == (letter.time, NO_TIMESTAMP)


# ---------------------------------------------------------------- room


def size(headers: Headers) -> int:
    return sum(len(name) + len(value) + 10 for name, value in headers)


def test_a_dead_letter_fits_its_topic_whatever_its_record_carried() -> None:
    large, small = ((f"h{number}", b"x" * 999) for number in range(1_000)), ((f"h{n}", b"") for n in range(1_000))
    own = [*large, *small, ("content-type", b"application/json")]
    made = failed(own, error="\U0001f4a3" * 5_000, topic="t" * 249, stage="s" * 249, reason="r" * 249)
    assert MAX_INNER_BYTES + size(made) < ARTICLES_DLQ.max_bytes
    kept = [header for header in made if not header[0].startswith(PREFIX)]
    assert kept == [header for header in own if header in kept], "in their order"
    assert ("content-type", b"application/json") in kept, "without it the record could not be read again"
    assert int(dict(made)[f"{PREFIX}headers-cut"]) == len(own) - len(kept) > 1_900


def test_one_that_has_no_room_leaves_it_to_the_others() -> None:
    made = failed([("large", b"x" * MAX_OWN_HEADER_BYTES), ("content-type", b"y" * 40_000), ("trace", b"1")])
    assert [name for name, _ in made if not name.startswith(PREFIX)] == ["trace"]
    assert dict(made)[f"{PREFIX}headers-cut"] == b"2"


def test_that_headers_were_left_out_is_still_told_after_a_replay() -> None:
    headers = failed([("large", b"x" * 40_000), ("trace", b"1")])
    for _ in range(3):
        headers = again(headers, 1)
    assert dict(headers)[f"{PREFIX}headers-cut"] == b"1"
    assert f"{PREFIX}headers-cut" not in dict(failed([("trace", b"1")]))


@pytest.mark.parametrize("name", ["attempt", "timestamp", "first-time", "headers-cut", "error", "topic", "more"])
def test_no_header_of_ours_grows_with_what_somebody_put_into_it(name: str) -> None:
    assert size(failed([(f"{PREFIX}{name}", b"7" * 1_000_000)] * 3)) < 1_000


# ---------------------------------------------------------------- markers


@pytest.mark.parametrize("marker", [REPLAYED, PURGED])
def test_a_marker_closes_the_dead_letter_that_it_names(marker: str) -> None:
    assert closed_id([("trace", None), (marker, b"articles-raw/3/17")]) == "articles-raw/3/17"
    assert closed_id([(marker, None)]) == ""
    assert closed_id([(marker, b"\xff")]) == "\ufffd"


def test_a_dead_letter_closes_none() -> None:
    assert closed_id(failed()) is None


# ---------------------------------------------------------------- publisher and headline

ARTICLE = {"publisher": " p.example ", "headline": "A kite", "body": "x"}


@pytest.mark.parametrize(
    "value",
    [
        ARTICLE,
        {"id": "0" * 32, "revision": 3, "kept": [], **ARTICLE},
        {"specversion": "1.0", "source": "/s", "type": "t", "id": "1", "data": ARTICLE},
        {"specversion": "1.0", "data_base64": base64.b64encode(json.dumps(ARTICLE).encode()).decode()},
    ],
)
def test_an_article_names_its_publisher_in_every_form(value: dict[str, Any]) -> None:
    assert named_in(json.dumps(value).encode()) == ("p.example", "A kite")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"null",
        b"[]",
        b"3",
        b'"publisher"',
        b'{"publisher": 3, "headline": ["a"]}',
        b'{"publisher": "  "}',
        b'{"data": "p.example"}',
        b'{"data_base64": "%%%"}',
        b'{"data_base64": "\xc3\xa9"}',
        b'{"data_base64": 7}',
        b'{"publisher": "p.example"',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"data_base64": "' + base64.b64encode(b"[" * 10_000) + b'"}',
        b"\xff" * 4_000_000,
        b"{" * 4_000_000,
        b'{"publisher": ' + b"9" * 4_000_000 + b"}",
        b"\x00\x00\xfe\xff" + b"\xd8" * 1_001,
    ],
    ids=range(20),
)
def test_what_names_nobody_costs_nothing(value: bytes | None) -> None:
    assert named_in(value) == (None, None)


def test_a_name_is_short_and_can_be_printed() -> None:
    publisher, headline = named_in(b'{"publisher": "kite \\ud83e", "headline": "' + b"h" * 1_000_000 + b'"}')
    assert publisher == "kite ?"
    assert headline == "h" * MAX_NAME_CHARACTERS


@given(st.binary() | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(repr))
def test_no_value_makes_it_raise(value: bytes | str) -> None:
    named_in(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value)
