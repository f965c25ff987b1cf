"""Set-up: what Kafka and Elasticsearch must hold before the first article. Run again, it changes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar

import structlog
import tenacity
from elasticsearch import ApiError, AuthenticationException, BadRequestError, Elasticsearch
from elasticsearch import ConnectionError as ElasticsearchConnectionError
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from schemas.document import (
    DEAD_LETTERS_ALIAS,
    INDEX_ALIAS,
    NOT_RETRACTED,
    STANDBY_ALIAS,
    STORIES_ALIAS,
    first_index,
)
from schemas.topics import ARTICLES_CLEAN, ARTICLES_DLQ, DAY_MS, TOPICS, Topic
from services.runtime.logging import set_up_logging
from services.runtime.settings import load_settings
from services.setup.security import check_passwords, secure
from services.setup.settings import SetupSettings

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

RETRY_SECONDS = 0.5
"""Between two looks whether a server is there."""

RETENTION = "retention.ms"

MAPPINGS = "news-mappings"
SETTINGS = "news-settings"
"""The component templates of the articles' index."""

EARLIER_RETENTION_MS = {ARTICLES_CLEAN.name: (2 * DAY_MS,), ARTICLES_DLQ.name: (30 * DAY_MS,)}
"""Topic -> the retentions that earlier versions set, shorter than now. Any other value is an operator's own."""


def set_up(settings: SetupSettings) -> dict[str, list[str]]:
    """Create what is missing; returns the names of what was created or changed, by kind.

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
    """Create the missing topics, and bring up the retention that an earlier version set; returns their names.

    A topic with other partitions is refused: articles would change their place.
    """
    admin = _wait_for(settings, KafkaError, partial(_admin, settings))
    try:
        found = {topic["name"] for topic in admin.describe_topics()}
        missing = [topic for topic in TOPICS if settings.name(topic.name) not in found]
        if missing:
            _create(admin, [_new_topic(topic, settings) for topic in missing])
        # Asked after all are known: a topic that was created a moment ago was not among `found`.
        partitions = _wait_until_known(
            admin, {settings.name(topic.name) for topic in TOPICS}, settings.setup_wait_seconds
        )
        for topic in TOPICS:
            count = partitions[settings.name(topic.name)]
            if count != topic.partitions:
                raise ValueError(
                    f"topic {settings.name(topic.name)} has {count} partitions, not {topic.partitions}: delete it, "
                    "or set another NEWSFLOW_PREFIX"
                )
        longer = _keep_longer(admin, settings, [topic for topic in TOPICS if topic not in missing])
    finally:
        admin.close()
    return [settings.name(topic.name) for topic in missing] + longer


def _admin(settings: SetupSettings) -> KafkaAdminClient:
    # The client's own limit grows to 30 s: on a broker that has just started it would sit still that long.
    return KafkaAdminClient(bootstrap_servers=settings.servers, reconnect_backoff_max_ms=500)


def _create(admin: KafkaAdminClient, topics: Sequence[NewTopic]) -> None:
    """Create the topics in one request; those that another set-up created at the same moment are there too."""
    answer = admin.create_topics(topics, raise_errors=False)
    for topic in answer["topics"]:
        error = for_code(topic["error_code"])
        if error not in (NoError, TopicAlreadyExistsError):
            raise error(f"{topic['name']}: {topic['error_message']}")


def _keep_longer(admin: KafkaAdminClient, settings: SetupSettings, topics: Sequence[Topic]) -> list[str]:
    """Set the retention where it is one that an earlier version set, and say so; an operator's own stays."""
    older = [topic for topic in topics if topic.name in EARLIER_RETENTION_MS]
    if not older:
        return []
    asked = [ConfigResource(ConfigResourceType.TOPIC, settings.name(topic.name)) for topic in older]
    found = admin.describe_configs(asked, config_filter="all")["topic"]
    changed = []
    for topic in older:
        name = settings.name(topic.name)
        now = int(found[name][RETENTION]["value"])
        if now not in EARLIER_RETENTION_MS[topic.name]:
            if _is_longer(topic.retention_ms, now):
                log.warning("a topic keeps records for less than it should", topic=name, retention_ms=now)
            continue
        wanted = ConfigResource(ConfigResourceType.TOPIC, name, {RETENTION: str(topic.retention_ms)})
        # Of one setting alone: kafka-python would else have to send all that were ever set.
        said = admin.alter_configs([wanted], incremental=True)["topic"][name]
        if said != "OK":
            raise ValueError(f"Kafka does not set {RETENTION} of {name} to {topic.retention_ms}: {said}")
        changed.append(f"{name} ({RETENTION} {now} -> {topic.retention_ms})")
    return changed


def _is_longer(one: int, other: int) -> bool:
    """Of two retentions in milliseconds, where -1 is for good."""
    return other != -1 and (one == -1 or one > other)


def _new_topic(topic: Topic, settings: SetupSettings) -> NewTopic:
    return NewTopic(
        name=settings.name(topic.name),
        num_partitions=topic.partitions,
        replication_factor=settings.topic_replication_factor,
        topic_configs={
            RETENTION: str(topic.retention_ms),
            "max.message.bytes": str(topic.max_bytes),
            "message.timestamp.type": topic.timestamp_type,
            "cleanup.policy": "compact" if topic.compacted else "delete",
        },
    )


def _wait_until_known(admin: KafkaAdminClient, names: set[str], seconds: float) -> dict[str, int]:
    """Returns the number of partitions of each topic; one just created takes a moment until clients see it."""
    end = time.monotonic() + seconds
    while True:
        known = {
            topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics() if topic["partitions"]
        }
        if names <= known.keys():
            return known
        if time.monotonic() > end:
            raise TimeoutError(f"Kafka does not know the topics {sorted(names - known.keys())} after {seconds:g} s")
        time.sleep(0.1)


def set_up_index(client: Elasticsearch, settings: SetupSettings) -> list[str]:
    """Put the templates, and create the first indices with their aliases; what is there takes what came since.

    Returns the names of what was created or changed. A field that is mapped otherwise is left so and logged, with
    what to do; all other new fields come in, so that the index refuses no document for them.
    """
    return (
        _set_up_index(client, settings, INDEX_ALIAS, (SETTINGS, MAPPINGS), NOT_RETRACTED)
        + _set_up_standby(client, settings)
        + _set_up_index(client, settings, STORIES_ALIAS, ("news-stories",))
        + _set_up_index(client, settings, DEAD_LETTERS_ALIAS, ("news-dead-letters",))
    )


def _set_up_index(
    client: Elasticsearch,
    settings: SetupSettings,
    plain: str,
    templates: tuple[str, ...],
    hidden: dict[str, Any] | None = None,
) -> list[str]:
    """The names of what was created or changed. The last of the templates holds the mappings; `hidden` is the
    filter of the alias.
    """
    alias = settings.name(plain)
    for part in templates:
        client.cluster.put_component_template(name=settings.name(part), **template(part))
    client.indices.put_index_template(
        name=alias,
        index_patterns=[f"{alias}-v*"],
        composed_of=[settings.name(part) for part in templates],
        # Above the templates that Elasticsearch brings along (100-200).
        priority=300,
    )
    changed = []
    if not client.indices.exists_alias(name=alias):
        changed.append(_make_index(client, settings, alias, hidden))
    for index, stands in client.indices.get_alias(name=alias).items():
        if index not in changed and _add_new_fields(client, index, templates[-1]):
            changed.append(f"{index} (new fields)")
        # After the fields: the filter names one of them.
        if hidden and _add_filter(client, alias, index, stands["aliases"][alias], hidden):
            changed.append(f"{alias} (filter)")
    return changed


def _set_up_standby(client: Elasticsearch, settings: SetupSettings) -> list[str]:
    """The index that takes every write too, where there is one, must take the new fields as well."""
    alias = settings.name(STANDBY_ALIAS)
    if not client.indices.exists_alias(name=alias):
        return []
    indices = client.indices.get_alias(name=alias)
    return [f"{index} (new fields)" for index in indices if _add_new_fields(client, index, MAPPINGS)]


def _make_index(client: Elasticsearch, settings: SetupSettings, alias: str, hidden: dict[str, Any] | None) -> str:
    """Create the first index with its alias, or give the alias to the one index that has lost it."""
    own: dict[str, Any] = {"is_write_index": True} | ({"filter": hidden} if hidden else {})
    there = _without_alias(client, settings, alias)
    index = there or first_index(alias)
    if there is None:
        try:
            client.indices.create(index=index, aliases={alias: own})
        except BadRequestError as error:  # another set-up at the same moment
            if error.error != "resource_already_exists_exception":
                raise
            client.indices.put_alias(index=index, name=alias, **own)
    else:
        client.indices.put_alias(index=index, name=alias, **own)
    client.cluster.health(index=index, wait_for_status="yellow", timeout="30s")
    return index


def _without_alias(client: Elasticsearch, settings: SetupSettings, alias: str) -> str | None:
    """The index of this alias, if one is there; raises `ValueError` where it could be any of several."""
    found = client.indices.get(index=f"{alias}-v*", features=["aliases"])
    standby = settings.name(STANDBY_ALIAS)
    names = sorted(index for index, each in found.items() if standby not in each["aliases"])
    if len(names) > 1:
        raise ValueError(
            f"the alias {alias} is not there, and {', '.join(names)} are: put it on the one that is right "
            "(POST /_aliases), and delete what is not needed"
        )
    return names[0] if names else None


def _add_new_fields(client: Elasticsearch, index: str, name: str) -> bool:
    """Whether the index lacked fields of this template; with them it refuses no document.

    Its `_meta` stays: it says by which version the index was made (services/setup/comparison.py).
    """
    before = client.indices.get_mapping(index=index)
    refused = _put_fields(client, index, template(name)["template"]["mappings"]["properties"])
    for reason in refused:
        log.warning(
            "a field of the index cannot be as it is now, and stays as it was: articles that do not fit it become "
            "dead letters; newsflow index migrate makes an index of this version",
            index=index,
            reason=reason,
        )
    return bool(client.indices.get_mapping(index=index) != before)


def _put_fields(
    client: Elasticsearch, index: str, fields: dict[str, Any], above: tuple[str, ...] = ()
) -> list[str]:
    """Add these fields of the object `above`; where one is mapped otherwise, all the others. Returns why."""
    properties = fields
    for name in reversed(above):
        properties = {name: {"properties": properties}}
    try:
        client.indices.put_mapping(index=index, properties=properties)
    except BadRequestError as error:
        if len(fields) > 1:
            # Elasticsearch takes all or nothing.
            return [each for name, one in fields.items() for each in _put_fields(client, index, {name: one}, above)]
        (name, field), *_ = fields.items()
        if "properties" in field and len(field) == 1:
            return _put_fields(client, index, field["properties"], (*above, name))
        return [_reason(error)]
    return []


def _add_filter(
    client: Elasticsearch, alias: str, index: str, stands: dict[str, Any], hidden: dict[str, Any]
) -> bool:
    """Whether the alias had no filter and got this one. Else it stays as it is: a user's own is the user's."""
    if "filter" in stands:
        if stands["filter"] != hidden:
            log.warning("the alias has another filter, and keeps it", alias=alias, index=index, ours=hidden)
        return False
    client.indices.update_aliases(actions=[{"add": {"index": index, "alias": alias, **stands, "filter": hidden}}])
    return True


def _reason(error: BadRequestError) -> str:
    return str(error.info["error"]["reason"] if isinstance(error.info, dict) else error.message)


def template(name: str) -> dict[str, Any]:
    """The shipped component template of this name, as it is sent to Elasticsearch."""
    text = (files("deploy") / "elasticsearch" / f"{name}.json").read_text(encoding="utf-8")
    shipped: dict[str, Any] = json.loads(text)
    return {"template": shipped["template"], "meta": shipped["_meta"]}


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
        wait=tenacity.wait_fixed(RETRY_SECONDS),
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
