"""How Kibana stores things: data views, Discover sessions, Lens charts, maps, controls and dashboards.

Each function gives plain dicts. Values of keys that end in JSON are strings, as Kibana keeps them. What `newsroom`
does not choose is written out all the same where Kibana draws an empty chart without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

# The oldest version that has the shape written here: a Kibana reads what is older than itself and moves it up,
# and refuses what is newer.
VERSIONS = {"index-pattern": "8.0.0", "search": "10.5.0", "dashboard": "10.3.0"}
CORE_VERSION = "8.8.0"

COLUMNS = 48
"""Width of a dashboard; a panel's x and w are counted in these, y and h in rows of 20 pixels."""

LAYER = "articles"
NO_QUERY: Json = {"query": "", "language": "kuery"}


def encode(value: Any) -> str:
    """The value as Kibana stores it under a key that ends in JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def saved_object(kind: str, identity: str, attributes: Json, references: Sequence[Json] = ()) -> Json:
    """One line of an import file."""
    return {
        "type": kind,
        "id": identity,
        "attributes": attributes,
        "references": list(references),
        "managed": False,
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": VERSIONS[kind],
    }


def reference(name: str, data_view: str) -> Json:
    """That what is called `name` inside an object is this data view."""
    return {"name": name, "type": "index-pattern", "id": data_view}


def data_view(identity: str, pattern: str, name: str, time_field: str) -> Json:
    """A data view: the indices that match `pattern`, with `time_field` as the time of a document."""
    attributes = {
        "title": pattern,
        "name": name,
        "timeFieldName": time_field,
        "fieldFormatMap": "{}",
        "runtimeFieldMap": "{}",
        "fieldAttrs": "{}",
        "sourceFilters": "[]",
        # The pattern may match nothing yet when the view is imported.
        "allowNoIndex": True,
    }
    return saved_object("index-pattern", identity, attributes)


# --- Lens: columns of a chart -------------------------------------------------------------------------------------


def count(label: str) -> Json:
    """How many documents."""
    return {
        "operationType": "count",
        "sourceField": "___records___",
        "dataType": "number",
        "isBucketed": False,
        "scale": "ratio",
        "label": label,
        "customLabel": True,
        "params": {"emptyAsNull": True},
    }


def total(field: str, label: str) -> Json:
    """The sum of a number."""
    return {**count(label), "operationType": "sum", "sourceField": field}


def over_time(field: str) -> Json:
    """One bucket for each stretch of time, as wide as suits the time range in view."""
    return {
        "operationType": "date_histogram",
        "sourceField": field,
        "dataType": "date",
        "isBucketed": True,
        "scale": "interval",
        "label": field,
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
    }


def top(field: str, label: str, *, size: int, by: str, other: bool = False) -> Json:
    """The `size` most frequent values by the column `by`; with `other`, one more bucket for the rest."""
    return {
        "operationType": "terms",
        "sourceField": field,
        "dataType": "string",
        "isBucketed": True,
        "scale": "ordinal",
        "label": label,
        "customLabel": True,
        "params": {
            "size": size,
            "orderBy": {"type": "column", "columnId": by},
            "orderDirection": "desc",
            "otherBucket": other,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
            "include": [],
            "exclude": [],
            "includeIsRegex": False,
            "excludeIsRegex": False,
        },
    }


# --- Panels -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """A panel with all that it shows inside it (by value): nothing else has to be there for it to work."""

    kind: str
    title: str
    config: Json

    @property
    def references(self) -> list[Json]:
        """What the panel refers to, under the panel's own names."""
        found: list[Json] = self.config.get("attributes", {}).get("references", [])
        return found


def _lens(view: str, title: str, kind: str, columns: Mapping[str, Json], visualization: Json) -> Panel:
    attributes = {
        "title": title,
        "description": "",
        "type": "lens",
        "visualizationType": kind,
        "state": {
            "query": NO_QUERY,
            "filters": [],
            "internalReferences": [],
            "adHocDataViews": {},
            "datasourceStates": {
                "formBased": {
                    "layers": {
                        LAYER: {"columnOrder": list(columns), "incompleteColumns": {}, "columns": dict(columns)}
                    }
                },
                "textBased": {"layers": {}},
            },
            "visualization": visualization,
        },
        "references": [reference(f"indexpattern-datasource-layer-{LAYER}", view)],
    }
    return Panel("lens", title, {"attributes": attributes, "enhancements": {}})


def bars(
    view: str,
    title: str,
    columns: Mapping[str, Json],
    *,
    x: str,
    y: Sequence[str],
    split: str | None = None,
    horizontal: bool = False,
) -> Panel:
    """Bars: `x` names the column along the axis, `y` those that give the length, `split` the one of the colours."""
    series = "bar_horizontal" if horizontal else "bar_stacked"
    several = split is not None or len(y) > 1
    layer: Json = {
        "layerId": LAYER,
        "layerType": "data",
        "seriesType": series,
        "xAccessor": x,
        "accessors": list(y),
        "palette": {"type": "palette", "name": "default"},
    }
    if split is not None:
        layer["splitAccessor"] = split
    shown = {"x": True, "yLeft": True, "yRight": True}
    visualization = {
        "preferredSeriesType": series,
        "legend": {"isVisible": several, "position": "right"},
        "valueLabels": "hide",
        "fittingFunction": "None",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
        "tickLabelsVisibilitySettings": shown,
        "gridlinesVisibilitySettings": shown,
        "labelsOrientation": {"x": 0, "yLeft": 0, "yRight": 0},
        "layers": [layer],
    }
    return _lens(view, title, "lnsXY", columns, visualization)


def donut(view: str, title: str, columns: Mapping[str, Json], *, group: str, size: str) -> Panel:
    """A ring of shares: `group` names the column of the slices, `size` the one of their size."""
    layer = {
        "layerId": LAYER,
        "layerType": "data",
        "primaryGroups": [group],
        "metrics": [size],
        "numberDisplay": "percent",
        "categoryDisplay": "default",
        "legendDisplay": "default",
        "nestedLegend": False,
    }
    return _lens(view, title, "lnsPie", columns, {"shape": "donut", "layers": [layer]})


def point_map(view: str, title: str, layer_title: str, field: str) -> Panel:
    """A map of the world with a circle where documents are, larger where they are many."""
    base = {
        "id": "base",
        "type": "EMS_VECTOR_TILE",
        "label": None,
        "alpha": 1,
        "visible": True,
        "minZoom": 0,
        "maxZoom": 24,
        "includeInFitToBounds": True,
        "style": {"type": "EMS_VECTOR_TILE", "color": ""},
        "sourceDescriptor": {
            "type": "EMS_TMS",
            "isAutoSelect": True,
            "lightModeDefault": "road_map_desaturated",
        },
    }
    by_count = {"field": {"name": "doc_count", "origin": "source"}}
    points = {
        "id": "points",
        "type": "GEOJSON_VECTOR",
        "label": layer_title,
        "alpha": 0.75,
        "visible": True,
        "minZoom": 0,
        "maxZoom": 24,
        "includeInFitToBounds": True,
        "joins": [],
        "sourceDescriptor": {
            "id": "points-source",
            "type": "ES_GEO_GRID",
            "geoField": field,
            "requestType": "point",
            "resolution": "COARSE",
            "metrics": [{"type": "count"}],
            "applyGlobalQuery": True,
            "applyGlobalTime": True,
            "applyForceRefresh": True,
            # 1 is this layer's place in the list, counted from 0.
            "indexPatternRefName": "layer_1_source_index_pattern",
        },
        "style": {
            "type": "VECTOR",
            "isTimeAware": True,
            "properties": {
                "icon": {"type": "STATIC", "options": {"value": "marker"}},
                "fillColor": {"type": "STATIC", "options": {"color": "#54B399"}},
                "lineColor": {"type": "STATIC", "options": {"color": "#41937c"}},
                "lineWidth": {"type": "STATIC", "options": {"size": 1}},
                "iconSize": {
                    "type": "DYNAMIC",
                    "options": {
                        **by_count,
                        "minSize": 7,
                        "maxSize": 32,
                        "fieldMetaOptions": {"isEnabled": True, "sigma": 3},
                    },
                },
                "iconOrientation": {"type": "STATIC", "options": {"orientation": 0}},
                "labelText": {"type": "DYNAMIC", "options": by_count},
                "labelColor": {"type": "STATIC", "options": {"color": "#000000"}},
                "labelSize": {"type": "STATIC", "options": {"size": 14}},
                "labelBorderColor": {"type": "STATIC", "options": {"color": "#FFFFFF"}},
                "labelBorderSize": {"options": {"size": "SMALL"}},
                "symbolizeAs": {"options": {"value": "circle"}},
            },
        },
    }
    state = {
        "zoom": 1.6,
        "center": {"lon": 0, "lat": 20},
        "timeFilters": {"from": "now-15m", "to": "now"},  # not used: the dashboard's range holds
        "refreshConfig": {"isPaused": True, "interval": 0},
        "query": NO_QUERY,
        "filters": [],
        "settings": {"autoFitToDataBounds": True},
    }
    attributes = {
        "title": title,
        "description": "",
        "mapStateJSON": encode(state),
        "layerListJSON": encode([base, points]),
        "uiStateJSON": encode({"isLayerTOCOpen": False, "openTOCDetails": []}),
        "references": [reference("layer_1_source_index_pattern", view)],
    }
    config = {
        "attributes": attributes,
        "enhancements": {},
        "hiddenLayers": [],
        "isLayerTOCOpen": False,
        "openTOCDetails": [],
        "mapCenter": {"lat": 20, "lon": 0, "zoom": 1.6},
    }
    return Panel("map", title, config)


def markdown(title: str, text: str) -> Panel:
    """A panel of text."""
    saved = {
        "type": "markdown",
        "title": title,
        "description": "",
        "params": {"markdown": text, "fontSize": 12, "openLinksInNewTab": False},
        "uiState": {},
        "data": {"aggs": [], "searchSource": {}},
    }
    return Panel("visualization", title, {"savedVis": saved, "enhancements": {}})


# --- Discover -----------------------------------------------------------------------------------------------------

SEARCH_VIEW = "kibanaSavedObjectMeta.searchSourceJSON.index"


def _table(title: str, columns: Sequence[str], newest_by: str) -> Json:
    source = {"query": NO_QUERY, "filter": [], "highlightAll": True, "version": True, "indexRefName": SEARCH_VIEW}
    return {
        "title": title,
        "description": "",
        "columns": list(columns),
        "sort": [[newest_by, "desc"]],
        "grid": {},
        "hideChart": False,
        "isTextBasedQuery": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": encode(source)},
    }


def discover_session(
    identity: str, view: str, title: str, columns: Sequence[str], newest_by: str, since: str
) -> Json:
    """A Discover session: these columns, newest first, from `since` (Kibana's date math) until now."""
    attributes = {
        **_table(title, columns, newest_by),
        "timeRestore": True,
        "timeRange": {"from": since, "to": "now"},
        "refreshInterval": {"pause": True, "value": 60000},
    }
    return saved_object("search", identity, attributes, [reference(SEARCH_VIEW, view)])


def table(view: str, title: str, columns: Sequence[str], newest_by: str) -> Panel:
    """A table of documents, newest first, with the dashboard's time range and filters."""
    attributes = {**_table(title, columns, newest_by), "references": [reference(SEARCH_VIEW, view)]}
    return Panel("search", title, {"attributes": attributes, "enhancements": {}})


# --- Dashboard ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Control:
    """A list above the dashboard from which to choose values of a field."""

    name: str
    title: str
    field: str


@dataclass(frozen=True)
class Placed:
    """A panel and its place: the left upper corner, then width and height."""

    name: str
    panel: Panel
    x: int
    y: int
    w: int
    h: int


def dashboard(
    identity: str,
    view: str,
    title: str,
    description: str,
    *,
    since: str,
    panels: Sequence[Placed],
    controls: Sequence[Control],
) -> Json:
    """A dashboard that opens with the time from `since` (Kibana's date math) until now and renews itself."""
    attributes = {
        "title": title,
        "description": description,
        "version": 1,
        "timeRestore": True,
        "timeFrom": since,
        "timeTo": "now",
        "refreshInterval": {"pause": False, "value": 60000},
        "optionsJSON": encode(
            {
                "useMargins": True,
                "syncColors": False,
                "syncCursor": True,
                "syncTooltips": False,
                "hidePanelTitles": False,
            }
        ),
        "panelsJSON": encode([_placed(panel) for panel in panels]),
        "controlGroupInput": {
            "controlStyle": "oneLine",
            "chainingSystem": "HIERARCHICAL",
            "showApplySelections": False,
            "ignoreParentSettingsJSON": encode(
                {
                    "ignoreFilters": False,
                    "ignoreQuery": False,
                    "ignoreTimerange": False,
                    "ignoreValidations": False,
                }
            ),
            "panelsJSON": encode(
                {control.name: _control(control, order) for order, control in enumerate(controls)}
            ),
        },
        "kibanaSavedObjectMeta": {"searchSourceJSON": encode({"query": NO_QUERY, "filter": []})},
    }
    # Kibana reads a panel's references here, under the panel's name.
    references = [
        {**found, "name": f"{placed.name}:{found['name']}"}
        for placed in panels
        for found in placed.panel.references
    ]
    references += [reference(f"controlGroup_{control.name}:optionsListDataView", view) for control in controls]
    return saved_object("dashboard", identity, attributes, references)


def _placed(placed: Placed) -> Json:
    return {
        "type": placed.panel.kind,
        "panelIndex": placed.name,
        "gridData": {"x": placed.x, "y": placed.y, "w": placed.w, "h": placed.h, "i": placed.name},
        "title": placed.panel.title,
        "embeddableConfig": placed.panel.config,
    }


def _control(control: Control, order: int) -> Json:
    return {
        "order": order,
        "width": "medium",
        "grow": True,
        "type": "optionsListControl",
        "explicitInput": {
            "id": control.name,
            "fieldName": control.field,
            "title": control.title,
            "selectedOptions": [],
        },
    }
