"""Set-up on the real Kafka and the real Elasticsearch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from elasticsearch import Elasticsearch
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from schemas.document import (
    DEAD_LETTERS_ALIAS,
    INDEX_ALIAS,
    NOT_RETRACTED,
    STANDBY_ALIAS,
    STORIES_ALIAS,
    first_index,
)
from schemas.topics import ARTICLES_CLEAN, ARTICLES_DLQ, ARTICLES_RAW, ARTICLES_TAGGED, DAY_MS, TOPICS, Topic
from services.setup import app
from services.setup.app import MAPPINGS, set_up
from services.setup.settings import SetupSettings
from tests.live.harness import Pipeline


def settings(pipeline: Pipeline, prefix: str) -> SetupSettings:
    return SetupSettings(
        kafka_bootstrap_servers=pipeline.kafka, elasticsearch_url=pipeline.elasticsearch, newsflow_prefix=prefix
    )


ALIASES = (INDEX_ALIAS, STORIES_ALIAS, DEAD_LETTERS_ALIAS)


@pytest.fixture
def client(pipeline: Pipeline) -> Iterator[Elasticsearch]:
    with Elasticsearch(pipeline.elasticsearch) as client:
        yield client


def older(change: Callable[[dict[str, Any]], None]) -> Callable[[str], dict[str, Any]]:
    """The templates of an older version: `change` takes from the properties what came since."""

    def template(name: str) -> dict[str, Any]:
        found = shipped(name)
        if name == MAPPINGS:
            found["template"]["mappings"]["_meta"] = {"version": 1}
            change(found["template"]["mappings"]["properties"])
        return found

    return template


shipped = app.template


def without_new_fields(properties: dict[str, Any]) -> None:
    for name in ("history", "retracted"):
        del properties[name]
    del properties["pipeline"]["properties"]["quality"]
    del properties["headline"]["fields"]["suggest"]


def set_up_as_before(
    prefixed: SetupSettings, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(app, "template", older(change))
        set_up(prefixed)


def fields_of(client: Elasticsearch, index: str) -> dict[str, Any]:
    fields: dict[str, Any] = client.indices.get_mapping(index=index)[index]["mappings"]["properties"]
    return fields


def test_it_creates_what_is_missing_and_then_changes_nothing(pipeline: Pipeline, client: Elasticsearch) -> None:
    prefix = f"again-{pipeline.prefix}"
    created = set_up(settings(pipeline, prefix))
    assert created == {
        "topics": [f"{prefix}{topic.name}" for topic in TOPICS],
        "indices": [first_index(f"{prefix}{alias}") for alias in ALIASES],
    }
    indices = client.indices.get(index=created["indices"])
    for alias, name in zip(ALIASES, created["indices"], strict=True):
        assert indices[name]["mappings"]["dynamic"] == "strict"
        hidden = {"filter": NOT_RETRACTED} if alias == INDEX_ALIAS else {}
        assert indices[name]["aliases"][f"{prefix}{alias}"] == {"is_write_index": True, **hidden}
    assert set_up(settings(pipeline, prefix)) == {"topics": [], "indices": []}
    assert client.indices.get(index=created["indices"]) == indices


# ---------------------------------------------------------------- an index of an older version


def test_it_takes_the_fields_that_came_since_and_says_by_which_version_it_was_made(
    pipeline: Pipeline, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"older-{pipeline.prefix}"
    index = first_index(f"{prefix}{INDEX_ALIAS}")
    set_up_as_before(settings(pipeline, prefix), monkeypatch, without_new_fields)
    assert "history" not in fields_of(client, index)
    done = set_up(settings(pipeline, prefix))
    assert done["indices"] == [f"{index} (new fields)"]
    assert fields_of(client, index) == fields_of(client, first_index(pipeline.name(INDEX_ALIAS)))
    assert client.indices.get_mapping(index=index)[index]["mappings"]["_meta"] == {"version": 1}
    assert set_up(settings(pipeline, prefix))["indices"] == []


def test_a_field_that_is_mapped_otherwise_stays_and_all_others_come_in(
    pipeline: Pipeline, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the index would refuse every document for the fields that it lacks."""
    prefix = f"otherwise-{pipeline.prefix}"
    index = first_index(f"{prefix}{INDEX_ALIAS}")

    def otherwise(properties: dict[str, Any]) -> None:
        without_new_fields(properties)
        properties["section"] = {"type": "long"}
        properties["pipeline"]["properties"]["flags"] = {"type": "text"}

    set_up_as_before(settings(pipeline, prefix), monkeypatch, otherwise)
    with structlog.testing.capture_logs() as logs:
        set_up(settings(pipeline, prefix))
    fields = fields_of(client, index)
    assert fields["section"] == {"type": "long"}
    assert fields["pipeline"]["properties"]["flags"] == {"type": "text"}
    assert fields.keys() >= {"history", "retracted"}
    assert "quality" in fields["pipeline"]["properties"]
    assert "suggest" in fields["headline"]["fields"]
    told = [each for each in logs if "newsflow index migrate" in each["event"]]
    assert [each["index"] for each in told] == [index, index]
    for field, each in zip(("section", "pipeline.flags"), told, strict=True):
        assert f"[{field}]" in each["reason"]


def test_the_index_that_takes_every_write_too_takes_the_new_fields(
    pipeline: Pipeline, client: Elasticsearch
) -> None:
    standby = pipeline.name("news-articles-v1-000001")
    # Without the template: as it was when this index was made.
    client.indices.delete_index_template(name=pipeline.name(INDEX_ALIAS))
    client.indices.create(
        index=standby,
        aliases={pipeline.name(STANDBY_ALIAS): {"is_write_index": True}},
        settings=shipped(MAPPINGS)["template"]["settings"],
        mappings={"dynamic": "strict", "properties": {"id": {"type": "keyword"}}},
    )
    assert set_up(settings(pipeline, pipeline.prefix))["indices"] == [f"{standby} (new fields)"]
    assert fields_of(client, standby) == fields_of(client, first_index(pipeline.name(INDEX_ALIAS)))
    assert list(client.indices.get_alias(name=pipeline.name(INDEX_ALIAS))) == [
        first_index(pipeline.name(INDEX_ALIAS))
    ]


# ---------------------------------------------------------------- the alias


@pytest.mark.parametrize("own", [{"is_write_index": True}, {"is_write_index": False, "search_routing": "1"}, {}])
def test_an_alias_without_its_filter_gets_it_and_else_stays(
    pipeline: Pipeline, client: Elasticsearch, own: dict[str, Any]
) -> None:
    alias = pipeline.name(INDEX_ALIAS)
    index = first_index(alias)
    client.indices.delete_alias(index=index, name=alias)
    client.indices.put_alias(index=index, name=alias, **own)
    assert set_up(settings(pipeline, pipeline.prefix))["indices"] == [f"{alias} (filter)"]
    assert client.indices.get_alias(name=alias)[index]["aliases"][alias] == {**own, "filter": NOT_RETRACTED}
    assert set_up(settings(pipeline, pipeline.prefix))["indices"] == []


def test_a_filter_of_an_operators_own_stays(pipeline: Pipeline, client: Elasticsearch) -> None:
    alias = pipeline.name(INDEX_ALIAS)
    index = first_index(alias)
    own = {"term": {"language": {"value": "en"}}}
    client.indices.put_alias(index=index, name=alias, filter=own)
    assert set_up(settings(pipeline, pipeline.prefix))["indices"] == []
    assert client.indices.get_alias(name=alias)[index]["aliases"][alias]["filter"] == own


def test_an_alias_on_a_later_index_is_left_there(pipeline: Pipeline, client: Elasticsearch) -> None:
    alias = pipeline.name(INDEX_ALIAS)
    first, later = first_index(alias), f"{alias}-v2-000002"
    client.indices.delete(index=first)
    client.indices.create(index=later, aliases={alias: {"filter": NOT_RETRACTED, "is_write_index": True}})
    assert set_up(settings(pipeline, pipeline.prefix))["indices"] == []
    assert list(client.indices.get_alias(name=alias)) == [later]
    assert not client.indices.exists(index=first)


@pytest.mark.parametrize("index", ["v2-000001", "v2-000002", "v1-000001"])
def test_an_index_whose_alias_was_lost_gets_it_back(pipeline: Pipeline, client: Elasticsearch, index: str) -> None:
    alias = pipeline.name(INDEX_ALIAS)
    client.indices.delete(index=first_index(alias))
    client.indices.create(index=f"{alias}-{index}")
    # Another one that takes every write too is not the one that is searched.
    client.indices.create(index=f"{alias}-v9-000001", aliases={pipeline.name(STANDBY_ALIAS): {}})
    pipeline.set_up()
    assert client.indices.get_alias(name=alias) == {
        f"{alias}-{index}": {"aliases": {alias: {"filter": NOT_RETRACTED, "is_write_index": True}}}
    }


def test_of_several_indices_without_an_alias_none_is_chosen(pipeline: Pipeline, client: Elasticsearch) -> None:
    alias = pipeline.name(INDEX_ALIAS)
    client.indices.delete_alias(index=first_index(alias), name=alias)
    client.indices.create(index=f"{alias}-v2-000002")
    with pytest.raises(ValueError, match=rf"{alias} is not there, and {alias}-v2-000001, {alias}-v2-000002 are"):
        pipeline.set_up()


# ---------------------------------------------------------------- topics


def retention(pipeline: Pipeline, prefix: str, *topics: Topic, **new: int) -> list[int]:
    """What Kafka has for these topics; with `new` set before."""
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    named = [ConfigResource(ConfigResourceType.TOPIC, f"{prefix}{topic.name}") for topic in topics]
    for topic in named if new else ():
        topic.configs = {name.replace("_", "."): str(value) for name, value in new.items()}
    if new:
        admin.alter_configs(named, incremental=True)
        for topic in named:
            topic.configs = None
    found = admin.describe_configs(named, config_filter="all")["topic"]
    admin.close()
    return [int(found[topic.name]["retention.ms"]["value"]) for topic in named]


@pytest.mark.parametrize(("topic", "days"), [(ARTICLES_CLEAN, 2), (ARTICLES_DLQ, 30)])
def test_the_retention_of_an_earlier_version_is_brought_up(pipeline: Pipeline, topic: Topic, days: int) -> None:
    name = pipeline.name(topic.name)
    assert retention(pipeline, pipeline.prefix, topic, retention_ms=days * DAY_MS, segment_ms=77_000) == [
        days * DAY_MS
    ]
    done = set_up(settings(pipeline, pipeline.prefix))
    assert done["topics"] == [f"{name} (retention.ms {days * DAY_MS} -> {topic.retention_ms})"]
    assert retention(pipeline, pipeline.prefix, topic) == [topic.retention_ms]
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
    admin.close()
    # Whatever else was set for the topic stays.
    assert found["topic"][name]["segment.ms"]["value"] == "77000"
    assert set_up(settings(pipeline, pipeline.prefix))["topics"] == []


@pytest.mark.parametrize("days", [1, 60])
def test_a_retention_of_an_operators_own_stays(pipeline: Pipeline, days: int) -> None:
    topics = (ARTICLES_CLEAN, ARTICLES_TAGGED, ARTICLES_RAW)
    retention(pipeline, pipeline.prefix, *topics, retention_ms=days * DAY_MS)
    with structlog.testing.capture_logs() as logs:
        assert set_up(settings(pipeline, pipeline.prefix))["topics"] == []
    assert retention(pipeline, pipeline.prefix, *topics) == [days * DAY_MS] * 3
    told = [each["topic"] for each in logs if "less than it should" in each["event"]]
    assert told == ([pipeline.name(ARTICLES_CLEAN.name)] if days == 1 else [])


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
