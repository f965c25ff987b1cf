from __future__ import annotations

import re
from itertools import pairwise

import pytest

from schemas.topics import (
    ARTICLES_CLEAN,
    ARTICLES_DEDUPED,
    ARTICLES_DLQ,
    ARTICLES_RAW,
    ARTICLES_RETAGGED,
    ARTICLES_RETRACTED,
    ARTICLES_STORIES,
    ARTICLES_TAGGED,
    MAX_RAW_BYTES,
    TOPICS,
    Topic,
)

ENVELOPE_BYTES = 64 * 1024
"""Room that a record needs beside its value: the key, the headers and what Kafka puts around them."""


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_topic_name_has_no_dot_or_underscore(topic: Topic) -> None:
    # Kafka's metrics fold both into one, so that two topics could collide.
    assert re.fullmatch(r"[a-z0-9-]+", topic.name)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_topic_says_who_writes_and_who_reads_it(topic: Topic) -> None:
    assert topic.producers
    # Whoever needs a compacted topic reads all of it, without a group.
    assert topic.consumers or topic.compacted
    assert topic.summary.endswith(".")


def test_topics_have_names_of_their_own() -> None:
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


def test_each_stage_writes_to_the_topic_behind_the_one_it_reads() -> None:
    way = [ARTICLES_RAW, ARTICLES_CLEAN, ARTICLES_DEDUPED, ARTICLES_TAGGED]
    for before, after in pairwise(way):
        assert set(after.producers) <= set(before.consumers)


@pytest.mark.parametrize(
    "other", [ARTICLES_STORIES, ARTICLES_RETAGGED, ARTICLES_RETRACTED], ids=lambda topic: topic.name
)
def test_all_records_of_an_article_are_in_the_same_partition(other: Topic) -> None:
    assert other.partitions == ARTICLES_TAGGED.partitions
    assert other.consumers == ARTICLES_TAGGED.consumers


def test_an_article_stays_out_as_long_as_nobody_says_otherwise() -> None:
    """A new index is filled from articles-tagged: what was retracted before that must be known then."""
    assert ARTICLES_RETRACTED.compacted
    assert ARTICLES_RETRACTED.retention_ms == -1


def test_no_dead_letter_is_deleted_by_time_and_the_index_shows_them() -> None:
    assert ARTICLES_DLQ.retention_ms == -1
    assert not ARTICLES_DLQ.compacted, "two dead letters may have one key"
    assert ARTICLES_DLQ.consumers == ("indexer",)


def test_whoever_reads_a_topic_can_write_dead_letters() -> None:
    readers = {service for topic in TOPICS for service in topic.consumers}
    assert readers <= set(ARTICLES_DLQ.producers)


def test_open_topic_hangs_on_no_foreign_clock() -> None:
    assert ARTICLES_RAW.timestamp_type == "LogAppendTime"


def test_largest_allowed_value_fits_its_topic_with_its_envelope() -> None:
    assert ARTICLES_RAW.max_bytes >= MAX_RAW_BYTES + ENVELOPE_BYTES


def test_dead_letter_queue_takes_whatever_another_topic_took() -> None:
    largest = max(topic.max_bytes for topic in TOPICS if topic is not ARTICLES_DLQ)
    assert ARTICLES_DLQ.max_bytes >= largest + ENVELOPE_BYTES
