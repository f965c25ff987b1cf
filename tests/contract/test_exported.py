from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.export import DATE_FIRST, DOCUMENT, EXPORTED, export, exported, schema_file
from schemas.reading import Refused, read_record
from schemas.topics import ARTICLES_RAW, ARTICLES_TAGGED
from services.indexer.core import to_document
from tests.contract.examples import (
    RECORD_TOPICS,
    invalid_examples,
    valid_examples,
)

JSON_SCHEMAS = [name for name in exported() if name.endswith(".schema.json")]

NOT_FOR_JSON_SCHEMA = {
    "articles-raw/duplicate-key",
    "articles-raw/duplicate-key-in-extra",
    "articles-raw/lone-surrogate",
    "articles-raw/fraction-revision",  # 12.0 is an integer to JSON Schema
    "articles-raw/day-that-is-not",
}
"""Invalid examples that their JSON Schema cannot tell; its description says so."""

NO_JSON = {
    "articles-raw/byte-order-mark",
    "articles-raw/cut-off",
    "articles-raw/no-bytes",
    "articles-raw/not-utf-8",
    "articles-raw/two-records",
}
"""Invalid examples that no JSON parser reads, so that no schema gets to see them."""


@cache
def schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(exported()[schema_file(name)])
    return schema


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(name))


RAW = validator(ARTICLES_RAW.name)

TEXTS = [None, "", " ", "x", "two words", "Ωμέγα", 7, 1.5, True, [], ["x"], {}, {"a": "b"}]
FIELDS: dict[str, list[Any]] = {
    "publisher": [*TEXTS, "a\x00b", "a\nb", "\x7f"],
    "body": TEXTS,
    "html": TEXTS,
    "id": [*TEXTS, "a\tb"],
    "url": [*TEXTS, "https://a.example", "HTTPS://a.example", "http://", "/a", "ftp://a.example"],
    "headline": TEXTS,
    "published": [*TEXTS, "2026-01-31T08:00:00Z", "2026-01-31", "31.01.2026", "2026"],
    "language": [*TEXTS, "en", "en-GB", "zh-Hant", "en_GB", "e", "abcdefghi"],
    "subjects": [*TEXTS, ["x", ""], ["x", None], ["x", "y"]],
    "producer": TEXTS,
    "revision": [*TEXTS, -1, 0, 2**63 - 1, 2**63],
    "extra": [*TEXTS, {"": "x"}, {"a": 1}, {"a": None}, {"a": {"b": "c"}}],
    "unknown": TEXTS,
}
"""Field of the open topic -> values to try in it, good ones and bad ones."""


def test_exported_files_are_what_the_models_say() -> None:
    kept = {path.name: path.read_bytes().decode() for path in EXPORTED.iterdir()}
    kept.pop("gateway.openapi.json")  # tests/unit/gateway/test_openapi.py compares it
    made = exported()
    assert kept.keys() == made.keys(), "run newsflow schema export, and delete what it no longer writes"
    changed = [name for name in made if made[name] != kept[name]]
    assert not changed, "run newsflow schema export"


def test_export_writes_the_files(tmp_path: Path) -> None:
    paths = export(tmp_path / "new" / "folder")
    assert {path.name: path.read_bytes().decode() for path in paths} == exported()


def test_every_topic_with_a_record_has_a_json_schema() -> None:
    assert set(JSON_SCHEMAS) == {schema_file(topic.name) for topic in RECORD_TOPICS} | {schema_file(DOCUMENT)}


def test_json_schemas_are_valid_themselves() -> None:
    for name in JSON_SCHEMAS:
        schema = json.loads(exported()[name])
        assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"], name
        Draft202012Validator.check_schema(schema)
        assert schema["title"], name
        assert schema["description"], name


def test_json_schemas_have_ids_of_their_own() -> None:
    ids = [json.loads(exported()[name])["$id"] for name in JSON_SCHEMAS]
    assert "urn:newsflow:articles-raw:v1" in ids
    assert len(set(ids)) == len(ids)


def test_every_field_of_the_open_topic_is_described() -> None:
    fields = schema_of(ARTICLES_RAW.name)["properties"]
    assert all(field.get("description") for field in fields.values())


def test_json_schemas_accept_every_valid_example() -> None:
    refused = [
        str(example)
        for example in valid_examples()
        if not validator(example.topic.name).is_valid(json.loads(example.value))
    ]
    assert refused == []


def test_json_schema_accepts_its_own_examples() -> None:
    assert schema_of(ARTICLES_RAW.name)["examples"]
    for example in schema_of(ARTICLES_RAW.name)["examples"]:
        RAW.validate(example)
        read_record(ARTICLES_RAW, json.dumps(example).encode())


def test_json_schemas_refuse_every_invalid_example_that_they_can_tell() -> None:
    unreadable, accepted = set(), set()
    for example in invalid_examples():
        try:
            instance = json.loads(example.value.decode())
        except ValueError:
            unreadable.add(str(example))
            continue
        if validator(example.topic.name).is_valid(instance):
            accepted.add(str(example))
    assert unreadable == NO_JSON
    assert accepted == NOT_FOR_JSON_SCHEMA


def test_exceptions_are_examples_that_there_are() -> None:
    assert {str(example) for example in invalid_examples()} >= NOT_FOR_JSON_SCHEMA | NO_JSON


def test_document_of_every_tagged_example_fits_its_json_schema() -> None:
    documents = validator(DOCUMENT)
    for example in valid_examples():
        if example.topic is ARTICLES_TAGGED:
            article = read_record(example.topic, example.value)
            document = to_document(article, datetime(2026, 1, 31, 9, tzinfo=UTC))
            documents.validate(document.model_dump(mode="json", by_alias=True, exclude_none=True))


@given(st.datetimes(timezones=st.sampled_from([None, UTC])), st.sampled_from([" ", "T"]))
def test_json_schema_takes_any_iso_8601_time(time: datetime, separator: str) -> None:
    record = {"publisher": "harbour-post.example", "body": "x", "published": time.isoformat(separator)}
    assert RAW.is_valid(record)
    read_record(ARTICLES_RAW, json.dumps(record).encode())


@pytest.mark.parametrize("text", ["20260131", "2026-W05-6", "2026W056T0800", "20260131T080000Z", " 2026-01-31 "])
def test_json_schema_takes_the_rarer_forms_of_iso_8601(text: str) -> None:
    record = {"publisher": "harbour-post.example", "body": "x", "published": text}
    assert RAW.is_valid(record), DATE_FIRST
    read_record(ARTICLES_RAW, json.dumps(record).encode())


@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(pool) for name, pool in FIELDS.items()}))
def test_json_schema_and_model_take_and_refuse_the_same(record: dict[str, Any]) -> None:
    assert RAW.is_valid(record) == _is_read(record)


def test_json_schema_and_model_judge_each_field_the_same() -> None:
    records = [
        {"publisher": "harbour-post.example", "body": "x", name: value}
        for name, pool in FIELDS.items()
        for value in pool
    ]
    assert [record for record in records if RAW.is_valid(record) != _is_read(record)] == []


def _is_read(record: dict[str, Any]) -> bool:
    try:
        read_record(ARTICLES_RAW, json.dumps(record).encode())
    except Refused:
        return False
    return True
