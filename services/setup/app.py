"""Set-up: what Kafka and Elasticsearch must hold before the first article. Run again, it changes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any, TypeVar

import structlog
import tenacity
from elasticsearch import ApiError, AuthenticationException, BadRequestError, Elasticsearch
from elasticsearch import ConnectionError as ElasticsearchConnectionError
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.document import INDEX_ALIAS, STORIES_ALIAS, first_index
from schemas.topics import TOPICS, Topic
from services.runtime.logging import set_up_logging
from services.runtime.settings import load_settings
from services.setup.security import check_passwords, secure
from services.setup.settings import SetupSettings

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")


def set_up(settings: SetupSettings) -> dict[str, list[str]]:
    """Create what is missing; returns the names of what was created, by kind.

    Raises the client's own error when a server does not answer within `setup_wait_seconds`, and `ValueError`
    when what is there already does not fit, or a password is refused.
    """
    check_passwords(settings)
    created = {"topics": set_up_topics(settings)}
    with settings.connect(request_timeout=30) as client:
        _wait_for_elasticsearch(client, settings)
        if settings.elastic_password:
            created |= secure(client, settings)
        created["indices"] = set_up_index(client, settings)
    return created


def set_up_topics(settings: SetupSettings) -> list[str]:
    """Create the missing topics. One with other partitions is refused: articles would change their place."""
    admin = _wait_for(settings, KafkaError, lambda: KafkaAdminClient(bootstrap_servers=settings.servers))
    try:
        found = {topic["name"]: topic for topic in admin.describe_topics()}
        missing = [topic for topic in TOPICS if settings.name(topic.name) not in found]
        for topic in missing:
            try:
                admin.create_topics([_new_topic(topic, settings)])
            except TopicAlreadyExistsError:  # another set-up at the same moment
                continue
        for topic in TOPICS:
            there = found.get(settings.name(topic.name))
            if there and len(there["partitions"]) != topic.partitions:
                raise ValueError(
                    f"topic {settings.name(topic.name)} has {len(there['partitions'])} partitions, not "
                    f"{topic.partitions}: delete it, or set another NEWSFLOW_PREFIX"
                )
        _wait_until_known(admin, {settings.name(topic.name) for topic in TOPICS}, settings.setup_wait_seconds)
    finally:
        admin.close()
    return [settings.name(topic.name) for topic in missing]


def _new_topic(topic: Topic, settings: SetupSettings) -> NewTopic:
    return NewTopic(
        name=settings.name(topic.name),
        num_partitions=topic.partitions,
        replication_factor=settings.topic_replication_factor,
        topic_configs={
            "retention.ms": str(topic.retention_ms),
            "max.message.bytes": str(topic.max_bytes),
            "message.timestamp.type": topic.timestamp_type,
            "cleanup.policy": "compact" if topic.compacted else "delete",
        },
    )


def _wait_until_known(admin: KafkaAdminClient, names: set[str], seconds: float) -> None:
    """A topic just created takes a moment until every client is told of it with its leaders."""
    end = time.monotonic() + seconds
    while True:
        known = {topic["name"] for topic in admin.describe_topics() if topic["partitions"]}
        if names <= known:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"Kafka does not know the topics {sorted(names - known)} after {seconds:g} s")
        time.sleep(0.1)


def set_up_index(client: Elasticsearch, settings: SetupSettings) -> list[str]:
    """Put the templates, and create the first indices with their aliases; one that is there takes new fields."""
    articles = _set_up_index(client, settings, INDEX_ALIAS, ("news-settings", "news-mappings"))
    return articles + _set_up_index(client, settings, STORIES_ALIAS, ("news-stories",))


def _set_up_index(
    client: Elasticsearch, settings: SetupSettings, plain: str, templates: tuple[str, ...]
) -> list[str]:
    """The names of what was created. The last of the templates holds the mappings."""
    alias = settings.name(plain)
    parts = [settings.name(part) for part in templates]
    for part in parts:
        client.cluster.put_component_template(name=part, **_template(part.removeprefix(settings.newsflow_prefix)))
    client.indices.put_index_template(
        name=alias,
        index_patterns=[f"{alias}-v*"],
        composed_of=parts,
        # Above the templates that Elasticsearch brings along (100-200).
        priority=300,
    )
    if client.indices.exists_alias(name=alias):
        _add_new_fields(client, alias, templates[-1])
        return []
    index = first_index(alias)
    try:
        client.indices.create(index=index, aliases={alias: {"is_write_index": True}})
    except BadRequestError as error:
        if error.error != "resource_already_exists_exception":
            raise
        client.indices.put_alias(index=index, name=alias, is_write_index=True)
    client.cluster.health(index=index, wait_for_status="yellow", timeout="30s")
    return [index]


def _add_new_fields(client: Elasticsearch, alias: str, template: str) -> None:
    """An index made by an older version takes the fields that came since; with them it refuses no document."""
    mappings = _template(template)["template"]["mappings"]
    try:
        client.indices.put_mapping(index=alias, properties=mappings["properties"])
    except BadRequestError as error:
        raise ValueError(
            f"the index behind {alias} has a field that is mapped otherwise now ({_reason(error)}): set another "
            "NEWSFLOW_PREFIX, or delete the index and send its articles again"
        ) from None


def _reason(error: BadRequestError) -> str:
    return str(error.info["error"]["reason"] if isinstance(error.info, dict) else error.message)


def _template(name: str) -> dict[str, Any]:
    text = (files("deploy") / "elasticsearch" / f"{name}.json").read_text(encoding="utf-8")
    template: dict[str, Any] = json.loads(text)
    return {"template": template["template"], "meta": template["_meta"]}


def _wait_for_elasticsearch(client: Elasticsearch, settings: SetupSettings) -> None:
    try:
        _wait_for(settings, (ElasticsearchConnectionError, ApiError), client.info)
    except AuthenticationException:
        raise ValueError(
            "Elasticsearch refuses the user elastic: ELASTIC_PASSWORD must be the password that its data knows"
            if settings.elastic_password
            else "Elasticsearch wants a password or a key: set ELASTIC_PASSWORD, or ELASTICSEARCH_API_KEY(_FILE)"
        ) from None


def _wait_for(
    settings: SetupSettings,
    errors: type[Exception] | tuple[type[Exception], ...],
    ask: Callable[[], Answer],
) -> Answer:
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(errors),
        wait=tenacity.wait_fixed(1),
        stop=tenacity.stop_after_delay(settings.setup_wait_seconds),
        before_sleep=lambda state: log.info(
            "waiting", error=str(state.outcome.exception() if state.outcome else "")
        ),
        reraise=True,
    )
    return retry(ask)


def main() -> None:
    """Run set-up with the settings from the environment."""
    settings = load_settings(SetupSettings)
    set_up_logging(settings.log_level, settings.log_format, "setup")
    for kind, names in set_up(settings).items():
        log.info("created", kind=kind, names=names)
