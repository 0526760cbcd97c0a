"""Alerts watch what exists, and lead to what helps."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from chassis import telemetry
from chassis.exemplars import ExemplarReader
from tests.architecture.repository import ROOT, sources, tree

RULES = sorted((ROOT / "deploy/alerts").glob("*.yaml"))
# Those that the product creates, by how their names begin; others are Prometheus's own (`up`), or every process's.
_METRIC = re.compile(r"\b(?:smartroute|http_server|gen_ai|messaging)_\w+")
_RECORDED = re.compile(r"\bsmartroute:[\w:]+")
_LABELS = re.compile(r"\bby \([^)]*\)|\{[^}]*\}")  # name labels, not metrics
_PLAIN_TEXT = re.compile(r"[^\w\- ]")


def _rules() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def _alerts() -> list[dict[str, Any]]:
    return [rule for rule in _rules() if "alert" in rule]


def _name(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or f"{rule['record']} {rule['labels']['slo']}")


def _instruments() -> list[tuple[str, str, str]]:
    """Kind, name and unit of every instrument that the product creates."""
    return [
        (node.func.attr.removeprefix("create_").removeprefix("observable_"), node.args[0].value, _unit(node))
        for path in sources(ROOT / "libs", ROOT / "services")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("create_")
        if ast.unparse(node.func.value).endswith("meter")
        if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    ]


def _unit(call: ast.Call) -> str:
    units = [keyword.value for keyword in call.keywords if keyword.arg == "unit"]
    return str(units[0].value) if units and isinstance(units[0], ast.Constant) else ""


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The names that Prometheus sees, made by the exporter that the services use."""
    registry = CollectorRegistry()
    provider = MeterProvider([ExemplarReader(registry)], views=telemetry.views(), shutdown_on_exit=False)
    meter = provider.get_meter("test")
    for kind, name, unit in _instruments():
        if kind == "counter":
            meter.create_counter(name, unit).add(1)
        elif kind == "up_down_counter":
            meter.create_up_down_counter(name, unit).add(1)
        elif kind == "gauge":
            meter.create_gauge(name, unit).set(1)
        elif kind == "histogram":
            meter.create_histogram(name, unit).record(1)
        else:
            pytest.fail(f"{name} is a {kind}")
    lines = generate_latest(registry).decode().splitlines()
    provider.shutdown()
    return {found.group() for line in lines if (found := _METRIC.match(line))}


@pytest.mark.parametrize("rule", _rules(), ids=_name)
def test_every_metric_of_a_rule_is_one_that_the_code_creates(rule: dict[str, Any], exported: set[str]) -> None:
    said = _LABELS.sub("", rule["expr"])
    assert set(_METRIC.findall(said)) <= exported
    assert set(_RECORDED.findall(said)) <= {other.get("record") for other in _rules()}
    assert _METRIC.search(said) or _RECORDED.search(said) or re.search(r"\b(up|process_\w+)\b", said)


@pytest.mark.parametrize("board", sorted((ROOT / "deploy/dashboards").glob("*.json")), ids=lambda path: str(path.stem))
def test_every_metric_of_a_dashboard_is_one_that_the_code_creates(board: Path, exported: set[str]) -> None:
    expressions = re.findall(r'"expr": ("(?:[^"\\]|\\.)*")', board.read_text(encoding="utf-8"))
    named = {metric for quoted in expressions for metric in _METRIC.findall(_LABELS.sub("", json.loads(quoted)))}
    assert named
    assert named <= exported


@pytest.mark.parametrize("alert", _alerts(), ids=_name)
def test_every_alert_says_what_it_means_and_leads_to_a_section(alert: dict[str, Any]) -> None:
    assert alert["annotations"]["summary"]
    document, _, section = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE)
    assert section in {_PLAIN_TEXT.sub("", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_alerts_for_every_way_to_lose_count() -> None:
    watched = {metric for alert in _alerts() for metric in _METRIC.findall(alert["expr"])}
    assert watched >= {
        "smartroute_dead_letters",
        "smartroute_consumer_pending",
        "smartroute_quota_reservations_overdue",
        "smartroute_settlements_kept",
        "smartroute_reconciliation_differences",
        "smartroute_reconciliation_age_seconds",
    }
