"""Set-up on the real Kafka and the real Elasticsearch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
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
from schemas.topics import (
    ARTICLES_CLEAN,
    ARTICLES_DLQ,
    ARTICLES_RAW,
    ARTICLES_TAGGED,
    DAY_MS,
    TOPICS,
    Topic,
)
from services.setup import app
from services.setup.app import MAPPINGS, set_up, set_up_index, set_up_topics
from tests.live.harness import Pipeline, wait_until

ALIASES = (INDEX_ALIAS, STORIES_ALIAS, DEAD_LETTERS_ALIAS)


@pytest.fixture
def alias(indices: Pipeline) -> str:
    return indices.name(INDEX_ALIAS)


def set_up_again(client: Elasticsearch, indices: Pipeline) -> list[str]:
    """Set up the indices; returns the names of those created or changed."""
    return set_up_index(client, indices.setup_settings)


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


def make_older(
    client: Elasticsearch,
    indices: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[dict[str, Any]], None],
) -> str:
    """Replaces the index by one that an older version set up; returns its name."""
    index = first_index(indices.name(INDEX_ALIAS))
    client.indices.delete(index=index)
    with monkeypatch.context() as patched:
        patched.setattr(app, "template", older(change))
        set_up_again(client, indices)
    return index


def fields_of(client: Elasticsearch, index: str) -> dict[str, Any]:
    fields: dict[str, Any] = client.indices.get_mapping(index=index)[index]["mappings"]["properties"]
    return fields


def test_set_up_creates_what_is_missing_and_then_changes_nothing(
    new_pipeline: Callable[[], Pipeline], client: Elasticsearch
) -> None:
    pipeline = new_pipeline()
    pipeline.delete()
    created = set_up(pipeline.setup_settings)
    assert created == {
        "topics": [pipeline.name(topic.name) for topic in TOPICS],
        "indices": [first_index(pipeline.name(alias)) for alias in ALIASES],
    }
    indices = client.indices.get(index=created["indices"])
    for alias, name in zip(ALIASES, created["indices"], strict=True):
        assert indices[name]["mappings"]["dynamic"] == "strict"
        hidden = {"filter": NOT_RETRACTED} if alias == INDEX_ALIAS else {}
        assert indices[name]["aliases"][pipeline.name(alias)] == {"is_write_index": True, **hidden}
    assert set_up(pipeline.setup_settings) == {"topics": [], "indices": []}
    assert client.indices.get(index=created["indices"]) == indices


# ---------------------------------------------------------------- an index of an older version


def test_older_index_gets_new_fields_and_keeps_its_version(
    indices: Pipeline, client: Elasticsearch, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = fields_of(client, first_index(alias))
    index = make_older(client, indices, monkeypatch, without_new_fields)
    assert "history" not in fields_of(client, index)
    assert set_up_again(client, indices) == [f"{index} (new fields)"]
    assert fields_of(client, index) == current
    assert client.indices.get_mapping(index=index)[index]["mappings"]["_meta"] == {"version": 1}
    assert set_up_again(client, indices) == []


def test_field_of_another_type_stays_and_all_others_are_added(
    indices: Pipeline, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the index would refuse every document for the fields that it lacks."""

    def otherwise(properties: dict[str, Any]) -> None:
        without_new_fields(properties)
        properties["section"] = {"type": "long"}
        properties["pipeline"]["properties"]["flags"] = {"type": "text"}

    index = make_older(client, indices, monkeypatch, otherwise)
    with structlog.testing.capture_logs() as logs:
        set_up_again(client, indices)
    fields = fields_of(client, index)
    assert fields["section"] == {"type": "long"}
    assert fields["pipeline"]["properties"]["flags"] == {"type": "text"}
    assert fields.keys() >= {"history", "retracted"}
    assert "quality" in fields["pipeline"]["properties"]
    assert "suggest" in fields["headline"]["fields"]
    warnings = [entry for entry in logs if "newsflow index migrate" in entry["event"]]
    assert [warning["index"] for warning in warnings] == [index, index]
    for field, warning in zip(("section", "pipeline.flags"), warnings, strict=True):
        assert f"[{field}]" in warning["reason"]


def test_standby_index_gets_new_fields(indices: Pipeline, client: Elasticsearch, alias: str) -> None:
    standby = f"{alias}-v1-000001"
    # Without the template: as it was when this index was created.
    client.indices.delete_index_template(name=alias)
    client.indices.create(
        index=standby,
        aliases={indices.name(STANDBY_ALIAS): {"is_write_index": True}},
        settings=shipped(MAPPINGS)["template"]["settings"],
        mappings={"dynamic": "strict", "properties": {"id": {"type": "keyword"}}},
    )
    assert set_up_again(client, indices) == [f"{standby} (new fields)"]
    assert fields_of(client, standby) == fields_of(client, first_index(alias))
    assert list(client.indices.get_alias(name=alias)) == [first_index(alias)]


# ---------------------------------------------------------------- the alias


def test_alias_without_filter_gets_it_and_keeps_its_other_settings(
    indices: Pipeline, client: Elasticsearch, alias: str
) -> None:
    index = first_index(alias)
    for own in ({"is_write_index": True}, {"is_write_index": False, "search_routing": "1"}, {}):
        client.indices.delete_alias(index=index, name=alias)
        client.indices.put_alias(index=index, name=alias, **own)
        assert set_up_again(client, indices) == [f"{alias} (filter)"], own
        assert client.indices.get_alias(name=alias)[index]["aliases"][alias] == {**own, "filter": NOT_RETRACTED}
        assert set_up_again(client, indices) == [], own


def test_filter_of_operator_stays(indices: Pipeline, client: Elasticsearch, alias: str) -> None:
    index = first_index(alias)
    own = {"term": {"language": {"value": "en"}}}
    client.indices.put_alias(index=index, name=alias, filter=own)
    assert set_up_again(client, indices) == []
    assert client.indices.get_alias(name=alias)[index]["aliases"][alias]["filter"] == own


def test_alias_on_later_index_stays(indices: Pipeline, client: Elasticsearch, alias: str) -> None:
    first, later = first_index(alias), f"{alias}-v2-000002"
    client.indices.delete(index=first)
    client.indices.create(index=later, aliases={alias: {"filter": NOT_RETRACTED, "is_write_index": True}})
    assert set_up_again(client, indices) == []
    assert list(client.indices.get_alias(name=alias)) == [later]
    assert not client.indices.exists(index=first)


def test_lost_alias_is_restored_on_the_only_index(indices: Pipeline, client: Elasticsearch, alias: str) -> None:
    # Another one that takes every write too is not the one that is searched.
    client.indices.create(index=f"{alias}-v9-000001", aliases={indices.name(STANDBY_ALIAS): {}})
    index = first_index(alias)
    for version in ("v2-000001", "v2-000002", "v1-000001"):
        client.indices.delete(index=index)
        index = f"{alias}-{version}"
        client.indices.create(index=index)
        set_up_again(client, indices)
        assert client.indices.get_alias(name=alias) == {
            index: {"aliases": {alias: {"filter": NOT_RETRACTED, "is_write_index": True}}}
        }


def test_lost_alias_is_not_restored_among_several_indices(
    indices: Pipeline, client: Elasticsearch, alias: str
) -> None:
    client.indices.delete_alias(index=first_index(alias), name=alias)
    client.indices.create(index=f"{alias}-v2-000002")
    with pytest.raises(ValueError, match=rf"{alias} is not there, and {alias}-v2-000001, {alias}-v2-000002 are"):
        set_up_again(client, indices)


# ---------------------------------------------------------------- topics


def configuration(
    pipeline: Pipeline, topics: Collection[Topic], changes: Mapping[Topic, Mapping[str, int]] | None = None
) -> dict[Topic, dict[str, str]]:
    """The configuration that Kafka has for each topic, after `changes`."""
    named = {topic: ConfigResource(ConfigResourceType.TOPIC, pipeline.name(topic.name)) for topic in topics}
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    for topic, change in (changes or {}).items():
        own = {name: str(value) for name, value in change.items()}
        admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, pipeline.name(topic.name), own)], incremental=True
        )

    def described() -> dict[Topic, dict[str, str]]:
        found = admin.describe_configs(list(named.values()), config_filter="all")["topic"]
        return {
            topic: {name: option["value"] for name, option in found[resource.name].items()}
            for topic, resource in named.items()
        }

    def has_changes() -> bool:
        """The broker answers an alteration before it is applied."""
        found = described()
        return all(
            found[topic][name] == str(value)
            for topic, change in (changes or {}).items()
            for name, value in change.items()
        )

    wait_until(has_changes, 30, lambda: f"not applied: {changes}")
    result = described()
    admin.close()
    return result


def days_kept(found: Mapping[Topic, Mapping[str, str]]) -> dict[str, float]:
    """Retention in days, by topic."""
    return {topic.name: int(options["retention.ms"]) / DAY_MS for topic, options in found.items()}


def test_retention_of_earlier_version_is_raised(pipeline: Pipeline) -> None:
    earlier = {ARTICLES_CLEAN: 2, ARTICLES_DLQ: 30}
    changes = {topic: {"retention.ms": days * DAY_MS, "segment.ms": 77_000} for topic, days in earlier.items()}
    before = configuration(pipeline, earlier, changes)
    assert days_kept(before) == {topic.name: days for topic, days in earlier.items()}
    assert set_up_topics(pipeline.setup_settings) == [
        f"{pipeline.name(topic.name)} (retention.ms {days * DAY_MS} -> {topic.retention_ms})"
        for topic, days in earlier.items()
    ]
    kept = {topic.name: topic.retention_ms / DAY_MS for topic in earlier}
    wait_until(
        lambda: days_kept(configuration(pipeline, earlier)) == kept, 30, lambda: f"{kept} days are not applied"
    )
    # Whatever else was set for a topic stays.
    assert {options["segment.ms"] for options in configuration(pipeline, earlier).values()} == {"77000"}
    assert set_up_topics(pipeline.setup_settings) == []


def test_retention_of_operator_stays(pipeline: Pipeline) -> None:
    """A shorter one than it should be is logged."""
    topics = (ARTICLES_CLEAN, ARTICLES_TAGGED, ARTICLES_RAW)
    for days in (1, 60):
        configuration(pipeline, topics, {topic: {"retention.ms": days * DAY_MS} for topic in topics})
        with structlog.testing.capture_logs() as logs:
            assert set_up_topics(pipeline.setup_settings) == []
        assert set(days_kept(configuration(pipeline, topics)).values()) == {days}
        warned = [entry["topic"] for entry in logs if "less than it should" in entry["event"]]
        assert warned == ([pipeline.name(ARTICLES_CLEAN.name)] if days == 1 else [])


def test_topic_with_other_partitions_is_refused(indices: Pipeline) -> None:
    name = indices.name(ARTICLES_RAW.name)
    admin = KafkaAdminClient(bootstrap_servers=indices.kafka)
    admin.create_topics([NewTopic(name, 2, 1)])
    admin.close()
    indices.has_topics = True  # deleted at the end
    with pytest.raises(ValueError, match="has 2 partitions, not 6"):
        set_up_topics(indices.setup_settings)


def test_raw_record_has_broker_time(pipeline: Pipeline) -> None:
    """Otherwise retention would delete a record dated 2019 at once, and one dated 2099 could never be corrected."""
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
