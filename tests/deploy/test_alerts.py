"""Every alert fires when it should, stays quiet when it should, and leads to what helps."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.promtool import NoPromtool, promtool

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "deploy/alerts").glob("*.yaml"))
CASES = sorted((ROOT / "deploy/alerts/tests").glob("*.yaml"))
SEVERITIES = ("page", "ticket")


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def _rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in _read(path)["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in _rules() if "alert" in rule]


@pytest.fixture(scope="session")
def tool() -> Path:
    try:
        return promtool()
    except NoPromtool as exc:
        # Not skipped: an alert that nobody has tried is none.
        pytest.fail(str(exc))


def _run(tool: Path, *arguments: str | Path) -> None:
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_can_read_every_rule(tool: Path) -> None:
    _run(tool, "check", "rules", "--lint-fatal", *RULES)


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_quiet_as_their_cases_say(tool: Path, cases: Path) -> None:
    _run(tool, "test", "rules", cases)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet(alert: dict[str, Any]) -> None:
    tried = [
        bool(check["exp_alerts"])
        for path in CASES
        for case in _read(path)["tests"]
        for check in case["alert_rule_test"]
        if check["alertname"] == alert["alert"]
    ]
    assert set(tried) == {True, False}


def test_every_file_of_rules_has_a_file_of_cases() -> None:
    assert [path.name for path in RULES] == [path.name for path in CASES]
    assert [_read(path)["rule_files"] for path in CASES] == [[f"../{path.name}"] for path in RULES]


def test_no_two_alerts_have_the_same_name() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_says_how_urgent_it_is_and_what_it_means(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in SEVERITIES
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}


def test_every_section_of_the_runbook_that_is_named_like_an_alert_is_led_to() -> None:
    """A section that is left over would be of an alert that has another name now."""
    lines = (ROOT / "docs/runbook.md").read_text(encoding="utf-8").splitlines()
    sections = {line.removeprefix("### ").lower() for line in lines if line.startswith("### ")}
    assert sections == {alert["annotations"]["runbook_url"].partition("#")[2] for alert in ALERTS}
