from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import MAX_NAME_CHARACTERS, PREFIX, PURGED, REPLAYED, dead_letter_headers
from services.indexer.dead_letters import MAX_ID_BYTES, SHOWN_CHARACTERS, Closed, Open, read_queue_record

Headers = list[tuple[str, bytes]]


def headers(**other: Any) -> Headers:
    said: dict[str, Any] = {
        "topic": "articles-raw",
        "partition": 3,
        "offset": 17,
        "stage": "cleaner",
        "reason": "invalid_record",
        "error": "body: Field required",
        "headers": [("trace", b"1")],
        "null": False,
    }
    return dead_letter_headers(**(said | other))


def shown(value: bytes | None, key: bytes | None = b"k", **other: Any) -> Any:
    found = read_queue_record(headers(null=value is None, **other), key, value or b"")
    assert isinstance(found, Open)
    return found.document


def test_a_dead_letter_is_shown_with_where_why_and_whose() -> None:
    value = b'{"publisher": "p.example", "headline": "A kite"}'
    document = shown(value)
    assert document.timestamp.tzinfo is not None
    assert abs((datetime.now(UTC) - document.timestamp).total_seconds()) < 60
    assert document.model_dump(exclude={"timestamp"}) == {
        "id": "articles-raw/3/17",
        "topic": "articles-raw",
        "partition": 3,
        "offset": 17,
        "stage": "cleaner",
        "reason": "invalid_record",
        "error": "body: Field required",
        "attempt": 1,
        "publisher": "p.example",
        "headline": "A kite",
        "key": "k",
        "bytes": len(value),
        "text": value.decode(),
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (b"", ""),
        (b"\xff\x00", "\ufffd\x00"),
        ("é".encode() * 20_000, "é" * SHOWN_CHARACTERS),
        ("\U0001f4a3".encode() * 20_000, "\U0001f4a3" * SHOWN_CHARACTERS),
        (b"\xff" * 4_000_000, "\ufffd" * SHOWN_CHARACTERS),
    ],
)
def test_its_text_is_cut_and_can_be_printed(value: bytes | None, text: str) -> None:
    document = shown(value)
    assert (document.text, document.bytes) == (text, len(value or b""))
    assert document.publisher is None


def test_a_long_key_is_cut_and_none_is_none() -> None:
    assert shown(b"{", key=b"k" * 100_000).key == "k" * MAX_NAME_CHARACTERS
    assert shown(b"{", key=None).key is None


@pytest.mark.parametrize("marker", [REPLAYED, PURGED])
def test_a_marker_closes_it(marker: str) -> None:
    assert read_queue_record([(marker, b"articles-raw/3/17")], b"k", b"") == Closed("articles-raw/3/17")


@pytest.mark.parametrize(
    "given_",
    [
        [],
        [("trace", None)],
        [(f"{PREFIX}topic", b"articles-raw")],
        [(REPLAYED, b"")],
        [(REPLAYED, None)],
        [(PURGED, b"x" * (MAX_ID_BYTES + 1))],
        headers(topic="\U0001f4a3" * 249),
        headers(topic="t" * 300),
        headers(offset=2**63),
    ],
)
def test_what_others_wrote_into_the_queue_is_passed_over(given_: Any) -> None:
    assert read_queue_record(given_, None, b"x") is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([name for name, _ in headers()] + [REPLAYED, PURGED, f"{PREFIX}null"]),
            st.none() | st.binary() | st.sampled_from([value for _, value in headers()]),
        )
    ),
    st.none() | st.binary(),
    st.none() | st.binary(),
)
def test_no_record_makes_it_raise(given_: Any, key: bytes | None, value: bytes | None) -> None:
    read_queue_record(given_, key, value)
