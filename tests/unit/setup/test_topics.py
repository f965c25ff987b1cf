from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, PolicyViolationError, TopicAlreadyExistsError

from services.setup.app import _create

TOPICS = [NewTopic(name, 1, 1) for name in ("a", "b", "c")]


def create(*errors: type[KafkaError] | None) -> int:
    """How many requests there were; Kafka answers with these errors."""
    requests: list[list[NewTopic]] = []

    def answer(topics: list[NewTopic], raise_errors: bool) -> dict[str, Any]:
        assert not raise_errors
        requests.append(topics)
        codes = [error.errno if error else 0 for error in errors]
        return {
            "topics": [
                {"name": topic.name, "error_code": code, "error_message": "why"}
                for topic, code in zip(topics, codes, strict=True)
            ]
        }

    _create(cast("KafkaAdminClient", SimpleNamespace(create_topics=answer)), TOPICS)
    return len(requests)


def test_all_topics_are_created_in_one_request() -> None:
    assert create(None, None, None) == 1


def test_a_topic_of_another_set_up_is_there_and_hides_no_error() -> None:
    assert create(TopicAlreadyExistsError, None, TopicAlreadyExistsError) == 1
    with pytest.raises(PolicyViolationError, match="c: why"):
        create(TopicAlreadyExistsError, None, PolicyViolationError)
