from __future__ import annotations

import copy
import json
import os
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from schemas.dead_letter import (
    FIRST_TIME,
    HEADERS_CUT,
    PURGED,
    REPLAYED,
    TIMESTAMP,
    dead_letter_headers,
)
from schemas.export import dead_letter_headers_schema, exported
from schemas.topics import ARTICLES_DLQ, TOPICS, Topic
from tests.fetch import is_fetched, tarball

ASYNCAPI = json.loads(exported()["asyncapi.json"])

META_SCHEMA = "package/schemas/3.1.0-without-$id.json"


@pytest.fixture(scope="session")
def specification() -> Draft7Validator:
    """The AsyncAPI project's own JSON Schema of AsyncAPI 3.1.0, as `python -m tests.fetch` left it in the cache."""
    if not is_fetched():
        reason = "AsyncAPI cannot be checked: its specification was not fetched, which takes npm"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with tarfile.open(tarball()) as package:
        member = package.extractfile(META_SCHEMA)
        assert member is not None
        return Draft7Validator(json.load(member))


def test_asyncapi_is_valid(specification: Draft7Validator) -> None:
    specification.validate(ASYNCAPI)


def test_asyncapi_is_valid_with_the_records_in_their_places(specification: Draft7Validator) -> None:
    whole = copy.deepcopy(ASYNCAPI)
    for channel in whole["channels"].values():
        for message in channel["messages"].values():
            if file := message["payload"].pop("$ref", None):
                message["payload"] |= json.loads(exported()[file.removeprefix("./")])
    assert "$ref" not in whole["channels"]["articles-raw"]["messages"]["RawArticle"]["payload"]
    specification.validate(whole)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["channels", "articles-raw", "adress"], "articles-raw"),
        (["channels", "articles-raw", "bindings", "kafka", "partitions"], 0),
        (["channels", "articles-raw", "messages", "RawArticle", "bindings", "kafka", "key"], "id"),
        (["operations", "cleaner-receives-articles-raw", "action"], "reads"),
    ],
    ids=lambda part: ".".join(part) if isinstance(part, list) else repr(part),
)
def test_the_specification_finds_what_is_wrong(
    specification: Draft7Validator, place: list[str], value: object
) -> None:
    broken = copy.deepcopy(ASYNCAPI)
    inner = broken
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    assert not specification.is_valid(broken)


def test_every_reference_leads_somewhere() -> None:
    found = list(_references(ASYNCAPI))
    assert found
    for reference in found:
        if reference.startswith("./"):
            assert reference.removeprefix("./") in exported()
        else:
            target = ASYNCAPI
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_channel_says_what_the_topic_says(topic: Topic) -> None:
    channel = ASYNCAPI["channels"][topic.name]
    kafka = channel["bindings"]["kafka"]
    assert channel["address"] == kafka["topic"] == topic.name
    assert channel["summary"] == topic.summary
    assert kafka["partitions"] == topic.partitions
    assert kafka["topicConfiguration"]["retention.ms"] == topic.retention_ms
    assert kafka["topicConfiguration"]["max.message.bytes"] == topic.max_bytes


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_operations_name_all_who_write_and_read_the_topic(topic: Topic) -> None:
    for action, services in (("send", topic.producers), ("receive", topic.consumers)):
        titles = {
            operation["title"]
            for operation in ASYNCAPI["operations"].values()
            if operation["action"] == action and operation["channel"] == {"$ref": f"#/channels/{topic.name}"}
        }
        assert titles == {f"{service} {action}s {topic.name}" for service in services}


def test_every_message_documents_its_key() -> None:
    for channel in ASYNCAPI["channels"].values():
        for message in channel["messages"].values():
            assert message["bindings"]["kafka"]["key"]["description"]


def test_no_server_is_named() -> None:
    assert "servers" not in ASYNCAPI


@pytest.mark.parametrize("null", [False, True])
def test_headers_of_a_dead_letter_fit_their_schema(null: bool) -> None:
    headers = _dead_letter(null=null)
    Draft202012Validator(dead_letter_headers_schema()).validate(headers)
    documented = set(dead_letter_headers_schema()["properties"])
    optional = {HEADERS_CUT} | (set() if null else {"x-dlq-null"})
    assert {name for name in headers if name.startswith("x-dlq-")} == documented - optional


def test_header_schema_rejects_what_is_no_dead_letter() -> None:
    headers = Draft202012Validator(dead_letter_headers_schema())
    complete = _dead_letter(null=False)
    for name in complete.keys() - {"trace", FIRST_TIME, TIMESTAMP}:
        assert not headers.is_valid({key: value for key, value in complete.items() if key != name}), name
    assert not headers.is_valid(complete | {"x-dlq-offset": "first"})


def _dead_letter(*, null: bool) -> dict[str, str]:
    made = dead_letter_headers(
        topic="articles-raw",
        partition=3,
        offset=17,
        stage="cleaner",
        reason="invalid_json",
        error="Invalid JSON: EOF while parsing a string at line 1 column 63",
        headers=[("trace", b"abc")],
        null=null,
        timestamp=1_767_225_600_000,
    )
    return {name: value.decode() for name, value in made}


@pytest.mark.parametrize(("name", "header"), [("Replayed", REPLAYED), ("Purged", PURGED)])
def test_marker_is_the_one_that_is_written(name: str, header: str) -> None:
    marker = ASYNCAPI["channels"][ARTICLES_DLQ.name]["messages"][name]
    assert marker["headers"]["required"] == [header]
