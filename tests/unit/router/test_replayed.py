"""The report of a replay adds up: what moved, tiers against budgets, estimated costs by currency, refusals."""

from collections import Counter
from typing import Any

import pytest

from contracts.decisions import Decision
from router.domain import costs
from router.profiles import Profiles
from router.replayed import UNROUTABLE, Report
from router.replaying import Replay
from tests.unit.router.traffic import a_file, traffic

BOTH: dict[str, Any] = {"light": ["l1", "l2", "l3"], "strong": ["s1", "s2"], "strong_budget": 0.3}


def reported(decisions: list[Decision], document: dict[str, Any]) -> Report:
    profiles = Profiles.model_validate(document)
    report, replay = Report(profiles), Replay(profiles)
    for decision in decisions:
        report.add(replay.again(decision))
    return report


def recorded(seed: int = 21) -> list[Decision]:
    return list(traffic(seed).recorded())


def test_with_the_same_file_both_sides_are_equal() -> None:
    report = reported(recorded(), a_file())
    assert report.same == report.decisions == 300
    for alias in report.aliases.values():
        assert alias.before == alias.after
        assert not alias.moved
        assert not alias.other_tier
    assert "unchanged: 300 (100 %)" in report.text()


def test_costs_are_those_of_the_first_targets_by_currency_and_unknown_prices_are_counted() -> None:
    decisions = [one for one in recorded() if one.alias == "alias-pro"]
    document = a_file()
    document["targets"]["l1"]["prices"] = {"currency": "EUR", "input_per_million": "1", "output_per_million": "3"}
    side = reported(decisions, document).aliases["alias-pro"]
    firsts = Counter(one.order[0] for one in decisions if one.order)
    assert side.before.unpriced == side.after.unpriced == firsts["s3"] > 0
    assert set(side.before.spent) == {"USD"}
    expected = [costs.price_of(one.ask.features, (1e-6, 3e-6)) or 0 for one in decisions if one.order[:1] == ("l1",)]
    assert side.after.spent["EUR"] == pytest.approx(sum(expected))
    text = reported(decisions, document).text()
    assert " EUR" in text
    assert f"unknown for {firsts['s3']}" in text


def test_what_goes_elsewhere_is_counted_from_and_to() -> None:
    decisions = [one for one in recorded() if one.alias == "alias-pro" and one.ask.lock == "none"]
    report = reported(decisions, a_file(**{"alias-pro": {"targets": ["l2", "s1", "s3", "l1"], "affinity": "none"}}))
    alias = report.aliases["alias-pro"]
    assert {to for _, to in alias.moved} <= {"l2", "s1", "s3", "l1"}
    stayed = sum(one.order[0] == "l2" for one in decisions if one.order)
    assert alias.moved.total() <= alias.decisions - stayed
    assert alias.moved["s1", "l2"] > 0
    assert f"first target s1 → l2: {alias.moved['s1', 'l2']}" in report.text()


def test_strong_shares_stand_beside_their_budgets() -> None:
    decisions = [
        one for one in traffic(22, asks=900).recorded() if one.alias == "alias-free" and one.ask.lock == "none"
    ]
    alias = reported(decisions, a_file(**{"alias-free": {**BOTH, "strong_budget": 0.6}})).aliases["alias-free"]
    assert (alias.before.budget, alias.after.budget) == (0.3, 0.6)
    assert alias.after.strong_share == pytest.approx(0.6, abs=0.08)
    assert alias.other_tier["light", "strong"] > alias.other_tier["strong", "light"]


def test_refusals_are_counted_before_and_after() -> None:
    decisions = recorded()
    document = a_file(**{"alias-free": {"light": ["l3"]}})
    alias = reported(decisions, document).aliases["alias-free"]
    mine = [one for one in decisions if one.alias == "alias-free"]
    assert alias.before.unroutable == sum(not one.order for one in mine)
    assert alias.after.unroutable >= sum("images" in one.ask.features.needs for one in mine) > 0
    assert any(to == UNROUTABLE for _, to in alias.moved)


def test_an_alias_without_a_profile_is_told_and_counts_as_refused() -> None:
    document = a_file()
    del document["profiles"]["alias-pro"]
    report = reported(recorded(), document)
    alias = report.aliases["alias-pro"]
    assert not alias.has_profile
    assert alias.after.unroutable == alias.decisions
    assert "no profile for it" in report.text()
    assert report.document()["aliases"]["alias-pro"]["has_profile"] is False


def test_nothing_to_replay_is_a_report_too() -> None:
    report = reported([], a_file())
    assert report.text().startswith("0 decisions")
    assert report.document()["decisions"] == 0


def test_the_versions_that_decided_are_told() -> None:
    assert reported(recorded(), a_file()).document()["recorded_versions"] == {"4": 300}
