"""Dashboards show what the services say: every query is PromQL, and of metrics and labels that there are."""

import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from prometheus_client.parser import text_string_to_metric_families

from devstack.dashboards.__main__ import FOLDER, dashboards, main
from devstack.prepared import prepare_folder
from devstack.provider import Provider, scripts
from devstack.pytest_plugin import short_folder
from devstack.settings import SERVICES
from devstack.stack import Stack
from tests.deploy.promtool import NoPromtool, promtool
from tests.e2e.product import chat, new_account, profiles

RULES = Path(__file__).resolve().parents[2] / "deploy/alerts"
# Told from their first event on, which need not happen in the minute of this test. That the code creates them is tested
# with the alerts (tests/architecture).
RARE = frozenset(
    {
        "smartroute_answers_cut_total",
        "smartroute_billing_payment_notices_total",
        "smartroute_billing_payment_pages_failed_total",
        "smartroute_hedges_total",
        "smartroute_last_plans_total",
        "smartroute_leases_gone_total",
        "smartroute_nats_permission_violations_total",
        "smartroute_portal_mails_total",
        "smartroute_portal_password_hashes_total",
        "smartroute_quota_expired_total",
        "smartroute_reconciliation_duration_seconds_bucket",
        "smartroute_retries_refused_total",
        "smartroute_router_decisions_dropped_total",
        "smartroute_settlements_kept",
        "smartroute_settlements_unwritten_total",
    }
)
# Prometheus adds these to what it scrapes.
OF_THE_SCRAPE = frozenset({"job", "instance"})
_SELECTOR = re.compile(r"\b((?:smartroute|http|gen_ai|messaging|process|up)[\w:]*)(?:\{([^}]*)\})?(?=[\[)\s]|$)")
_GROUPING = re.compile(r"\bby \(([^)]*)\)")


def _panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, board in dashboards().items():
        yield from ((name, panel) for panel in board["panels"] if panel["type"] != "row")


def _expressions() -> list[str]:
    return [target["expr"] for _, panel in _panels() for target in panel["targets"]]


def _selected(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Every metric, and the labels that are asked of it."""
    grouped = {label.strip() for found in _GROUPING.findall(expression) for label in found.split(",")}
    for metric, matchers in _SELECTOR.findall(_GROUPING.sub("", expression)):
        yield metric, grouped | set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', "", matchers)))


def _recorded() -> set[str]:
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES.glob("*.yaml")]
    return {
        rule["record"]
        for document in documents
        for group in document["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped() -> AsyncIterator[dict[str, set[str]]]:
    """The labels of every metric that a running stack tells, after some requests."""
    with short_folder() as folder:
        async with (
            Provider(default=scripts.answer("Hi")) as provider,
            Stack(prepare_folder(folder), profiles=profiles({"one": provider})) as stack,
        ):
            _, token = await new_account(stack, plan="free")
            for is_stream in (False, True):
                assert (await chat(stack, token, stream=is_stream)).status == 200
            assert (await chat(stack, token, model="no-such-model")).status == 404
            yield await _metrics(stack)


async def _metrics(stack: Stack) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"up": set()}
    async with httpx.AsyncClient() as client:
        for service in SERVICES:
            text = (await client.get(f"{stack.health_urls(service)[0]}/metrics")).text
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.asyncio(loop_scope="module")
async def test_every_metric_and_label_of_a_dashboard_is_one_that_a_running_stack_tells(
    scraped: dict[str, set[str]],
) -> None:
    recorded = _recorded()
    asked = [selection for expression in _expressions() for selection in _selected(expression)]
    assert {metric for metric, _ in asked} <= scraped.keys() | recorded | RARE
    for metric, labels in asked:
        if metric in scraped:
            assert labels <= scraped[metric] | OF_THE_SCRAPE | {"error_type"}, metric


def test_every_query_is_one_that_prometheus_understands(tmp_path: Path) -> None:
    try:
        tool = promtool()
    except NoPromtool as exc:
        pytest.fail(str(exc))
    queries = [expression.replace("$__rate_interval", "5m") for expression in _expressions()]
    rules = [{"record": f"query:number{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([tool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_are_what_the_program_writes() -> None:
    assert main(["--check"]) == 0


def test_there_is_one_for_users_one_for_each_service_and_one_for_the_books() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {"users", "books", *SERVICES}


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_panels_fit_the_grid_and_do_not_cover_each_other(name: str) -> None:
    board = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    covered: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & covered
        covered |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_every_panel_says_what_it_shows_and_takes_the_source_that_is_chosen() -> None:
    for name, panel in _panels():
        where = f"{name}: {panel['title']}"
        assert panel["title"], name
        assert panel["description"].endswith("."), where
        assert {source["datasource"]["uid"] for source in (panel, *panel["targets"])} == {"${datasource}"}, where
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), where
