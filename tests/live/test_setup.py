"""Set-up on the real Kafka and the real Elasticsearch."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import Elasticsearch
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from schemas.document import INDEX_ALIAS, STORIES_ALIAS, first_index
from schemas.topics import ARTICLES_RAW, TOPICS
from services.setup import app
from services.setup.app import set_up
from services.setup.settings import SetupSettings
from tests.live.harness import Pipeline


def settings(pipeline: Pipeline, prefix: str) -> SetupSettings:
    return SetupSettings(
        kafka_bootstrap_servers=pipeline.kafka, elasticsearch_url=pipeline.elasticsearch, newsflow_prefix=prefix
    )


def test_it_creates_what_is_missing_and_then_changes_nothing(pipeline: Pipeline) -> None:
    prefix = f"again-{pipeline.prefix}"
    created = set_up(settings(pipeline, prefix))
    assert created == {
        "topics": [f"{prefix}{topic.name}" for topic in TOPICS],
        "indices": [first_index(f"{prefix}{alias}") for alias in (INDEX_ALIAS, STORIES_ALIAS)],
    }
    with Elasticsearch(pipeline.elasticsearch) as client:
        indices = client.indices.get(index=created["indices"])
        for alias, name in zip((INDEX_ALIAS, STORIES_ALIAS), created["indices"], strict=True):
            assert indices[name]["mappings"]["dynamic"] == "strict"
            assert indices[name]["aliases"][f"{prefix}{alias}"] == {"is_write_index": True}
        assert set_up(settings(pipeline, prefix)) == {"topics": [], "indices": []}
        assert client.indices.get(index=created["indices"]) == indices


def test_an_index_of_an_older_version_takes_the_fields_that_came_since(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"older-{pipeline.prefix}"
    shipped = app._template

    def older(name: str) -> dict[str, Any]:
        template = shipped(name)
        if name == "news-mappings":
            del template["template"]["mappings"]["properties"]["section"]
        return template

    with monkeypatch.context() as patched:
        patched.setattr(app, "_template", older)
        set_up(settings(pipeline, prefix))
    with Elasticsearch(pipeline.elasticsearch) as client:
        index = first_index(f"{prefix}{INDEX_ALIAS}")
        assert "section" not in client.indices.get_mapping(index=index)[index]["mappings"]["properties"]
        set_up(settings(pipeline, prefix))
        fields = client.indices.get_mapping(index=index)[index]["mappings"]["properties"]
        assert fields["section"] == {"type": "keyword", "ignore_above": 512}


def test_a_field_that_is_mapped_otherwise_is_refused(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = f"otherwise-{pipeline.prefix}"
    shipped = app._template

    def otherwise(name: str) -> dict[str, Any]:
        template = shipped(name)
        if name == "news-mappings":
            template["template"]["mappings"]["properties"]["section"] = {"type": "long"}
        return template

    with monkeypatch.context() as patched:
        patched.setattr(app, "_template", otherwise)
        set_up(settings(pipeline, prefix))
    with pytest.raises(ValueError, match=r"mapped otherwise now .*section.*: set another NEWSFLOW_PREFIX"):
        set_up(settings(pipeline, prefix))


def test_an_index_whose_alias_was_lost_gets_it_back(pipeline: Pipeline) -> None:
    alias = pipeline.name(INDEX_ALIAS)
    with Elasticsearch(pipeline.elasticsearch) as client:
        client.indices.delete_alias(index=first_index(alias), name=alias)
        pipeline.set_up()
        assert list(client.indices.get_alias(name=alias)) == [first_index(alias)]


def test_a_topic_with_other_partitions_is_refused(pipeline: Pipeline) -> None:
    prefix = f"other-{pipeline.prefix}"
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    admin.create_topics([NewTopic(f"{prefix}{ARTICLES_RAW.name}", 2, 1)])
    admin.close()
    with pytest.raises(ValueError, match="has 2 partitions, not 6"):
        set_up(settings(pipeline, prefix))


def test_the_time_of_a_raw_record_is_the_brokers(pipeline: Pipeline) -> None:
    """Else retention would delete a record dated 2019 at once, and one dated 2099 could never be corrected."""
    name = pipeline.name(ARTICLES_RAW.name)
    producer = KafkaProducer(bootstrap_servers=pipeline.kafka)
    for year_2019_or_2099 in (1_546_300_800_000, 4_070_908_800_000):
        producer.send(name, b"{}", key=b"k", partition=0, timestamp_ms=year_2019_or_2099).get(timeout=30)
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=pipeline.kafka, group_id=None, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(name, 0)])
    times: list[int] = []
    while len(times) < 2:
        times += [record.timestamp for records in consumer.poll(timeout_ms=5000).values() for record in records]
    consumer.close()
    assert max(times) - min(times) < 60_000
