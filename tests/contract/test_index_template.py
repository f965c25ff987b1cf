from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import deploy
from schemas.article import Change, Location, Mention, Reason
from schemas.document import INDEX_VERSION, ArticleDocument, Changes, Drops
from schemas.story import SeenParagraph, Story

FOLDER = Path(deploy.__path__[0]) / "elasticsearch"
MAPPINGS = json.loads((FOLDER / "news-mappings.json").read_bytes())
SETTINGS = json.loads((FOLDER / "news-settings.json").read_bytes())

NOT_INDEXED = "not indexed"
"""An object with `enabled: false`: kept with the document, and nothing of it is searched."""

FITTING = {
    str: {"keyword", "text"},
    int: {"integer", "long"},
    float: {"float", "double"},
    datetime: {"date"},
    dict: {"flattened"},
    Location: {"geo_point"},
    Mention: {NOT_INDEXED},
    SeenParagraph: {NOT_INDEXED},
}
"""Type in the model -> the types of Elasticsearch that hold it."""

BUILT_IN_ANALYZERS = {"english", "french"}


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


PROPERTIES = MAPPINGS["template"]["mappings"]["properties"]
MAPPED = dict(mapped(PROPERTIES))
MODELLED = dict(modelled(ArticleDocument))


def test_every_field_of_the_document_is_mapped_and_no_other() -> None:
    assert MODELLED.keys() == MAPPED.keys()


@pytest.mark.parametrize("name", MODELLED)
def test_field_is_mapped_with_a_type_that_holds_it(name: str) -> None:
    mapping = MAPPED[name]
    kind = NOT_INDEXED if mapping.get("enabled") is False else mapping["type"]
    assert kind in FITTING[MODELLED[name]]


def test_revision_is_mapped_as_long_as_it_can_be() -> None:
    assert MAPPED["revision"]["type"] == "long"


def test_an_unknown_field_is_refused_everywhere() -> None:
    assert MAPPINGS["template"]["mappings"]["dynamic"] == "strict"
    assert list(_values_of("dynamic", MAPPINGS)) == ["strict"]


def test_every_reason_of_a_drop_is_counted() -> None:
    assert set(Drops.model_fields) == {reason.value for reason in Reason}
    assert set(Changes.model_fields) == {change.value for change in Change}


def test_every_field_of_a_story_is_mapped_and_no_other() -> None:
    stories = json.loads((FOLDER / "news-stories.json").read_bytes())["template"]["mappings"]
    assert stories["dynamic"] == "strict"
    assert stories["properties"].keys() == Story.model_fields.keys()


def test_versions_of_the_mapping_agree() -> None:
    assert MAPPINGS["template"]["mappings"]["_meta"]["version"] == INDEX_VERSION
    assert MAPPINGS["_meta"]["version"] == INDEX_VERSION


def test_every_analyzer_is_there() -> None:
    settings = [each["template"].get("settings", {}) for each in (MAPPINGS, SETTINGS)]
    defined = {name for each in settings for name in each.get("analysis", {}).get("analyzer", {})}
    named = set(_values_of("analyzer", MAPPINGS["template"]["mappings"]))
    assert named
    assert named <= defined | BUILT_IN_ANALYZERS


def test_fields_are_within_the_limit_of_the_index() -> None:
    limit = SETTINGS["template"]["settings"]["mapping"]["total_fields"]["limit"]
    assert _fields(PROPERTIES) <= limit


@pytest.mark.parametrize("name", ["source", "url", "entity"])
def test_objects_of_ecs_are_no_plain_texts(name: str) -> None:
    assert name not in MAPPED


def test_no_keyword_is_longer_than_lucene_takes() -> None:
    for name, mapping in MAPPED.items():
        if mapping.get("type") in ("keyword", "flattened") and name not in SHORT:
            longest = mapping.get("ignore_above")
            assert longest, f"{name}: a longer one would be refused with its whole document"
            assert longest * BYTES_OF_A_CHARACTER <= LUCENE_TERM_BYTES, name


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
