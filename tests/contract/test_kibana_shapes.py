"""The linter takes what Kibana 8 writes and the shipped dashboards do not have: a dashboard of such shapes."""

from __future__ import annotations

from typing import Any

from deploy.kibana.lint import Problem, lint
from deploy.kibana.shapes import encode

Json = dict[str, Any]

VIEW = "terminals"
DRILLDOWN = "b6d0a2f4-0c51-4c0e-9a57-2f1d7c3e8a90"
FILTER = "0f3c9c1e-7a44-4f0b-8d7b-51f0b7a2c6d3"
LAYER = "indexpattern-datasource-layer-"

FIELDS = {
    "arrived": "date",
    "berth": "keyword",
    "company.name": "keyword",
    "delay": "long",
    "engine.name": "constant_keyword",
    "engine.temperature": "scaled_float",
    "fare": "half_float",
    "harbour": "keyword",
    "location": "geo_point",
    "passengers": "integer",
    "ship": "keyword",
    "ticket": "ip",
    "weather": "keyword",
}
"""Field of the data view -> type; the dashboard uses each of them."""


def column(operation: str, field: str | None = None, **more: Any) -> Json:
    return {"operationType": operation, **({"sourceField": field} if field else {}), **more}


def chart(kind: str, columns: Json, visualization: Json, **state: Any) -> Json:
    layer = {"columns": columns, "columnOrder": list(columns), "incompleteColumns": {}}
    sources = {"formBased": {"layers": {"a": layer}}, "indexpattern": {"layers": {}}, "textBased": {"layers": {}}}
    return {
        "visualizationType": kind,
        "references": [{"name": f"{LAYER}a", "type": "index-pattern", "id": VIEW}],
        "state": {
            "datasourceStates": sources,
            "visualization": {"layerId": "a", **visualization},
            "filters": [],
            "internalReferences": [],
            "adHocDataViews": {},
            "query": {"language": "kuery", "query": ""},
            **state,
        },
    }


METRIC = chart(
    "lnsMetric",
    {
        "now": column(
            "last_value",
            "engine.temperature",
            params={"sortField": "arrived"},
            filter={"language": "kuery", "query": 'engine.name: "port" and not delay >= 5'},
        ),
        "most": column("static_value", references=[], params={"value": "1"}),
    },
    {"metricAccessor": "now", "maxAccessor": "most"},
)
FORMULA = chart(
    "lnsMetric",
    {
        "load": column("formula", references=["division"], params={"formula": "max(passengers) / min(fare)"}),
        "highest": column("max", "passengers"),
        "lowest": column("min", "fare"),
        "division": column("math", references=["highest", "lowest"]),
    },
    {"metricAccessor": "load"},
)
PIE = chart(
    "lnsPie",
    {
        "kind": column(
            "filters", params={"filters": [{"input": {"language": "lucene", "query": "weather:storm"}}]}
        ),
        "count": column("count", "___records___"),
    },
    {"layers": [{"layerId": "a", "primaryGroups": ["kind"], "metrics": ["count"]}]},
    filters=[{"meta": {"type": "phrase", "index": FILTER, "key": "harbour", "field": "harbour"}}],
)
OWN_VIEW = chart(
    "lnsXY",
    {
        "time": column("date_histogram", "arrived"),
        "name": column("terms", "company.name", params={"orderBy": {"type": "column", "columnId": "ships"}}),
        "ships": column("unique_count", "ship"),
    },
    {
        "legend": {},
        "preferredSeriesType": "line",
        "layers": [{"layerId": "a", "xAccessor": "time", "splitAccessor": "name", "accessors": ["ships"]}],
    },
    adHocDataViews={"mine": {"id": "mine", "title": "terminals-*", "fieldAttrs": {}}},
    internalReferences=[{"name": f"{LAYER}a", "type": "index-pattern", "id": "mine"}],
)
OWN_VIEW["references"] = []
PIE["references"].append({"name": FILTER, "type": "index-pattern", "id": VIEW})
METRIC["references"] += [
    {"name": "indexpattern-datasource-current-indexpattern", "type": "index-pattern", "id": VIEW},
]
MAP = {
    "layerListJSON": [
        {"id": "base", "type": "EMS_VECTOR_TILE", "sourceDescriptor": {"type": "EMS_TMS"}},
        {
            "id": "ships",
            "type": "GEOJSON_VECTOR",
            "sourceDescriptor": {
                "type": "ES_SEARCH",
                "geoField": "location",
                "tooltipProperties": ["ticket"],
                "indexPatternRefName": "layer_1_source_index_pattern",
            },
        },
    ],
    "references": [{"name": "layer_1_source_index_pattern", "type": "index-pattern", "id": VIEW}],
}
TABLE = {
    "columns": ["berth"],
    "sort": ["arrived", "desc"],
    "kibanaSavedObjectMeta": {
        "searchSourceJSON": {"indexRefName": "kibanaSavedObjectMeta.searchSourceJSON.index", "filter": []}
    },
    "references": [
        {"name": "kibanaSavedObjectMeta.searchSourceJSON.index", "type": "index-pattern", "id": VIEW},
        {"name": "tag-ref-harbour", "type": "tag", "id": "harbour"},
    ],
}


def dashboard() -> str:
    """The lines of an import file: the dashboard, and its data view and the targets of its links."""
    kinds = {"metric": METRIC, "formula": FORMULA, "pie": PIE, "own-view": OWN_VIEW}
    contents = [*(("lens", name, content) for name, content in kinds.items()), ("map", "map", MAP)]
    contents.append(("search", "table", TABLE))
    panels: list[Json] = [
        panel(kind, name, row, {"attributes": encoded(content)})
        for row, (kind, name, content) in enumerate(contents)
    ]
    panels[0]["embeddableConfig"]["enhancements"] = {"dynamicActions": {"events": [{"eventId": DRILLDOWN}]}}
    panels.append(panel("visualization", "note", len(panels), {"savedVis": {"type": "markdown", "params": {}}}))
    references = [
        {**reference, "name": f"{name}:{reference['name']}"}
        for _, name, content in contents
        for reference in content["references"]
    ]
    link = f"metric:drilldown:DASHBOARD_TO_DASHBOARD_DRILLDOWN:{DRILLDOWN}:dashboardId"
    references += [
        {"name": link, "type": "dashboard", "id": "other"},
        {"name": "tag-ref-harbour", "type": "tag", "id": "harbour"},
    ]
    attributes = {
        "title": "Terminals",
        "optionsJSON": "{}",
        "panelsJSON": encode(panels),
        "kibanaSavedObjectMeta": {"searchSourceJSON": encode({"query": {"language": "kuery", "query": ""}})},
    }
    items = [
        saved("dashboard", "terminals-dashboard", "8.9.0", attributes, references),
        saved("index-pattern", VIEW, "8.0.0", {"title": "terminals"}),
        saved("dashboard", "other", "8.9.0", {"title": "Other"}),
        saved("tag", "harbour", "8.0.0", {"name": "harbour"}),
    ]
    return "".join(f"{encode(item)}\n" for item in items)


def panel(kind: str, name: str, row: int, config: Json) -> Json:
    grid = {"i": name, "x": 0, "y": row, "w": 48, "h": 1}
    return {"type": kind, "panelIndex": name, "gridData": grid, "embeddableConfig": config, "version": "8.10.2"}


def saved(kind: str, identity: str, version: str, attributes: Json, references: list[Json] | None = None) -> Json:
    return {
        "type": kind,
        "id": identity,
        "attributes": attributes,
        "references": references or [],
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": version,
    }


def encoded(value: Any) -> Any:
    """The value with what stands under a key in JSON as a string, as Kibana exports it."""
    if isinstance(value, list):
        return [encoded(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    inside = {key: encoded(inner) for key, inner in value.items()}
    return {key: encode(inner) if key.endswith("JSON") else inner for key, inner in inside.items()}


def problems(fields: dict[str, str]) -> list[Problem]:
    return lint(dashboard(), {name: {"type": kind} for name, kind in fields.items()})


def test_shapes_that_kibana_writes_are_accepted() -> None:
    assert problems(FIELDS) == []


def test_fields_that_are_not_mapped_are_reported_wherever_they_are_used() -> None:
    missed = {}
    for field in FIELDS:
        found = problems({name: kind for name, kind in FIELDS.items() if name != field})
        if not found or any(problem.rule != 7 or f"the field {field}," not in problem.says for problem in found):
            missed[field] = found

    assert missed == {}
