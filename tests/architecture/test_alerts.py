"""Alerts watch what exists, and lead to what helps."""

import ast
import re
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import generate_latest

from tests.architecture.repository import ROOT, sources, tree

RULES = sorted((ROOT / "deploy/alerts").glob("*.yaml"))
_METRIC = re.compile(r"\bsmartroute_\w+")
_GROUPING = re.compile(r"\bby \([^)]*\)")  # names labels, not metrics
_PLAIN_TEXT = re.compile(r"[^\w\- ]")


def _alerts() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def _instruments() -> list[tuple[str, str, str]]:
    """Kind, name and unit of every instrument that the product creates."""
    return [
        (node.func.attr.removeprefix("create_").removeprefix("observable_"), node.args[0].value, _unit(node))
        for path in sources(ROOT / "libs", ROOT / "services")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("create_")
        if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
        if node.args[0].value.startswith("smartroute.")
    ]


def _unit(call: ast.Call) -> str:
    units = [keyword.value for keyword in call.keywords if keyword.arg == "unit"]
    return str(units[0].value) if units and isinstance(units[0], ast.Constant) else ""


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The names that Prometheus sees, made by the exporter that the services use."""
    provider = MeterProvider([PrometheusMetricReader()], shutdown_on_exit=False)
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
    lines = generate_latest().decode().splitlines()
    provider.shutdown()
    return {found.group() for line in lines if (found := _METRIC.match(line))}


@pytest.mark.parametrize("alert", _alerts(), ids=lambda alert: str(alert["alert"]))
def test_every_metric_of_an_alert_is_one_that_the_code_creates(alert: dict[str, Any], exported: set[str]) -> None:
    named = set(_METRIC.findall(_GROUPING.sub("", alert["expr"])))
    assert named
    assert named <= exported


@pytest.mark.parametrize("alert", _alerts(), ids=lambda alert: str(alert["alert"]))
def test_every_alert_says_what_it_means_and_leads_to_a_section(alert: dict[str, Any]) -> None:
    assert alert["annotations"]["summary"]
    document, _, section = alert["annotations"]["runbook"].partition("#")
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
