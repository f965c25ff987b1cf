from __future__ import annotations

import json
from types import SimpleNamespace
from uuid import uuid4

from aiokafka.partitioner import DefaultPartitioner as FaustsPartitioner
from kafka import KafkaProducer

from schemas.reading import read_record
from schemas.story import Follow, Story
from schemas.topics import ARTICLES_OVERLAPS, ARTICLES_STORIES, TOPICS, Topic
from services.linker import app
from services.linker.app import _records


def test_parts_for_one_partition_share_records_of_a_bounded_size() -> None:
    follows = [Follow(id=f"{number:032x}", follower="f" * 32) for number in range(18_000)]
    story = Story(id="0" * 32, story_id="0" * 32)
    out: list[app.Out] = [(ARTICLES_OVERLAPS, number % 2, each) for number, each in enumerate(follows)]
    records = _records([*out, (ARTICLES_STORIES, None, story)])
    (first, *others) = records
    assert first[:3] == (ARTICLES_STORIES.name, None, b"0" * 32)
    assert len(others) == 4
    assert all(key is None and len(value) <= app.RECORD_BYTES + 2 for _, _, key, value in others)
    for partition in range(2):
        parts = [each for _, number, _, value in others if number == partition for each in json.loads(value)]
        assert [each["id"] for each in parts] == [each.id for each in follows[partition::2]], "in their order"
    found = [each for _, _, _, value in others for each in read_record(ARTICLES_OVERLAPS, value).root]
    assert set(found) == set(follows)


def test_faust_and_kafka_python_put_a_key_into_the_same_partition() -> None:
    """An article's record comes from the one, its story's from the other, and one process must have both."""
    faust, plain = FaustsPartitioner(), KafkaProducer.DEFAULT_CONFIG["partitioner"]
    partitions = list(range(6))
    cluster = SimpleNamespace(
        topics=lambda: {"t"},
        partitions_for_topic=lambda _: {*partitions},
        available_partitions_for_topic=lambda _: {*partitions},
    )
    for _ in range(200):
        key = uuid4().hex.encode()
        assert faust(key, partitions, partitions) == plain.partition("t", key, key, b"", b"", cluster)


def test_every_topic_that_the_linker_reads_is_one_of_its_sources() -> None:
    def names(topics: tuple[Topic, ...]) -> set[str]:
        return {topic.name for topic in topics}

    assert names(app.SOURCES) == names(tuple(topic for topic in TOPICS if "linker" in topic.consumers))
