from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.export import EXPORTED
from schemas.reading import read_record
from schemas.topics import ARTICLES_RAW
from services import gateway
from services.gateway.core import CONTENT_TYPES, Client, form_of, packing, read_articles
from services.gateway.openapi import FILE, export, openapi

POST = openapi()["paths"]["/v1/articles"]["post"]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema | {"components": openapi()["components"]})


def test_every_status_that_the_code_names_is_described() -> None:
    named: set[str] = set()
    for path in Path(str(gateway.__file__)).parent.glob("*.py"):
        if path.name != "openapi.py":
            named |= set(re.findall(r"HTTPStatus\.([A-Z_]+)", path.read_text()))
    statuses = {str(HTTPStatus[name].value) for name in named}
    assert statuses - POST["responses"].keys() == {"200"}, "200 is the answer of /openapi.json"
    assert "200" in openapi()["paths"]["/openapi.json"]["get"]["responses"]


@pytest.mark.parametrize("media", CONTENT_TYPES)
def test_examples_of_bodies_are_what_they_say_and_are_taken(media: str) -> None:
    described = POST["requestBody"]["content"][media]
    validator(described["schema"]).validate(described["example"])
    example = described["example"]
    value = (example if isinstance(example, str) else json.dumps(example)).encode()
    assert read_articles(value, form_of(media), packing({"content-type": media}), Client(None), 1)


def test_examples_of_answers_are_what_they_say() -> None:
    with_example = [
        each["content"]["application/json"]
        for each in POST["responses"].values()
        if "example" in each["content"]["application/json"]
    ]
    assert len(with_example) == 2
    for each in with_example:
        validator(each["schema"]).validate(each["example"])


def test_a_deletion_is_described_with_the_answers_that_it_gets() -> None:
    described = openapi()["paths"]["/v1/articles/{id}"]["delete"]
    assert POST["responses"].keys() - described["responses"].keys() == {"413", "415"}
    accepted = described["responses"]["202"]["content"]["application/json"]
    validator(accepted["schema"]).validate(accepted["example"])
    path, *proof = described["parameters"]
    validator(path["schema"]).validate(path["example"])
    assert [each["name"] for each in proof] == ["publisher", "id", "url"]


def test_the_article_is_that_of_the_contract() -> None:
    article = openapi()["components"]["schemas"]["RawArticle"]
    for example in article["examples"]:
        validator(article).validate(example)
        read_record(ARTICLES_RAW, json.dumps(example).encode())
    assert not validator(article).is_valid({"publisher": "p.example", "body": "x", "hedline": "y"})


def test_every_reference_leads_somewhere() -> None:
    for place in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(openapi()))):
        found: Any = openapi()
        for step in place.split("/"):
            found = found[step]


def test_the_exported_file_is_what_the_code_says(tmp_path: Path) -> None:
    assert (EXPORTED / FILE).read_bytes() == export(tmp_path).read_bytes(), "run services.gateway.openapi.export()"
