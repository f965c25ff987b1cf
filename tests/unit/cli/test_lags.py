from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import CoordinatorLoadInProgressError, GroupAuthorizationFailedError

from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW, TOPICS
from services.cli import kafka_admin
from services.cli.kafka_admin import lags
from services.runtime.settings import ServiceSettings

SETTINGS = ServiceSettings(kafka_bootstrap_servers="127.0.0.1:1", newsflow_prefix="p-")


class Admin:
    """Stands for Kafka's admin client: every topic has two partitions, of 10 records each from offset 4 on."""

    opened = 0
    closed = 0
    missing = ""
    committed: Mapping[str, Mapping[TopicPartition, int]] = {}
    failures: list[Exception]

    def __init__(self, **_: object) -> None:
        Admin.opened += 1

    def close(self) -> None:
        Admin.closed += 1

    def describe_topics(self, names: Sequence[str]) -> list[dict[str, Any]]:
        two = [{"partition_index": 0}, {"partition_index": 1}]
        return [{"name": name, "partitions": [] if name == self.missing else two} for name in names]

    def list_partition_offsets(self, specs: Mapping[TopicPartition, OffsetSpec]) -> dict[TopicPartition, Any]:
        return {
            each: SimpleNamespace(offset=14 if spec is OffsetSpec.LATEST else 4) for each, spec in specs.items()
        }

    def list_group_offsets(self, groups: Mapping[str, None]) -> dict[str, dict[TopicPartition, Any]]:
        if self.failures:
            raise self.failures.pop()
        found = {group: self.committed.get(group, {}) for group in groups}
        return {g: {p: SimpleNamespace(offset=o) for p, o in each.items()} for g, each in found.items()}


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> type[Admin]:
    monkeypatch.setattr(kafka_admin, "KafkaAdminClient", Admin)
    monkeypatch.setattr(kafka_admin, "KafkaConsumer", None)
    monkeypatch.setattr(kafka_admin, "RETRY_SECONDS", 0)
    for name, value in {"opened": 0, "closed": 0, "missing": "", "committed": {}, "failures": []}.items():
        monkeypatch.setattr(Admin, name, value, raising=False)
    return Admin


def test_one_client_asks_for_all_groups(admin: type[Admin]) -> None:
    found = lags(SETTINGS)
    expected = [(f"p-{topic.name}", f"p-{group}") for topic in TOPICS for group in topic.consumers]
    assert [(each.topic, each.group) for each in found] == expected
    assert (admin.opened, admin.closed) == (1, 1)


def test_a_lag_counts_from_the_commit_or_from_where_the_topic_begins(
    admin: type[Admin], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, clean = f"p-{ARTICLES_RAW.name}", f"p-{ARTICLES_CLEAN.name}"
    committed = {
        # One partition read to its end and one without a commit, which Kafka tells as -1.
        "p-cleaner": {TopicPartition(raw, 0): 14, TopicPartition(raw, 1): -1},
        # Records behind the commit were deleted; and more was committed than there is now.
        "p-deduper": {TopicPartition(clean, 0): 1, TopicPartition(clean, 1): 20},
    }
    monkeypatch.setattr(admin, "committed", committed)
    found = {(each.topic, each.group): (each.lag, each.end_offset) for each in lags(SETTINGS)}
    assert found[raw, "p-cleaner"] == (10, 28)
    assert found[clean, "p-deduper"] == (10, 28)


def test_a_missing_topic_is_named(admin: type[Admin], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "missing", "p-articles-clean")
    with pytest.raises(LookupError, match="topic p-articles-clean does not exist: newsflow setup creates it"):
        lags(SETTINGS)
    assert admin.closed == 1


def test_a_broker_that_has_just_started_is_asked_again(admin: type[Admin], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "failures", [CoordinatorLoadInProgressError(), CoordinatorLoadInProgressError()])
    assert lags(SETTINGS)
    monkeypatch.setattr(admin, "failures", [GroupAuthorizationFailedError()])
    with pytest.raises(GroupAuthorizationFailedError):
        lags(SETTINGS)
