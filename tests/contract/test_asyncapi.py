from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from schemas.dead_letter import REPLAYED, dead_letter_headers
from schemas.export import dead_letter_headers_schema, exported
from schemas.topics import ARTICLES_DLQ, TOPICS, Topic

ASYNCAPI = json.loads(exported()["asyncapi.json"])

SPECIFICATION = "@asyncapi/specs@6.11.1"
SHA512 = "A3WBLqAKGoJ2+6FWFtpjBlCQ1oFCcs4GxF7zsIGvNqp/klGUHjlA3aAcZ9XMMpLGE8zPeYDz2x9FmO6DSuKraQ=="
"""Of the package's tarball, in base64 as npm writes it."""

META_SCHEMA = "package/schemas/3.1.0-without-$id.json"


@pytest.fixture(scope="session")
def specification(tmp_path_factory: pytest.TempPathFactory) -> Draft7Validator:
    """The AsyncAPI project's own JSON Schema of AsyncAPI 3.1.0; too large and too foreign to keep a copy here."""
    tarball = _cache_folder() / "asyncapi" / "asyncapi-specs-6.11.1.tgz"
    if not tarball.is_file() or _sha512(tarball) != SHA512:
        packed = _pack(tmp_path_factory.mktemp("npm"))
        assert _sha512(packed) == SHA512, f"npm gave another {SPECIFICATION} than the pinned one"
        tarball.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: another test run may read it at this moment.
        partial = tarball.with_suffix(f".{os.getpid()}")
        shutil.copyfile(packed, partial)
        partial.replace(tarball)
    with tarfile.open(tarball) as package:
        member = package.extractfile(META_SCHEMA)
        assert member is not None
        return Draft7Validator(json.load(member))


def _cache_folder() -> Path:
    if own := os.environ.get("NEWSFLOW_CACHE_DIR"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "newsflow"


def _pack(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        _unavailable("npm is not installed here")
    # In a folder of its own, so that no package.json or .npmrc around it has a say.
    command = [npm, "pack", SPECIFICATION, "--ignore-scripts", "--loglevel=error", "--fetch-retries=1"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        _unavailable(f"npm pack {SPECIFICATION} took more than two minutes")
    if done.returncode != 0:
        _unavailable(f"npm pack {SPECIFICATION} failed: {done.stderr.strip()[-300:]}")
    return next(folder.glob("*.tgz"))


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"AsyncAPI cannot be checked: {reason}")
    pytest.skip(f"AsyncAPI cannot be checked: {reason}")


def _sha512(file: Path) -> str:
    return base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()


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
    optional = set() if null else {"x-dlq-null"}
    assert {name for name in headers if name.startswith("x-dlq-")} == documented - optional


def test_header_schema_rejects_what_is_no_dead_letter() -> None:
    headers = Draft202012Validator(dead_letter_headers_schema())
    complete = _dead_letter(null=False)
    for name in complete.keys() - {"trace"}:
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
    )
    return {name: value.decode() for name, value in made}


def test_marker_of_a_replay_is_the_one_that_is_written() -> None:
    marker = ASYNCAPI["channels"][ARTICLES_DLQ.name]["messages"]["Replayed"]
    assert marker["headers"]["required"] == [REPLAYED]
