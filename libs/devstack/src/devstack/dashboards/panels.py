"""What dashboards are made of: queries, panels, rows of panels. It knows Grafana's JSON, and nothing of our metrics.

Panels are as wide as their row allows: 24 columns for all of it. Every graph shows exemplars where there are any, so
that a point in it leads to a trace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# Grafana's panels and dashboards are JSON objects of many shapes.
Json: TypeAlias = dict[str, Any]
Unit: TypeAlias = Literal["short", "s", "reqps", "percentunit", "bytes", "cps", "dateTimeFromNow"]

_COLUMNS = 24
_HEIGHT = 8
_SCHEMA_VERSION = 39
_SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
_NO_ALERTS: Json = {"mode": "absolute", "steps": [{"color": "text", "value": None}]}


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and what its series are called: `{{label}}` stands for a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph, or with `is_number` its newest value alone. `red_from`: from where on the number is red."""

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    is_number: bool = False
    red_from: float | None = None
    red_below: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side under a title."""

    title: str
    panels: tuple[Panel, ...]


def graph(title: str, says: str, *queries: Query, unit: Unit = "short") -> Panel:
    return Panel(title, says, queries, unit)


def number(
    title: str,
    says: str,
    query: Query,
    *,
    unit: Unit = "short",
    red_from: float | None = None,
    red_below: float | None = None,
) -> Panel:
    return Panel(title, says, (query,), unit, is_number=True, red_from=red_from, red_below=red_below)


def dashboard(uid: str, title: str, says: str, rows: Sequence[Row]) -> Json:
    """One file of Grafana's. The data source is chosen in it, so that it fits every Grafana."""
    return {
        "uid": uid,
        "title": title,
        "description": says,
        "tags": ["smart-route"],
        "editable": False,
        "schemaVersion": _SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "graphTooltip": 1,
        "links": [
            {
                "type": "dashboards",
                "title": "Smart Route",
                "tags": ["smart-route"],
                "asDropdown": True,
                "keepTime": True,
            }
        ],
        "templating": {
            "list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "panels": _laid_out(rows),
    }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    panels: list[Json] = []
    top = 0
    for row in rows:
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "gridPos": place, "panels": []})
        top += 1
        width = _COLUMNS // len(row.panels)
        height = _HEIGHT // 2 if all(panel.is_number for panel in row.panels) else _HEIGHT
        for column, panel in enumerate(row.panels):
            place = {"x": column * width, "y": top, "w": width, "h": height}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_panel(panel)})
        top += height
    return panels


def _panel(panel: Panel) -> Json:
    return {
        "type": "stat" if panel.is_number else "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "targets": [_target(panel, query, name) for query, name in zip(panel.queries, "ABCDEFGH", strict=False)],
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, **_colours(panel)}, "overrides": []},
        "options": _options(panel),
    }


def _target(panel: Panel, query: Query, name: str) -> Json:
    return {
        "refId": name,
        "datasource": _SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "range": not panel.is_number,
        "instant": panel.is_number,
        "exemplar": not panel.is_number,
    }


def _colours(panel: Panel) -> Json:
    if panel.red_from is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.red_from}]
    elif panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    else:
        return {"thresholds": _NO_ALERTS}
    return {"thresholds": {"mode": "absolute", "steps": steps}, "color": {"mode": "thresholds"}}


def _options(panel: Panel) -> Json:
    if panel.is_number:
        return {"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"], "values": False}}
    legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
