"""Checks an import file of Kibana without a Kibana: `python -m deploy.kibana.lint [FILE]`.

Kibana's own import says little: a field that is not in the index, a chart whose column is missing and a reference
to a map that is not there all pass, and show as an empty or broken panel. These rules find them:

1. Each line is an object with type, id, attributes, references and versions; each type and version is known.
2. No object is there twice.
3. Every reference is to an object of the file.
4. Every JSON string parses.
5. What refers by name has a reference of that name, and each reference belongs to something that is there.
6. Charts are whole: their columns, layers and accessors exist, and none is of the form of before 8.9.
7. Every field is in the index template of its data view, with a type that fits its use.
8. Panels lie within the 48 columns and not on one another.
9. No visualizations of the old kind (`visState`); only text is shown by a panel of type visualization.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

Json = dict[str, Any]

KNOWN_VERSIONS = {
    "dashboard": "10.3.0",
    "index-pattern": "8.0.0",
    "lens": "8.9.0",
    "map": "8.4.0",
    "search": "10.5.0",
    "tag": "8.0.0",
    "visualization": "8.5.0",
}
"""Type -> the newest version that is written here. A Kibana refuses an object newer than it knows."""

KNOWN_CORE_VERSION = "8.8.0"
OLDEST_VERSION = "7.0.0"

COLUMNS = 48

NUMBERS = {"byte", "short", "integer", "long", "unsigned_long", "half_float", "float", "double", "scaled_float"}
DATES = {"date", "date_nanos"}
POINTS = {"geo_point", "geo_shape"}
CATEGORIES = {"keyword", "constant_keyword", "wildcard", "ip", "boolean", "version"}
SORTABLE = CATEGORIES | NUMBERS | DATES
SEARCHABLE = SORTABLE | POINTS | {"text", "match_only_text", "search_as_you_type", "flattened"}

FIT_FOR_OPERATION = {
    "date_histogram": DATES,
    "terms": SORTABLE,
    "range": NUMBERS,
    "sum": NUMBERS,
    "average": NUMBERS,
    "median": NUMBERS,
    "percentile": NUMBERS,
    "percentile_rank": NUMBERS,
    "standard_deviation": NUMBERS,
    "min": NUMBERS | DATES,
    "max": NUMBERS | DATES,
    "last_value": SORTABLE,
    "unique_count": SORTABLE,
}
FIT_FOR_CONTROL = {
    "optionsListControl": SORTABLE,
    "rangeSliderControl": NUMBERS,
}

NOT_MAPPED = {"_id", "_index", "_score", "_source"}
"""Fields that every document has."""

ACCESSORS = {
    "accessor",
    "accessors",
    "breakdownByAccessor",
    "columnId",
    "forAccessor",
    "groups",
    "maxAccessor",
    "metric",
    "metricAccessor",
    "metrics",
    "primaryGroups",
    "secondaryGroups",
    "secondaryMetricAccessor",
    "splitAccessor",
    "tagAccessor",
    "valueAccessor",
    "xAccessor",
    "yAccessor",
}
"""Keys in the state of a chart whose value is the id of a column, or a list of such."""

LAYER_REFERENCE = "indexpattern-datasource-layer-"


@dataclass(frozen=True)
class Problem:
    """A rule that does not hold, and where."""

    rule: int
    where: str
    says: str

    def __str__(self) -> str:
        return f"rule {self.rule}: {self.where}: {self.says}"


def shipped_properties() -> Json:
    """The fields of an article in Elasticsearch, as the index template maps them."""
    return _mapped("news-mappings")


def other_properties() -> dict[str, Json]:
    """The fields of what other data views show, by the id of the data view."""
    return {"news-dead-letters": _mapped("news-dead-letters")}


def _mapped(template: str) -> Json:
    text = (files("deploy") / "elasticsearch" / f"{template}.json").read_text(encoding="utf-8")
    properties: Json = json.loads(text)["template"]["mappings"]["properties"]
    return properties


def lint(
    text: str, properties: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Problem]:
    """What is wrong with the import file `text`; nothing, if every rule holds.

    `properties` are those of the index template whose documents the data views of the file show; `others` has them
    for each data view, by its id, that shows the documents of another template.
    """
    problems: list[Problem] = []
    objects: list[Json] = []
    for number, line in enumerate(text.splitlines(), start=1):
        item, found = _read(f"line {number}", line)
        problems += found
        if item is not None:
            objects.append(item)
    problems += _twice(objects)
    problems += _unresolved(objects)
    fields = Fields(dict(_fields(properties)), {view: dict(_fields(each)) for view, each in (others or {}).items()})
    for item in objects:
        name = f"{item['type']}:{item['id']}"
        attributes, found = _decoded(name, item["attributes"])
        problems += found
        problems += _shape(name, item["type"], attributes, item["references"])
        for part, shown in _parts(item, attributes, fields):
            problems += _wrong_fields(name, part, shown)
        problems += _old_kinds(name, item["type"], attributes)
    return problems


# --- 1, 2, 3, 4: the file -----------------------------------------------------------------------------------------

KEYS = {
    "type": str,
    "id": str,
    "attributes": dict,
    "references": list,
    "coreMigrationVersion": str,
    "typeMigrationVersion": str,
}


def _read(where: str, line: str) -> tuple[Json | None, list[Problem]]:
    try:
        item = json.loads(line)
    except ValueError as error:
        return None, [Problem(1, where, f"is not JSON: {error}")]
    if not isinstance(item, dict):
        return None, [Problem(1, where, "is not an object")]
    wrong = [key for key, kind in KEYS.items() if not isinstance(item.get(key), kind)]
    if wrong:
        return None, [Problem(1, where, f"has no fitting {', '.join(wrong)}")]
    if any(not isinstance(each, dict) or not {"name", "type", "id"} <= each.keys() for each in item["references"]):
        return None, [Problem(1, where, "has a reference without name, type or id")]
    return item, list(_wrong_versions(item))


def _wrong_versions(item: Json) -> Iterator[Problem]:
    where = f"{item['type']}:{item['id']}"
    newest = KNOWN_VERSIONS.get(item["type"])
    if newest is None:
        yield Problem(1, where, f"the type {item['type']} is not known")
        return
    for key, known in (("coreMigrationVersion", KNOWN_CORE_VERSION), ("typeMigrationVersion", newest)):
        version = _version(item[key])
        if version is None:
            yield Problem(1, where, f"{key} {item[key]!r} is not a version")
        elif version > (_version(known) or ()):
            yield Problem(1, where, f"{key} {item[key]} is newer than {known}")
        elif version < (_version(OLDEST_VERSION) or ()):
            yield Problem(1, where, f"{key} {item[key]} is older than {OLDEST_VERSION}")


def _version(text: str) -> tuple[int, ...] | None:
    return tuple(map(int, text.split("."))) if re.fullmatch(r"\d+\.\d+\.\d+", text, re.ASCII) else None


def _twice(objects: Sequence[Json]) -> Iterator[Problem]:
    seen: set[str] = set()
    for item in objects:
        name = f"{item['type']}:{item['id']}"
        if name in seen:
            yield Problem(2, name, "is there twice")
        seen.add(name)


def _unresolved(objects: Sequence[Json]) -> Iterator[Problem]:
    there = {(item["type"], item["id"]) for item in objects}
    for item in objects:
        # A panel by value carries references of its own, which are the dashboard's too.
        where = f"{item['type']}:{item['id']}"
        for found in [*item["references"], *_inner_references(item["attributes"])]:
            target = (found.get("type"), found.get("id"))
            if target not in there:
                yield Problem(3, where, f"{found.get('name')} refers to {target[0]}:{target[1]}, not in the file")


def _inner_references(attributes: Json) -> Iterator[Json]:
    try:
        panels = json.loads(attributes.get("panelsJSON", "[]"))
    except (TypeError, ValueError):
        return  # rule 4 says so
    for node in _nodes(panels):
        yield from (each for each in _listed(node, "references") if isinstance(each, dict) and "type" in each)


JSON_STRINGS = {f"attributes.{key}" for key in ("fieldFormatMap", "runtimeFieldMap", "fieldAttrs", "sourceFilters")}
"""What is a JSON string in a data view though its name does not say so; in a chart's own data view it is none."""


def _decoded(where: str, attributes: Json) -> tuple[Json, list[Problem]]:
    """The attributes with their JSON strings read, at any depth."""
    problems: list[Problem] = []

    def read(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: read_key(key, inner, f"{path}.{key}") for key, inner in value.items()}
        if isinstance(value, list):
            return [read(inner, f"{path}[{index}]") for index, inner in enumerate(value)]
        return value

    def read_key(key: str, value: Any, path: str) -> Any:
        if not (key.endswith("JSON") or path in JSON_STRINGS):
            return read(value, path)
        if not isinstance(value, str):
            problems.append(Problem(4, where, f"{path} is not a string"))
            return read(value, path)
        try:
            return read(json.loads(value), path)
        except ValueError as error:
            problems.append(Problem(4, where, f"{path} is not JSON: {error}"))
            return None

    return read(attributes, "attributes"), problems


# --- 5, 6, 8: objects and panels ----------------------------------------------------------------------------------


def _shape(where: str, kind: str, attributes: Json, references: Sequence[Json]) -> Iterator[Problem]:
    if kind == "dashboard":
        yield from _dashboard(where, attributes, references)
    elif kind in {"lens", "map", "search"}:
        names = {each["name"] for each in references}
        yield from _content(where, kind, attributes, names)
        yield from _needless(where, kind, attributes, names)


def _content(where: str, kind: str, attributes: Json, names: set[str]) -> Iterator[Problem]:
    """Rules 5 and 6 for a chart, map or table, whose references have these names."""
    for name in sorted(_asked_for(kind, attributes) - names):
        yield Problem(5, where, f"there is no reference {name}")
    if kind == "lens":
        state = _inner(attributes, "state")
        for each in _listed(state, "internalReferences"):
            if each.get("id") not in _inner(state, "adHocDataViews"):
                yield Problem(5, where, f"brings no data view {each.get('id')} of its own")
        yield from _chart(where, attributes)


def _asked_for(kind: str, attributes: Json) -> set[str]:
    """The names of the references that the content asks for."""
    asked = {
        value
        for node in _nodes(attributes)
        for key, value in node.items()
        if (key == "indexRefName" or key.endswith("RefName")) and isinstance(value, str)
    }
    if kind == "lens":
        # A chart may bring data views of its own, and refers to them inside itself.
        state = _inner(attributes, "state")
        inside = _inner(state, "adHocDataViews").keys() | {
            each.get("name") for each in _listed(state, "internalReferences")
        }
        asked |= {f"{LAYER_REFERENCE}{layer}" for layer in _layers(attributes)} - inside
        asked |= {index for index in _filter_views(attributes) if _is_name(index)} - inside
    return asked


def _filter_views(attributes: Json) -> Iterator[str]:
    """The `index` of each filter of a chart: the name of a reference."""
    for each in _listed(_inner(attributes, "state"), "filters"):
        index = _inner(each, "meta").get("index") if isinstance(each, dict) else None
        if isinstance(index, str):
            yield index


def _is_name(index: str) -> bool:
    # Kibana gives the reference of a filter a random name; what is no UUID is the id of a data view itself.
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", index) is not None


def _needless(where: str, kind: str, attributes: Json, names: set[str]) -> Iterator[Problem]:
    """References that name a layer or filter which is not there."""
    asked = _asked_for(kind, attributes)
    layers = len(_listed(attributes, "layerListJSON"))
    events = {value for node in _nodes(attributes) for value in node.values() if isinstance(value, str)}
    for name in sorted(names - asked):
        if name.startswith("tag-ref-") or name == "indexpattern-datasource-current-indexpattern":
            continue
        if name.startswith("drilldown:") and name.split(":")[2:3] and name.split(":")[2] in events:
            continue
        # A layer of a map may have references for its joins as well.
        if (join := re.fullmatch(r"layer_(\d+)_join_\d+_index_pattern", name)) and int(join[1]) < layers:
            continue
        yield Problem(5, where, f"the reference {name} belongs to nothing that is there")


def _dashboard(where: str, attributes: Json, references: Sequence[Json]) -> Iterator[Problem]:
    panels = [panel for panel in _listed(attributes, "panelsJSON") if isinstance(panel, dict)]
    yield from _grid(where, panels)
    by_name = {each["name"]: (each["type"], each["id"]) for each in references}
    own = {name for name in by_name if ":" not in name}
    used = set()
    for panel in panels:
        prefix = f"{panel.get('panelIndex')}:"
        inner = {name.removeprefix(prefix): to for name, to in by_name.items() if name.startswith(prefix)}
        used |= {f"{prefix}{name}" for name in inner}
        yield from _panel(f"{where} panel {panel.get('panelIndex')}", panel, inner)
    controls = _inner(_inner(attributes, "controlGroupInput"), "panelsJSON")
    expected = set()
    for name, control in controls.items():
        if control.get("explicitInput", {}).get("id") != name:
            yield Problem(5, f"{where} control {name}", "explicitInput.id is not its name")
        if control.get("type") in FIT_FOR_CONTROL:
            kind = control["type"].removesuffix("Control")
            expected.add(f"controlGroup_{name}:{kind}DataView")
    for name in sorted(expected - by_name.keys()):
        yield Problem(5, where, f"there is no reference {name}")
    own_source = {key: value for key, value in attributes.items() if key not in {"panelsJSON", "controlGroupInput"}}
    for name in sorted(_asked_for("dashboard", own_source) - own):
        yield Problem(5, where, f"there is no reference {name}")
    left = by_name.keys() - used - expected - _asked_for("dashboard", own_source)
    for name in sorted(left):
        if not name.startswith("tag-ref-"):
            yield Problem(5, where, f"the reference {name} belongs to no panel or control")


def _panel(where: str, panel: Json, references: Mapping[str, tuple[str, str]]) -> Iterator[Problem]:
    config = _inner(panel, "embeddableConfig")
    kind = str(panel.get("type"))
    if "savedVis" in config:
        return
    if "attributes" not in config:
        wanted = panel.get("panelRefName", "savedObjectRef")
        if wanted not in references:
            yield Problem(5, where, f"shows nothing: it has neither content nor a reference {wanted}")
        return
    if kind not in {"lens", "map", "search"}:
        yield Problem(5, where, f"a panel of type {kind} by value is not known")
        return
    content = _inner(config, "attributes")
    own = {each.get("name"): (each.get("type"), each.get("id")) for each in _listed(content, "references")}
    for name, to in own.items():
        # Kibana writes tags into the panel and not into the dashboard.
        if to[0] != "tag" and references.get(str(name)) != to:
            yield Problem(5, where, f"the dashboard does not repeat the reference {name} to {to[0]}:{to[1]}")
    yield from _content(where, kind, content, set(references))
    yield from _needless(where, kind, {**content, "panel": config}, set(references))


def _grid(where: str, panels: Sequence[Json]) -> Iterator[Problem]:
    taken: dict[tuple[object, int, int], str] = {}
    names: set[str] = set()
    for panel in panels:
        grid = _inner(panel, "gridData")
        name = str(grid.get("i"))
        if name in names:
            yield Problem(8, where, f"two panels are called {name}")
        names.add(name)
        if panel.get("panelIndex") != grid.get("i"):
            yield Problem(8, where, f"panelIndex {panel.get('panelIndex')} is not gridData.i {name}")
        x, y, w, h = (grid.get(key) for key in "xywh")
        if not (isinstance(x, int) and isinstance(y, int) and isinstance(w, int) and isinstance(h, int)):
            yield Problem(8, where, f"{name} has no place")
            continue
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > COLUMNS:
            yield Problem(8, where, f"{name} does not lie within {COLUMNS} columns")
            continue
        cells = [(grid.get("sectionId"), column, row) for column in range(x, x + w) for row in range(y, y + h)]
        for other in sorted({taken[cell] for cell in cells if cell in taken}):
            yield Problem(8, where, f"{name} lies on {other}")
        taken.update(dict.fromkeys(cells, name))


def _layers(attributes: Json) -> Json:
    sources = _inner(_inner(attributes, "state"), "datasourceStates")
    return _inner(_inner(sources, "formBased"), "layers")


def _chart(where: str, attributes: Json) -> Iterator[Problem]:
    state = _inner(attributes, "state")
    sources = _inner(state, "datasourceStates")
    if _inner(_inner(sources, "indexpattern"), "layers"):
        yield Problem(6, where, "has layers under indexpattern, the form of before 8.9, not under formBased")
    layers = _layers(attributes)
    if not layers and not _inner(_inner(sources, "textBased"), "layers"):
        yield Problem(6, where, "has no layer")
        return
    columns: set[str] = set()
    for layer in layers.values():
        columns |= _inner(layer, "columns").keys()
        yield from _chart_layer(where, layer)
    visualization = _inner(state, "visualization")
    if attributes.get("visualizationType") == "lnsXY":
        needed = [key for key in ("layers", "legend", "preferredSeriesType") if key not in visualization]
        if needed:
            yield Problem(6, where, f"draws nothing without {', '.join(needed)}")
    accessors = set(_accessors(visualization))
    if not accessors:
        yield Problem(6, where, "shows no column")
    for column in sorted(accessors - columns):
        yield Problem(6, where, f"shows the column {column}, which does not exist")
    for node in _nodes(visualization):
        layer_id = node.get("layerId")
        if isinstance(layer_id, str) and layer_id not in layers:
            yield Problem(6, where, f"shows the layer {layer_id}, which does not exist")


def _chart_layer(where: str, layer: Json) -> Iterator[Problem]:
    columns = _inner(layer, "columns")
    if sorted(_listed(layer, "columnOrder")) != sorted(columns):
        yield Problem(6, where, "columnOrder does not name just the columns")
    for name, column in columns.items():
        order = _inner(_inner(column, "params"), "orderBy")
        if order.get("type") == "column" and order.get("columnId") not in columns:
            yield Problem(6, where, f"{name} is ordered by {order.get('columnId')}, which does not exist")
        if column.get("operationType") == "count" and column.get("sourceField") != "___records___":
            yield Problem(6, where, f"{name} counts {column.get('sourceField')}, not ___records___")
        if column.get("operationType") in FIT_FOR_OPERATION and not isinstance(column.get("sourceField"), str):
            yield Problem(6, where, f"{name} has no sourceField")
        for used in _listed(column, "references"):
            if used not in columns:
                yield Problem(6, where, f"{name} is computed from {used}, which does not exist")


def _accessors(visualization: Json) -> Iterator[str]:
    for node in _nodes(visualization, leave="palette"):
        for key in ACCESSORS & node.keys():
            value = node[key]
            yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str))


# --- 7: fields ----------------------------------------------------------------------------------------------------


def _fields(properties: Mapping[str, Any], prefix: str = "", within: str = "") -> Iterator[tuple[str, str]]:
    """Name and type of each field; what lies in a nested object is of type `nested`, which no chart can show."""
    for key, field in properties.items():
        name = f"{prefix}{key}"
        if field.get("enabled") is False:
            continue
        kind = within or field.get("type", "object")
        if "properties" in field:
            yield from _fields(field["properties"], f"{name}.", "nested" if kind == "nested" else "")
        if kind != "object":
            yield name, kind
        yield from ((f"{name}.{part}", within or inner["type"]) for part, inner in field.get("fields", {}).items())


@dataclass(frozen=True)
class Fields:
    """Name and type of each field: of most data views, and of those that show something else."""

    most: Mapping[str, str]
    others: Mapping[str, Mapping[str, str]]

    def of(self, views: Iterable[str]) -> Mapping[str, str]:
        """Those of a part that refers to these data views; to none, it can only be about the first kind."""
        found = [self.others.get(view, self.most) for view in views] or [self.most]
        return {name: kind for each in found for name, kind in each.items()}


def _parts(item: Json, attributes: Json, fields: Fields) -> Iterator[tuple[Json, Mapping[str, str]]]:
    """The parts of an object that name fields, each with the fields of the data views that it refers to."""
    if item["type"] == "index-pattern":
        yield attributes, fields.of([item["id"]])
        return
    views = [(each["name"], each["id"]) for each in item["references"] if each["type"] == "index-pattern"]
    if item["type"] != "dashboard":
        yield attributes, fields.of(view for _, view in views)
        return
    group = _inner(attributes, "controlGroupInput")
    for panel in _listed(attributes, "panelsJSON"):
        prefix = f"{panel.get('panelIndex')}:" if isinstance(panel, dict) else ""
        yield {"panel": panel}, fields.of(view for name, view in views if name.startswith(prefix))
    for key, control in _inner(group, "panelsJSON").items():
        yield (
            {"control": control},
            fields.of(view for name, view in views if name.startswith(f"controlGroup_{key}:")),
        )
    rest = {key: value for key, value in attributes.items() if key not in ("panelsJSON", "controlGroupInput")}
    yield rest, fields.of(view for _, view in views)


def _wrong_fields(where: str, attributes: Json, fields: Mapping[str, str]) -> Iterator[Problem]:
    for field, fit, use in dict.fromkeys(
        (field, frozenset(fit), use) for node in _nodes(attributes) for field, fit, use in _used(node)
    ):
        if field in NOT_MAPPED:
            continue
        kind = _type_of(field, fields)
        if kind is None:
            yield Problem(7, where, f"{use} uses the field {field}, which the index template does not have")
        elif kind not in fit:
            yield Problem(7, where, f"{use} uses the field {field}, whose type {kind} does not fit")


def _type_of(field: str, fields: Mapping[str, str]) -> str | None:
    if field in fields:
        return fields[field]
    # Any key of a flattened object is a field, read as a keyword.
    parts = field.split(".")
    above = (".".join(parts[:length]) for length in range(1, len(parts)))
    return "keyword" if any(fields.get(name) == "flattened" for name in above) else None


def _used(node: Json) -> Iterator[tuple[str, set[str], str]]:
    """The fields that this node names by itself, the types that fit, and the use in words."""
    yield from _used_by_charts_and_maps(node)
    if node.get("type") in FIT_FOR_CONTROL:
        chosen = _inner(node, "explicitInput").get("fieldName")
        yield str(chosen), FIT_FOR_CONTROL[node["type"]], "a control"
    if isinstance(node.get("timeFieldName"), str):
        yield node["timeFieldName"], DATES, "the time of the data view"
    yield from _used_by_tables(node)
    if isinstance(node.get("query"), str) and node.get("language") in {"kuery", "lucene"}:
        yield from ((field, SEARCHABLE, "a query") for field in _queried(node["query"]))
    meta = _inner(node, "meta")
    if meta.get("type") in {"phrase", "phrases", "range", "exists"}:
        for key in ("key", "field"):
            if isinstance(meta.get(key), str):
                yield meta[key], SEARCHABLE, "a filter"


def _used_by_charts_and_maps(node: Json) -> Iterator[tuple[str, set[str], str]]:
    operation, source = node.get("operationType"), node.get("sourceField")
    if isinstance(source, str) and source != "___records___":
        yield source, FIT_FOR_OPERATION.get(str(operation), SEARCHABLE), f"{operation} in a chart"
    if isinstance(node.get("geoField"), str):
        yield node["geoField"], POINTS, "a map"
        yield from ((field, SEARCHABLE, "a tooltip") for field in _listed(node, "tooltipProperties"))
        for metric in _listed(node, "metrics"):
            if isinstance(metric.get("field"), str):
                yield metric["field"], SORTABLE, "a map"
    if isinstance(node.get("sortField"), str) and node["sortField"]:
        yield node["sortField"], SORTABLE, "an order"


def _used_by_tables(node: Json) -> Iterator[tuple[str, set[str], str]]:
    for column in _listed(node, "columns"):
        if isinstance(column, str):
            yield column, SEARCHABLE, "a table"
    order = _listed(node, "sort")
    # [["@timestamp", "desc"], …]; Kibana itself also writes ["@timestamp", "desc"].
    for each in [order] if order and isinstance(order[0], str) else order:
        if isinstance(each, list) and each:
            yield str(each[0]), SORTABLE, "the order of a table"


TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|<=|>=|[:<>(){}]|[^\s:<>(){}"]+|"')


def _queried(query: str) -> Iterator[str]:
    """The fields of a query in KQL or Lucene: what stands before a colon or a comparison."""
    tokens = TOKEN.findall(query)
    for token, after in pairwise(tokens):
        if after in {":", "<", ">", "<=", ">="} and token[0] not in ":<>(){}":
            field = token.strip('"')
            if "*" not in field and not field.startswith("_exists_"):
                yield field


# --- 9: old kinds -------------------------------------------------------------------------------------------------


def _old_kinds(where: str, kind: str, attributes: Json) -> Iterator[Problem]:
    if kind == "visualization":
        yield Problem(9, where, "is a visualization of the old kind")
    for node in _nodes(attributes):
        if "visState" in node and kind != "visualization":
            yield Problem(9, where, "has a visState, a visualization of the old kind")
        saved = node.get("savedVis")
        if isinstance(saved, dict) and saved.get("type") != "markdown":
            yield Problem(9, where, f"has a visualization of the old kind {saved.get('type')}")


# --- Walking ------------------------------------------------------------------------------------------------------


def _nodes(value: Any, leave: str = "") -> Iterator[Json]:
    """Every object in the value, outermost first; not into the key `leave`."""
    if isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key != leave:
                yield from _nodes(inner, leave)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner, leave)


def _inner(node: Any, key: str) -> Json:
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, dict) else {}


def _listed(node: Json, key: str) -> list[Any]:
    value = node.get(key)
    return value if isinstance(value, list) else []


def main() -> int:
    """Print what is wrong with the file of the first argument, else with the shipped one; 1 if anything is."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("news.ndjson")
    problems = lint(path.read_text(encoding="utf-8"), shipped_properties(), other_properties())
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
