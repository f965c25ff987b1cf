from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from deploy.kibana import build as builder
from deploy.kibana.lint import lint, other_properties, shipped_properties
from deploy.kibana.newsroom import CONTROLS, DEAD_COLUMNS, DEAD_CONTROLS, DEAD_LETTERS, DEAD_PANELS, OBJECTS, PANELS
from deploy.kibana.shapes import encode
from schemas.article import Reason
from schemas.document import DEAD_LETTERS_ALIAS, INDEX_ALIAS, STANDBY_ALIAS, DeadLetterDocument, first_index
from schemas.topics import ARTICLES_DLQ

SHIPPED = builder.TARGET.read_text(encoding="utf-8")

Json = dict[str, Any]


def test_the_shipped_file_is_what_the_builder_writes() -> None:
    assert builder.build() == SHIPPED, "run python -m deploy.kibana.build"


def test_the_builder_writes_nothing_that_the_linter_rejects(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builder, "TARGET", tmp_path / "news.ndjson")
    monkeypatch.setattr(builder, "OBJECTS", OBJECTS[1:])
    assert builder.main() == 1
    assert not (tmp_path / "news.ndjson").exists()
    assert "rule 3" in capsys.readouterr().err
    monkeypatch.setattr(builder, "OBJECTS", OBJECTS)
    assert builder.main() == 0
    assert (tmp_path / "news.ndjson").read_text(encoding="utf-8") == SHIPPED


def test_the_shipped_file_passes() -> None:
    assert lint(SHIPPED, shipped_properties(), other_properties()) == []


def test_a_data_view_shows_what_is_behind_its_alias_and_nothing_else() -> None:
    """Two indices have all articles while one is filled, and only the alias leaves out what was retracted."""
    items = [json.loads(line) for line in SHIPPED.splitlines()]
    views = [item["attributes"]["title"] for item in items if item["type"] == "index-pattern"]
    for alias, pattern in zip((INDEX_ALIAS, DEAD_LETTERS_ALIAS), views, strict=True):
        assert fnmatch(alias, pattern)
        assert not fnmatch(STANDBY_ALIAS, pattern)
        assert not fnmatch(first_index(alias), pattern)


def test_the_dashboard_shows_what_it_should() -> None:
    assert [placed.panel.title for placed in PANELS] == [
        "Articles over time by publisher",
        "Languages",
        "Top people",
        "Top organisations",
        "Top places",
        "Map of places",
        "Dropped paragraphs by reason",
        "Dead letters",
        "Stories with the most copies",
        "Names looked for",
        "Newest articles",
    ]
    assert [control.title for control in CONTROLS] == ["Publisher", "Language", "Person"]


def test_every_reason_for_a_drop_has_its_bars() -> None:
    field = "pipeline.paragraphs.dropped_by."
    assert {reason.value for reason in Reason} == {
        part.removeprefix(field) for part in SHIPPED.replace('\\"', '"').split('"') if part.startswith(field)
    }


def test_the_panel_of_dead_letters_names_their_topic_and_how_to_read_them() -> None:
    assert ARTICLES_DLQ.name in DEAD_LETTERS
    for verb in ("list", "show", "replay", "purge"):
        assert f"newsflow dlq {verb}" in DEAD_LETTERS


def test_the_panel_of_dead_letters_leads_to_their_dashboard() -> None:
    found = re.findall(r"\]\(dashboards#/view/([^)]+)\)", DEAD_LETTERS)
    assert found == [item["id"] for item in OBJECTS if item["type"] == "dashboard" and item["id"] != "newsroom"]


def test_the_dead_letters_are_shown_by_where_and_why() -> None:
    assert [placed.panel.title for placed in DEAD_PANELS] == [
        "Dead letters over time by reason",
        "By stage",
        "By reason",
        "By publisher",
        "Dead letters that wait",
    ]
    assert [control.title for control in DEAD_CONTROLS] == ["Stage", "Reason", "Publisher"]
    assert DEAD_COLUMNS == ("stage", "reason", "publisher", "error", "attempt")


def test_the_fields_of_a_dead_letter_are_those_of_its_document() -> None:
    fields = {field.alias or name for name, field in DeadLetterDocument.model_fields.items()}
    assert other_properties()["news-dead-letters"].keys() == fields


# --- Each rule is seen to fail on a broken copy -------------------------------------------------------------------


class Copy:
    """A copy of the shipped objects with their JSON strings read, to be broken."""

    def __init__(self) -> None:
        items = [json.loads(line) for line in SHIPPED.splitlines()]
        self.view, self.search, self.dashboard, self.dead_view, self.dead_search, self.dead_dashboard = items
        self.panels: list[Json] = json.loads(self.dashboard["attributes"]["panelsJSON"])
        self.group: Json = self.dashboard["attributes"]["controlGroupInput"]
        self.controls: Json = json.loads(self.group["panelsJSON"])
        self.more: list[Json] = []
        self.left_out: list[Json] = []

    def panel(self, name: str) -> Json:
        [found] = [panel for panel in self.panels if panel["panelIndex"] == name]
        return found

    def content(self, name: str) -> Json:
        content: Json = self.panel(name)["embeddableConfig"]["attributes"]
        return content

    def chart(self, name: str) -> Json:
        chart: Json = self.content(name)["state"]
        return chart

    def layer(self, name: str) -> Json:
        layer: Json = self.chart(name)["datasourceStates"]["formBased"]["layers"]["articles"]
        return layer

    def columns(self, name: str) -> Json:
        columns: Json = self.layer(name)["columns"]
        return columns

    def with_map_layer(self, **source: Any) -> None:
        base, points = json.loads(self.content("map")["layerListJSON"])
        points["sourceDescriptor"] |= source
        self.content("map")["layerListJSON"] = encode([base, points])

    def with_reference(self, name: str, target: str | None) -> None:
        """Point the dashboard's references of this name elsewhere, or take them away (None)."""
        for each in [*self.dashboard["references"]]:
            if each["name"].split(":")[-1] == name:
                if target is None:
                    self.dashboard["references"].remove(each)
                else:
                    each["id"] = target

    def text(self) -> str:
        attributes = self.dashboard["attributes"]
        if isinstance(attributes["panelsJSON"], str) and attributes["panelsJSON"].startswith("["):
            attributes["panelsJSON"] = encode(self.panels)
        self.group["panelsJSON"] = encode(self.controls)
        dead = [self.dead_view, self.dead_search, self.dead_dashboard]
        objects = [self.view, self.search, self.dashboard, *dead, *self.more]
        return "".join(f"{encode(item)}\n" for item in objects if item not in self.left_out)


Break = Callable[[Copy], object]


def remove(value: Json, key: str) -> object:
    return value.pop(key)


BROKEN: list[tuple[int, str, str, Break]] = [
    (1, "no references", "fitting references", lambda c: remove(c.search, "references")),
    (1, "no version", "fitting typeMigrationVersion", lambda c: remove(c.search, "typeMigrationVersion")),
    (1, "empty version", "'' is not a version", lambda c: c.search.update(typeMigrationVersion="")),
    (1, "version too new", "10.4.0 is newer", lambda c: c.dashboard.update(typeMigrationVersion="10.4.0")),
    (1, "tabs of another version", "10.11.0 is newer", lambda c: c.search.update(typeMigrationVersion="10.11.0")),
    (1, "version too old", "6.7.2 is older", lambda c: c.dashboard.update(typeMigrationVersion="6.7.2")),
    (1, "core too new", "8.9.0 is newer", lambda c: c.view.update(coreMigrationVersion="8.9.0")),
    (1, "unknown type", "type config is not known", lambda c: c.search.update(type="config")),
    (1, "reference without id", "without name", lambda c: c.search["references"].append({"name": "a"})),
    (2, "twice", "is there twice", lambda c: c.more.append(copy.deepcopy(c.view))),
    (3, "view not in the file", "refers to index-pattern:news-articles", lambda c: c.left_out.append(c.view)),
    (3, "session's view", "index-pattern:other", lambda c: c.search["references"][0].update(id="other")),
    (
        3,
        "map that Kibana's import would let pass",
        "refers to map:news-map",
        lambda c: c.dashboard["references"].append({"name": "map:savedObjectRef", "type": "map", "id": "news-map"}),
    ),
    (
        3,
        "panel's own reference",
        "index-pattern:other",
        lambda c: c.content("people")["references"][0].update(id="other"),
    ),
    (4, "panels", "panelsJSON is not JSON", lambda c: c.dashboard["attributes"].update(panelsJSON='{"a":')),
    (4, "layers inside a panel", "layerListJSON is not JSON", lambda c: c.content("map").update(layerListJSON="[")),
    (4, "no string", "optionsJSON is not a string", lambda c: c.dashboard["attributes"].update(optionsJSON={})),
    (4, "formats of fields", "fieldFormatMap", lambda c: c.view["attributes"].update(fieldFormatMap="{")),
    (5, "session without", "no reference kibanaSaved", lambda c: c.search["references"].clear()),
    (
        5,
        "needless in session",
        "belongs to nothing",
        lambda c: c.search["references"].append({**c.search["references"][0], "name": "more"}),
    ),
    (
        5,
        "layer of a chart",
        "no reference indexpattern-datasource-layer-articles",
        lambda c: c.dashboard["references"].remove(
            {
                "name": "people:indexpattern-datasource-layer-articles",
                "type": "index-pattern",
                "id": "news-articles",
            }
        ),
    ),
    (
        5,
        "layer that is not there",
        "indexpattern-datasource-layer-old belongs to nothing",
        lambda c: c.dashboard["references"].append(
            {"name": "people:indexpattern-datasource-layer-old", "type": "index-pattern", "id": "news-articles"}
        ),
    ),
    (
        5,
        "layer of the map",
        "no reference layer_1",
        lambda c: c.with_reference("layer_1_source_index_pattern", None),
    ),
    (
        5,
        "map's other layer",
        "no reference layer_2",
        lambda c: c.with_map_layer(indexPatternRefName="layer_2_source"),
    ),
    (
        5,
        "copy that differs",
        "does not repeat the reference kibanaSavedObjectMeta",
        lambda c: c.with_reference("kibanaSavedObjectMeta.searchSourceJSON.index", "newsroom"),
    ),
    (5, "panel that is gone", "belongs to no panel or control", lambda c: c.panels.remove(c.panel("people"))),
    (5, "control without", "no reference controlGroup_person", lambda c: c.dashboard["references"].pop()),
    (5, "control that is gone", "controlGroup_person:options", lambda c: remove(c.controls, "person")),
    (5, "control's id", "not its name", lambda c: c.controls["person"]["explicitInput"].update(id="people")),
    (
        5,
        "chart's own view",
        "brings no data view mine",
        lambda c: c.chart("people")["internalReferences"].append({"name": "a", "id": "mine"}),
    ),
    (5, "empty panel", "shows nothing", lambda c: c.panel("people").update(embeddableConfig={})),
    (5, "unknown panel", "type chart by value", lambda c: c.panel("people").update(type="chart")),
    (6, "order of columns", "columnOrder", lambda c: c.layer("people")["columnOrder"].pop()),
    (6, "column gone", "shows the column articles", lambda c: remove(c.columns("people"), "articles")),
    (
        6,
        "accessor",
        "shows the column nobody",
        lambda c: c.chart("people")["visualization"]["layers"][0].update(xAccessor="nobody"),
    ),
    (
        6,
        "slices",
        "shows the column nothing",
        lambda c: c.chart("languages")["visualization"]["layers"][0].update(primaryGroups=["nothing"]),
    ),
    (
        6,
        "layer",
        "shows the layer old",
        lambda c: c.chart("people")["visualization"]["layers"][0].update(layerId="old"),
    ),
    (
        6,
        "ordered by",
        "ordered by old",
        lambda c: c.columns("people")["name"]["params"]["orderBy"].update(columnId="old"),
    ),
    (6, "count of", "not ___records___", lambda c: c.columns("people")["articles"].update(sourceField="id")),
    (6, "no field", "name has no sourceField", lambda c: remove(c.columns("people")["name"], "sourceField")),
    (6, "computed", "computed from x", lambda c: c.columns("people")["articles"].update(references=["x"])),
    (
        6,
        "no legend",
        "draws nothing without legend",
        lambda c: remove(c.chart("people")["visualization"], "legend"),
    ),
    (6, "no layers", "has no layer", lambda c: c.chart("people")["datasourceStates"]["formBased"].clear()),
    (6, "nothing shown", "shows no column", lambda c: c.chart("people").update(visualization={})),
    (
        6,
        "form of before 8.9",
        "under indexpattern",
        lambda c: c.chart("people")["datasourceStates"].update(
            indexpattern=c.chart("people")["datasourceStates"].pop("formBased")
        ),
    ),
    (7, "chart", "field people.nmae", lambda c: c.columns("people")["name"].update(sourceField="people.nmae")),
    (
        7,
        "terms of a text",
        "type text",
        lambda c: c.columns("people")["name"].update(sourceField="people.name.text"),
    ),
    (7, "sum of a keyword", "type keyword", lambda c: c.columns("dropped")["boilerplate"].update(sourceField="id")),
    (7, "time of a number", "type long", lambda c: c.columns("over-time")["time"].update(sourceField="revision")),
    (7, "map of a keyword", "a map uses", lambda c: c.with_map_layer(geoField="places.name")),
    (7, "tooltip", "a tooltip uses the field place", lambda c: c.with_map_layer(tooltipProperties=["place"])),
    (7, "control", "a control uses", lambda c: c.controls["person"]["explicitInput"].update(fieldName="person")),
    (7, "control of a text", "type text", lambda c: c.controls["person"]["explicitInput"].update(fieldName="body")),
    (7, "columns", "a table uses the field title", lambda c: c.search["attributes"]["columns"].append("title")),
    (7, "panel's columns", "the field title", lambda c: c.content("newest")["columns"].append("title")),
    (7, "not indexed", "the field mentions", lambda c: c.content("newest")["columns"].append("mentions")),
    (7, "order", "type text", lambda c: c.search["attributes"].update(sort=[["headline", "asc"]])),
    (7, "time of the view", "type keyword", lambda c: c.view["attributes"].update(timeFieldName="id")),
    (
        7,
        "query",
        "a query uses the field publisher,",
        lambda c: c.chart("people").update(query={"language": "kuery", "query": 'a and (publisher: "x: y")'}),
    ),
    (
        7,
        "filter",
        "a filter uses the field publisher,",
        lambda c: c.chart("people")["filters"].append({"meta": {"type": "phrase", "key": "publisher"}}),
    ),
    (
        7,
        "another view's field",
        "the field headline, whose type text",
        lambda c: c.dead_search["attributes"].update(sort=[["headline", "asc"]]),
    ),
    (
        7,
        "an article's field",
        "the field byline",
        lambda c: c.dead_search["attributes"]["columns"].append("byline"),
    ),
    (7, "a dead letter's field", "the field reason", lambda c: c.search["attributes"]["columns"].append("reason")),
    (7, "panel of another view", "the field reason", lambda c: c.content("newest")["columns"].append("reason")),
    (7, "time of another view", "type keyword", lambda c: c.dead_view["attributes"].update(timeFieldName="stage")),
    (8, "too wide", "within 48 columns", lambda c: c.panel("newest")["gridData"].update(x=1)),
    (8, "no height", "within 48 columns", lambda c: c.panel("newest")["gridData"].update(h=0)),
    (8, "no place", "has no place", lambda c: remove(c.panel("newest"), "gridData")),
    (8, "one on another", "places lies on organisations", lambda c: c.panel("places")["gridData"].update(x=31)),
    (8, "one name", "called places", lambda c: c.panel("people")["gridData"].update(i="places")),
    (8, "two names", "panelIndex", lambda c: c.panel("people")["gridData"].update(i="persons")),
    (
        9,
        "old panel",
        "old kind metrics",
        lambda c: c.panel("dead-letters")["embeddableConfig"]["savedVis"].update(type="metrics"),
    ),
    (9, "visState", "visState", lambda c: c.content("newest").update(visState="{}")),
    (
        9,
        "old object",
        "is a visualization",
        lambda c: c.more.append(
            {**c.view, "type": "visualization", "attributes": {"title": "x", "visState": "{}"}, "references": []}
        ),
    ),
]


def test_broken_copies_fail_by_their_rules() -> None:
    missed = {}
    for rule, name, message, damage in BROKEN:
        broken = Copy()
        damage(broken)
        found = lint(broken.text(), shipped_properties(), other_properties())
        if not any(problem.rule == rule and message in str(problem) for problem in found):
            missed[rule, name] = found

    assert missed == {}
    assert lint(Copy().text(), shipped_properties(), other_properties()) == []


def test_all_nine_rules_are_broken() -> None:
    assert {rule for rule, *_ in BROKEN} == set(range(1, 10))


@pytest.mark.parametrize("line", ["{", "[]", "3", ""])
def test_a_line_that_is_no_object_fails(line: str) -> None:
    found = lint(f"{SHIPPED}{line}\n", shipped_properties(), other_properties())
    assert [(problem.rule, problem.where) for problem in found] == [(1, f"line {len(OBJECTS) + 1}")]


def test_a_field_that_leaves_the_template_is_missed() -> None:
    properties = shipped_properties()
    del properties["places"]["properties"]["location"]
    assert [problem.rule for problem in lint(SHIPPED, properties, other_properties())] == [7]


def test_what_lies_in_a_nested_object_cannot_be_charted() -> None:
    properties = shipped_properties()
    properties["people"]["type"] = "nested"
    assert "type nested does not fit" in str(lint(SHIPPED, properties, other_properties())[0])


def test_any_key_of_a_flattened_field_is_a_field() -> None:
    copied = Copy()
    copied.search["attributes"]["columns"] += ["extra.desk", "_id"]
    copied.columns("people")["name"]["sourceField"] = "extra.desk"
    assert lint(copied.text(), shipped_properties(), other_properties()) == []
