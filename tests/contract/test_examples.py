from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.article import TaggedArticle
from schemas.reading import Refused, read_record, write_record
from schemas.topics import ARTICLES_RAW, ARTICLES_TAGGED, Topic
from tests.contract.examples import (
    EXAMPLES,
    EXPECTED,
    RECORD_TOPICS,
    Example,
    expected,
    invalid_examples,
    valid_examples,
)

INNER_TOPICS = [topic for topic in RECORD_TOPICS if topic is not ARTICLES_RAW]


def test_valid_examples_are_read_and_are_the_same_after_writing() -> None:
    changed = []
    for example in valid_examples():
        record = read_record(example.topic, example.value)
        assert example.topic.record is not None
        assert isinstance(record, example.topic.record), example
        if read_record(example.topic, write_record(record)) != record:
            changed.append(str(example))
    assert changed == []


def test_invalid_examples_are_refused_with_their_reason_and_field() -> None:
    wrong = {}
    for example in invalid_examples():
        try:
            wrong[str(example)] = repr(read_record(example.topic, example.value))
        except Refused as refused:
            if refused.reason != example.reason or example.error_contains not in refused.error:
                wrong[str(example)] = f"{refused.reason}: {refused.error}"
    assert wrong == {}


@pytest.mark.parametrize("topic", RECORD_TOPICS, ids=lambda topic: topic.name)
def test_every_topic_has_examples_and_every_invalid_one_its_reason(topic: Topic) -> None:
    folder = EXAMPLES / topic.name
    assert list(folder.glob("valid/*.json"))
    invalid = {path.name for path in folder.glob("invalid/*")} - {EXPECTED}
    assert invalid
    assert invalid == expected(topic).keys()


def test_every_folder_of_examples_is_a_topic() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {topic.name for topic in RECORD_TOPICS}


@pytest.mark.parametrize("topic", INNER_TOPICS, ids=lambda topic: topic.name)
def test_unknown_field_on_an_inner_topic_is_passed_over(topic: Topic) -> None:
    example = EXAMPLES / topic.name / "valid" / "minimal.json"
    plain = json.loads(example.read_bytes())
    if isinstance(plain, list):
        longer: Any = [each | {"from_a_newer_stage": {"any": "thing"}} for each in plain]
        assert read_record(topic, json.dumps(longer).encode()) == read_record(topic, example.read_bytes())
        return
    newer = plain | {"from_a_newer_stage": {"any": "thing"}}
    if "kept" in plain:
        newer["kept"] = [paragraph | {"from_a_newer_stage": 1} for paragraph in plain["kept"]]
    assert read_record(topic, json.dumps(newer).encode()) == read_record(topic, example.read_bytes())


def test_unknown_field_on_the_open_topic_is_refused() -> None:
    plain = json.loads((EXAMPLES / ARTICLES_RAW.name / "valid" / "minimal.json").read_bytes())
    with pytest.raises(Refused, match="from_a_newer_producer"):
        read_record(ARTICLES_RAW, json.dumps(plain | {"from_a_newer_producer": "any"}).encode())


def test_mentions_of_the_tagged_examples_are_where_they_say() -> None:
    tagged = [
        record
        for example in valid_examples()
        if example.topic is ARTICLES_TAGGED and isinstance(record := read_record(*_of(example)), TaggedArticle)
    ]
    assert any(article.mentions for article in tagged)
    for article in tagged:
        for mention in article.mentions:
            assert article.body[mention.start : mention.end] == mention.text


def _of(example: Example) -> tuple[Topic, bytes]:
    return example.topic, example.value
