from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.article import CleanArticle, RawArticle, in_utc
from schemas.reading import SHOWN_PROBLEMS, Refused, read_record, write_record
from schemas.topics import ARTICLES_CLEAN, ARTICLES_DLQ, ARTICLES_RAW, MAX_RAW_BYTES

PLAIN = {"publisher": "harbour-post.example", "body": "The market moves to the square."}


def refused(value: bytes | None) -> Refused:
    with pytest.raises(Refused) as caught:
        read_record(ARTICLES_RAW, value)
    return caught.value


def read_or_refused(value: bytes) -> RawArticle | Refused:
    try:
        record = read_record(ARTICLES_RAW, value)
    except Refused as refusal:
        return refusal
    assert isinstance(record, RawArticle)
    return record


def refused_record(**more: Any) -> Refused:
    return refused(json.dumps(PLAIN | more).encode())


def of_size(size: int) -> bytes:
    empty = write_record(RawArticle(publisher="a", body="x"))
    return write_record(RawArticle(publisher="a", body="x" * (size - len(empty) + 1)))


@pytest.mark.parametrize("value", [None, b""])
def test_no_value_is_empty(value: bytes | None) -> None:
    assert refused(value).reason == "empty"


def test_value_at_the_limit_is_read_and_one_byte_more_is_not() -> None:
    assert len(of_size(MAX_RAW_BYTES)) == MAX_RAW_BYTES
    read_record(ARTICLES_RAW, of_size(MAX_RAW_BYTES))
    too_large = refused(of_size(MAX_RAW_BYTES + 1))
    assert too_large.reason == "too_large"
    assert str(MAX_RAW_BYTES) in too_large.error


def test_limit_is_of_the_open_topic_only() -> None:
    # A clean article has its paragraphs and the dropped ones, and may be larger than it came in.
    clean = {
        "id": "0" * 32,
        "revision": 1,
        "received": "2026-01-31T08:00:00Z",
        "publisher": "harbour-post.example",
        "language": "en",
        "language_confidence": 1,
        "kept": [{"index": 0, "text": "x" * MAX_RAW_BYTES}],
    }
    assert isinstance(read_record(ARTICLES_CLEAN, json.dumps(clean).encode()), CleanArticle)


@pytest.mark.parametrize("value", [b"nonsense", b'{"publisher": "a"', b'{"publisher": "\xff"}', b"[" * 100_000])
def test_what_is_no_json_is_said_with_its_place(value: bytes) -> None:
    problem = refused(value)
    assert problem.reason == "invalid_json"
    assert "column" in problem.error


def test_unknown_field_is_named_with_what_to_do() -> None:
    problem = refused_record(section="Local")
    assert problem.reason == "invalid_record"
    assert problem.error == "section: unknown field: leave it out, or put it into `extra` as a text"


def test_every_problem_is_named() -> None:
    problem = refused_record(section="Local", language="en_GB", revision=-1)
    assert [part.split(":")[0] for part in problem.error.split("; ")] == ["language", "revision", "section"]


def test_at_most_so_many_problems_are_named() -> None:
    problem = refused_record(**{f"field_{number}": number for number in range(SHOWN_PROBLEMS + 5)})
    assert len(problem.error.split("; ")) == SHOWN_PROBLEMS + 1
    assert problem.error.endswith("and 5 more problems")


def test_problem_does_not_repeat_what_the_producer_sent() -> None:
    assert "confidential" not in refused_record(language="confidential text").error


@pytest.mark.parametrize("more", [{}, {"html": "<p>The market moves.</p>", "body": "The market moves."}])
def test_neither_and_both_texts_are_told_apart(more: dict[str, str]) -> None:
    problem = refused(json.dumps({"publisher": "a"} | more).encode())
    assert problem.error == f"exactly one of body and html must be given, found {'both' if more else 'neither'}"


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_every_time_that_the_contract_takes_has_its_place_in_utc(time: str) -> None:
    article = read_or_refused(json.dumps(PLAIN | {"published": time}).encode())
    if isinstance(article, RawArticle):
        assert article.published is not None
        in_utc(article.published)


def test_field_given_twice_is_refused_on_the_open_topic() -> None:
    assert (
        refused(b'{"publisher": "a", "publisher": "b", "body": "x"}').error == "publisher: the field is given twice"
    )


def test_open_topic_is_as_strict_in_a_child_process() -> None:
    there = pickle.loads(pickle.dumps(ARTICLES_RAW))
    with pytest.raises(Refused):
        read_record(there, of_size(MAX_RAW_BYTES + 1))
    with pytest.raises(Refused, match="given twice"):
        read_record(there, b'{"publisher": "a", "body": "x", "body": "y"}')


def test_topic_without_records_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="articles-dlq") as caught:
        read_record(ARTICLES_DLQ, b"{}")
    assert not isinstance(caught.value, Refused)


def test_written_record_is_utf_8_without_what_is_left_out() -> None:
    value = write_record(RawArticle(publisher="北港新聞.example", body="Паром"))
    assert value == '{"publisher":"北港新聞.example","body":"Паром"}'.encode()


def test_refusal_survives_the_way_back_from_a_child_process() -> None:
    back = pickle.loads(pickle.dumps(Refused("empty", "the record has no value")))
    assert (back.reason, back.error, str(back)) == ("empty", "the record has no value", "the record has no value")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.binary()
    | st.dictionaries(st.sampled_from([*RawArticle.model_fields, "other"]), JSON_VALUES).map(
        lambda record: json.dumps(record).encode()
    )
)
def test_whatever_comes_is_read_or_refused(value: bytes) -> None:
    outcome = read_or_refused(value)
    if isinstance(outcome, Refused):
        assert outcome.reason in ("empty", "invalid_json", "invalid_record")
        assert outcome.error
    else:
        assert read_record(ARTICLES_RAW, write_record(outcome)) == outcome
