from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.reading import Refused, read_record
from schemas.topics import ARTICLES_RAW, MAX_RAW_BYTES
from services.producer.core import Found, Unusable, to_item, to_record

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
NAME = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=30)

ZONE = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime(1990, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
TIME = st.datetimes(FIRST, LAST) | st.datetimes(FIRST, LAST, timezones=ZONE)


@given(
    st.builds(
        RawArticle,
        publisher=NAME,
        body=TEXT,
        html=st.none(),
        id=NAME | st.none(),
        url=st.sampled_from([None, "https://harbour-post.example/a?b=1"]),
        headline=TEXT | st.none(),
        summary=TEXT | st.none(),
        byline=TEXT | st.none(),
        published=TIME | st.none(),
        modified=st.none(),
        language=st.sampled_from([None, "en", "pt-BR"]),
        subjects=st.lists(TEXT, max_size=3).map(tuple),
        copyright_notice=TEXT | st.none(),
        producer=NAME | st.none(),
        revision=st.integers(0, 2**63 - 1) | st.none(),
        extra=st.dictionaries(TEXT, TEXT, max_size=3),
    )
)
def test_what_is_sent_is_what_the_cleaner_reads(article: RawArticle) -> None:
    record = to_record(article)
    assert read_record(ARTICLES_RAW, record.value) == article
    assert record.key.decode() == article_id(article)


def test_the_same_article_is_the_same_record() -> None:
    first, second = (to_record(RawArticle(publisher="harbour-post.example", body="A text.")) for _ in range(2))
    assert first == second


def article_of(size: int) -> RawArticle:
    """An article whose record has so many bytes."""
    empty = len(to_record(RawArticle(publisher="p", body="x")).value) - 1
    # Two bytes a character: the limit is one of bytes.
    body = "é" * ((size - empty) // 2) + "x" * ((size - empty) % 2)
    return RawArticle(publisher="p", body=body)


def test_a_record_at_the_limit_is_sent_and_read() -> None:
    record = to_record(article_of(MAX_RAW_BYTES))
    assert len(record.value) == MAX_RAW_BYTES
    assert read_record(ARTICLES_RAW, record.value)


def test_a_record_above_the_limit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(Refused, match=str(MAX_RAW_BYTES + 1)) as refused:
        to_record(article_of(MAX_RAW_BYTES + 1))
    assert refused.value.reason == "too_large"


# ---------------------------------------------------------------- from fields


def test_fields_become_an_article_and_those_without_a_value_are_left_out() -> None:
    time = datetime(2026, 3, 1, tzinfo=UTC)
    item = to_item(
        "line 4",
        {"publisher": "p.example", "body": "A text.", "url": "", "byline": None, "subjects": ["sea"], "extra": {}},
        part="north",
        checkpoint="4",
        time=time,
    )
    article = RawArticle(publisher="p.example", body="A text.", subjects=("sea",))
    assert item == Found("line 4", article, "north", "4", time)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"body": "A text."}, "publisher"),
        ({"publisher": "p.example", "body": "A text.", "published": "yesterday"}, "published: must be an ISO 8601"),
        ({"publisher": "p.example", "body": "A text.", "pages": 4}, "pages: unknown field"),
        ({"publisher": "p.example", "body": 7}, "body"),
        ({"publisher": "p.example"}, "exactly one of body and html"),
    ],
)
def test_fields_that_are_no_article_are_unusable_with_the_field_named(fields: dict[str, object], said: str) -> None:
    item = to_item("line 4", fields, part="north", checkpoint="4")
    assert isinstance(item, Unusable)
    assert said in item.error
    assert (item.origin, item.part, item.checkpoint, item.reason) == ("line 4", "north", "4", "invalid_record")
