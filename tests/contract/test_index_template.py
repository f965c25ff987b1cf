from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from pydantic import BaseModel

import deploy
from schemas.article import Change, Location, Mention, Reason
from schemas.document import (
    INDEX_VERSION,
    ArticleDocument,
    Changes,
    DeadLetterDocument,
    Drops,
    EarlierVersion,
    RetractedDocument,
)
from schemas.story import SeenParagraph, Story
from services.cli.search import FIELDS, MAX_PREFIX_CHARACTERS, SUGGESTED, ask
from services.setup.app import set_up_index, template
from services.setup.settings import SetupSettings

FOLDER = Path(deploy.__path__[0]) / "elasticsearch"
MAPPINGS = json.loads((FOLDER / "news-mappings.json").read_bytes())
SETTINGS = json.loads((FOLDER / "news-settings.json").read_bytes())
STORIES = json.loads((FOLDER / "news-stories.json").read_bytes())
DEAD_LETTERS = json.loads((FOLDER / "news-dead-letters.json").read_bytes())
ALL = {"mappings": MAPPINGS, "settings": SETTINGS, "stories": STORIES, "dead letters": DEAD_LETTERS}

NOT_INDEXED = "not indexed"
"""An object with `enabled: false`: kept with the document, and nothing of it is searched."""

FITTING = {
    str: {"keyword", "text"},
    bool: {"boolean"},
    int: {"integer", "long"},
    float: {"float", "double"},
    datetime: {"date"},
    dict: {"flattened"},
    Location: {"geo_point"},
    Mention: {NOT_INDEXED},
    SeenParagraph: {NOT_INDEXED},
    EarlierVersion: {NOT_INDEXED},
}
"""Type in the model -> the types of Elasticsearch that hold it."""

BUILT_IN_ANALYZERS = {"english", "french", "german", "spanish"}
"""Of Elasticsearch, and of the embedded server (deploy/embedded/java)."""

SUB_FIELDS_OF_VERSION_1 = {
    "headline.keyword",
    "headline.en",
    "headline.fr",
    "body.en",
    "body.fr",
    "byline.keyword",
    "people.name.text",
    "organisations.name.text",
    "places.name.text",
}

ROOM_FOR_FIELDS = 50
"""Fields that later versions can add to an index that is there, within its limit of today."""

LUCENE_TERM_BYTES = 32_766
BYTES_OF_A_CHARACTER = 4

SHORT = {
    "id",
    "language",
    "places.country_iso_code",
    "pipeline.versions",
    "pipeline.flags",
    "pipeline.entities",
    "pipeline.quality",
    "pipeline.dedup",
    "pipeline.story_id",
    "pipeline.duplicate_of",
}
"""Keywords that hold only what our own services write."""


def mapped(properties: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted name -> mapping of each field, those of inner objects included."""
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from mapped(mapping["properties"], f"{above}{name}.")
        else:
            yield f"{above}{name}", mapping


def modelled(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, type]]:
    """Dotted name -> type of each field; a list is what it holds, as in Elasticsearch."""
    hints = typing.get_type_hints(model)
    for name, field in model.model_fields.items():
        held = _held(hints[name])
        full = f"{above}{field.alias or name}"
        if held not in FITTING and issubclass(held, BaseModel):
            yield from modelled(held, f"{full}.")
        else:
            yield full, held


def _held(hint: Any) -> type:
    inner = [each for each in typing.get_args(hint) if each not in (type(None), Ellipsis)]
    origin = typing.get_origin(hint)
    if not inner:
        assert isinstance(hint, type)
        return hint
    if origin is dict:
        assert inner == [str, str]
        return dict
    # X | None, and tuple[X, ...]
    assert len(inner) == 1, hint
    return _held(inner[0])


def sub_fields(properties: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted name -> mapping of what is made from the text of another field."""
    for name, mapping in mapped(properties, above):
        for own, made in mapping.get("fields", {}).items():
            yield f"{name}.{own}", made


PROPERTIES = MAPPINGS["template"]["mappings"]["properties"]
MAPPED = dict(mapped(PROPERTIES))
SUB_FIELDS = dict(sub_fields(PROPERTIES))
MODELLED = dict(modelled(ArticleDocument)) | dict(modelled(RetractedDocument))

OTHERS: dict[type[BaseModel], dict[str, Any]] = {
    DeadLetterDocument: DEAD_LETTERS["template"]["mappings"],
    Story: STORIES["template"]["mappings"],
}


def test_every_field_of_a_document_is_mapped_and_no_other() -> None:
    assert MODELLED.keys() == MAPPED.keys()


def test_what_is_left_of_an_article_has_the_types_that_the_article_has() -> None:
    article, left = dict(modelled(ArticleDocument)), dict(modelled(RetractedDocument))
    assert {name: left[name] for name in left.keys() & article.keys()} == {"id": str, "revision": int}


def test_fields_are_mapped_with_a_type_that_holds_them() -> None:
    unfit = {
        name: _kind(MAPPED[name]) for name, held in MODELLED.items() if _kind(MAPPED[name]) not in FITTING[held]
    }
    assert unfit == {}


@pytest.mark.parametrize("model", OTHERS)
def test_fields_of_a_dead_letter_or_story_are_mapped_with_a_type_that_holds_them(model: type[BaseModel]) -> None:
    mappings, types = dict(mapped(OTHERS[model]["properties"])), dict(modelled(model))
    assert types.keys() == mappings.keys()
    kinds = {name: _kind(mapping) for name, mapping in mappings.items()}
    assert {name: kind for name, kind in kinds.items() if kind not in FITTING[types[name]]} == {}


def _kind(mapping: dict[str, Any]) -> str:
    kind: str = NOT_INDEXED if mapping.get("enabled") is False else mapping["type"]
    return kind


def test_numbers_are_mapped_as_long_as_they_can_be() -> None:
    properties = DEAD_LETTERS["template"]["mappings"]["properties"] | PROPERTIES
    assert [properties[name]["type"] for name in ("revision", "offset", "bytes")] == ["long"] * 3


def test_the_text_of_a_dead_letter_is_no_keyword() -> None:
    """A longer one would be refused, with the dead letter that it is the text of."""
    properties = DEAD_LETTERS["template"]["mappings"]["properties"]
    assert {name: properties[name]["type"] for name in ("text", "error", "headline")} == dict.fromkeys(
        ("text", "error", "headline"), "text"
    )


def test_an_unknown_field_is_refused_everywhere() -> None:
    for name in ALL.keys() - {"settings"}:
        assert ALL[name]["template"]["mappings"]["dynamic"] == "strict", name
        assert list(_values_of("dynamic", ALL[name])) == ["strict"], name


def test_every_reason_of_a_drop_is_counted() -> None:
    assert set(Drops.model_fields) == {reason.value for reason in Reason}
    assert set(Changes.model_fields) == {change.value for change in Change}


# ---------------------------------------------------------------- versions


def test_versions_agree() -> None:
    for name, file in ALL.items():
        assert file["_meta"]["version"] == INDEX_VERSION, name
        if "mappings" in file["template"]:
            assert file["template"]["mappings"]["_meta"]["version"] == INDEX_VERSION, name


def test_it_is_written_down_since_when_each_sub_field_is_there() -> None:
    """By this `newsflow index check` knows which documents lack them."""
    since = MAPPINGS["template"]["mappings"]["_meta"]["sub_fields_since"]
    later = [name for names in since.values() for name in names]
    assert len(later) == len(set(later))
    assert set(later) == SUB_FIELDS.keys() - SUB_FIELDS_OF_VERSION_1
    assert SUB_FIELDS.keys() >= SUB_FIELDS_OF_VERSION_1
    assert all(1 < int(version) <= INDEX_VERSION for version in since)


# ---------------------------------------------------------------- analysis, highlights, suggestions


def test_every_analyzer_is_there() -> None:
    for name in ALL.keys() - {"settings"}:
        defined = set(ALL[name]["template"].get("settings", {}).get("analysis", {}).get("analyzer", {}))
        named = set(_values_of("analyzer", ALL[name]["template"]["mappings"]))
        assert named <= defined | BUILT_IN_ANALYZERS, name
        assert bool(named) == (name == "mappings"), name


def highlighted() -> set[str]:
    """All fields in which `newsflow search` marks words."""
    said: dict[str, Any] = {}

    class Client:
        def search(self, **asked: Any) -> dict[str, Any]:
            said.update(asked)
            return {"hits": {"total": {"value": 0}, "hits": []}}

    ask(typing.cast("Elasticsearch", Client()), "news-articles", "ferry", 1)
    fields = said["highlight"]["fields"]
    return set(fields) | {name for each in fields.values() for name in each["matched_fields"]}


def test_fields_that_are_highlighted_have_offsets() -> None:
    """Without them Elasticsearch refuses the search as a whole, once another of these fields has them."""
    fields = MAPPED | SUB_FIELDS
    assert [name for name in highlighted() if fields[name].get("index_options") != "offsets"] == []


def test_every_language_of_a_text_is_searched_and_highlighted() -> None:
    languages = {
        name
        for name, mapping in SUB_FIELDS.items()
        if name.split(".")[0] in ("headline", "body") and mapping["type"] == "text"
    }
    assert languages == {"headline.en", "headline.fr", "headline.de", "headline.es", "body.en", "body.fr"}
    assert languages <= {field.split("^")[0] for field in FIELDS}
    assert languages <= highlighted()


def test_what_is_suggested_has_a_completion_field_and_nothing_else_has() -> None:
    completions = {name: each for name, each in SUB_FIELDS.items() if each["type"] == "completion"}
    assert completions.keys() == set(SUGGESTED.values())
    assert not [name for name, each in MAPPED.items() if each.get("type") == "completion"]
    for each in completions.values():
        assert each["analyzer"] == "news_folded"
        assert each["max_input_length"] == MAX_PREFIX_CHARACTERS


# ---------------------------------------------------------------- limits


def test_fields_are_within_the_limit_of_the_index_and_leave_room() -> None:
    limit = SETTINGS["template"]["settings"]["mapping"]["total_fields"]["limit"]
    for properties in (PROPERTIES, *(mappings["properties"] for mappings in OTHERS.values())):
        assert _fields(properties) + ROOM_FOR_FIELDS <= limit


def test_what_producers_say_beyond_the_contract_is_one_field() -> None:
    assert MAPPED["extra"]["type"] == "flattened"
    assert MAPPED["extra"]["depth_limit"] == 2


def test_objects_of_ecs_are_no_plain_texts() -> None:
    assert MAPPED.keys() & {"source", "url", "entity"} == set()


def test_no_keyword_is_longer_than_lucene_takes() -> None:
    keywords = MAPPED | dict(mapped(DEAD_LETTERS["template"]["mappings"]["properties"])) | SUB_FIELDS
    for name, mapping in keywords.items():
        if mapping.get("type") in ("keyword", "flattened") and name not in SHORT:
            longest = mapping.get("ignore_above")
            assert longest, f"{name}: a longer one would be refused with its whole document"
            assert longest * BYTES_OF_A_CHARACTER <= LUCENE_TERM_BYTES, name


# ---------------------------------------------------------------- what set-up sends


class Client:
    """Stands for the Elasticsearch client: keeps the templates that it is sent; everything else is there."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.cluster = self.indices = self

    def put_component_template(self, **sent: Any) -> None:
        self.components[sent.pop("name")] = sent

    def put_index_template(self, **sent: Any) -> None:
        self.templates[sent.pop("name")] = sent

    def exists_alias(self, **_: Any) -> bool:
        return True

    def get_alias(self, **_: Any) -> dict[str, Any]:
        return {}


def test_what_set_up_sends_is_what_is_shipped() -> None:
    client = Client()
    settings = SetupSettings(
        kafka_bootstrap_servers="127.0.0.1:1", elasticsearch_url="http://127.0.0.1:1", newsflow_prefix="night-"
    )
    set_up_index(typing.cast("Elasticsearch", client), settings)
    files = {f"night-{file.stem}": json.loads(file.read_bytes()) for file in FOLDER.glob("*.json")}
    assert client.components == {
        name: {"template": each["template"], "meta": each["_meta"]} for name, each in files.items()
    }
    assert {name: each["index_patterns"] for name, each in client.templates.items()} == {
        name: [f"{name}-v*"] for name in ("night-news-articles", "night-news-stories", "night-news-dead-letters")
    }
    composed = [name for each in client.templates.values() for name in each["composed_of"]]
    assert sorted(composed) == sorted(files)


def test_what_set_up_sends_is_read_from_the_file_each_time() -> None:
    template("news-mappings")["template"].clear()
    assert template("news-mappings")["template"] == MAPPINGS["template"]


def _values_of(key: str, part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        for name, inner in part.items():
            if name == key and not isinstance(inner, dict):
                yield inner
            yield from _values_of(key, inner)


def _fields(properties: dict[str, Any]) -> int:
    return sum(
        1 + _fields(mapping.get("properties", {})) + _fields(mapping.get("fields", {}))
        for mapping in properties.values()
    )
