"""Recorded decisions can be made again: the same with the same file, and others for a reason with another one."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.decisions import Decision
from router.domain.deciding import decide
from router.profiles import Profiles
from router.replaying import Again, Replay, has_same_shape, question_of
from tests.unit.router.traffic import a_file, traffic

BOTH: dict[str, Any] = {"light": ["l1", "l2", "l3"], "strong": ["s1", "s2"], "strong_budget": 0.3}


def profiles(**changes: Any) -> Profiles:
    return Profiles.model_validate(a_file(**changes))


def replayed(decisions: list[Decision], file: Profiles) -> list[Again]:
    replay = Replay(file)
    return [replay.again(decision) for decision in decisions]


def share(found: list[Again]) -> float:
    counted = Counter(one.verdict.tier for one in found if one.verdict is not None and one.verdict.order)
    return counted["strong"] / counted.total()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(({}, {"affinity": "strong"}, {"price_weight": 0}, {"strong_budget": 1})))
def test_a_replay_with_the_same_file_changes_nothing(seed: int, changes: dict[str, Any]) -> None:
    file = a_file(**{"alias-free": {**BOTH, **changes}})
    made = traffic(seed, asks=150, file=file)
    found = replayed(list(made.recorded()), Profiles.model_validate(file))
    assert len(found) == 150
    for (decided, _), again in zip(made.decided, found, strict=True):
        assert again.verdict == decided.verdict
        assert again.question == replace(decided.question, targets=again.question.targets)  # type: ignore[union-attr]
        assert again.is_same


def test_the_traffic_has_all_that_decisions_are_made_of() -> None:
    verdicts = [decided.verdict for seed in range(5) for decided, _ in traffic(seed).decided]
    assert {verdict.rule for verdict in verdicts if verdict.order} == {
        "provider_state",
        "tool_loop",
        "single_tier",
        "session",
        "class_outcomes",
        "difficulty",
        "balance",
    }
    assert {verdict.placement for verdict in verdicts} == {"order", "pinned", "probe", "affinity", "cost"}
    assert any(verdict.is_panic for verdict in verdicts)
    assert any(not verdict.order for verdict in verdicts)


@given(st.integers(0, 1_000))
@settings(max_examples=5, deadline=None)
def test_the_same_request_against_the_same_snapshot_is_decided_the_same_whatever_the_order_of_what_is_told(
    seed: int,
) -> None:
    for decision in traffic(seed, asks=30).recorded():
        file = profiles()
        question = question_of(decision, file.profiles[decision.alias], file.targets)
        turned = replace(
            question,
            seen=dict(reversed(list(question.seen.items()))),
            targets=dict(reversed(list(question.targets.items()))),
        )
        assert decide(turned) == decide(question)


def test_a_profile_with_another_budget_is_steered_to_it() -> None:
    decisions = list(traffic(1, asks=1_200).recorded())
    asked = [decision for decision in decisions if decision.alias == "alias-free" and decision.ask.lock == "none"]
    before = replayed(asked, profiles())
    after = replayed(asked, profiles(**{"alias-free": {**BOTH, "strong_budget": 0.7}}))
    assert share(before) == pytest.approx(0.3, abs=0.1)
    assert share(after) == pytest.approx(0.7, abs=0.05)


def test_replicas_are_steered_each_by_itself() -> None:
    file = profiles(**{"alias-free": {**BOTH, "strong_budget": 0.6}})
    here, there = (
        [
            one.model_copy(update={"ask": one.ask.model_copy(update={"affinity": (), "lock": "none"})})
            for one in traffic(seed, asks=200, instance=name).recorded()
            if one.alias == "alias-free"
        ]
        for seed, name in ((1, "here"), (2, "there"))
    )
    mixed = [decision for pair in zip(here, there, strict=False) for decision in pair]
    steps = [
        replayed(decisions, file)[-1].question
        for decisions in ([one for one in mixed if one.decided_by == name] for name in ("here", "there"))
    ]
    together = {one.decision.decided_by: one.question for one in replayed(mixed, file)}
    assert {name: one.theta for name, one in together.items() if one} == {
        name: one.theta for name, one in zip(("here", "there"), steps, strict=True) if one
    }


def test_a_session_follows_where_the_new_decisions_took_it() -> None:
    only_light = profiles(**{"alias-free": {"light": ["l1", "l2"]}, "alias-pro": {"light": ["l1", "l2"]}})
    found = replayed(list(traffic(3).recorded()), only_light)
    by_session: dict[str, str] = {}
    for one in found:
        key = one.decision.ask.affinity[:1]
        assert one.verdict is not None
        if one.decision.ask.lock == "target" and one.decision.pinned and key and key[0] in by_session:
            assert one.verdict.order[:1] in ((by_session[key[0]],), ())
        if one.verdict.order:
            by_session.update(dict.fromkeys(one.decision.ask.affinity, one.verdict.order[0]))
    assert by_session


def test_a_session_that_nobody_remembered_then_is_not_remembered_now() -> None:
    forgetful = [one.model_copy(update={"pinned": None, "session_tier": None}) for one in traffic(3).recorded()]
    for one in replayed(forgetful, profiles(**{"alias-free": {**BOTH, "strong_budget": 0.6}})):
        assert one.question is not None
        assert (one.question.pinned, one.question.session_tier) == (None, None)


def test_a_target_that_the_record_does_not_know_is_seen_as_the_middle_of_the_others() -> None:
    file = profiles(**{"alias-free": {**BOTH, "light": ["l1", "l2", "l3", "s3"]}})
    for one in replayed(list(traffic(4, asks=100).recorded()), file):
        if one.decision.alias != "alias-free" or one.question is None:
            continue
        well = [seen.latency_seconds for seen in one.decision.seen if not seen.is_failing]
        assert not well or min(well) <= one.question.seen["s3"].latency_seconds <= max(well)
        assert not one.question.seen["s3"].is_failing


def test_a_target_more_changes_nothing_between_the_others() -> None:
    file = profiles(**{"alias-free": {**BOTH, "light": ["s3", "l1", "l2", "l3"]}})
    for decision in traffic(5, asks=200).recorded():
        if decision.alias == "alias-free" and decision.ask.lock == "none":
            before = decide(question_of(decision, profiles().profiles["alias-free"], file.targets))
            after = decide(question_of(decision, file.profiles["alias-free"], file.targets))
            for name in ("s1", "s2"):
                assert after.costs.get(name) == before.costs.get(name)


def test_a_profile_that_gets_a_second_tier_is_estimated_by_the_difficulty() -> None:
    old = a_file(**{"alias-free": {"light": ["l1", "l2", "l3"]}})
    decisions = [one for one in traffic(6, file=old).recorded() if one.alias == "alias-free"]
    found = replayed(decisions, profiles())
    rules = {one.verdict.rule for one in found if one.verdict is not None and one.verdict.order}
    assert "difficulty" in rules
    assert "single_tier" not in rules


def test_a_file_without_the_alias_has_no_verdict() -> None:
    decision = next(one for one in traffic(7).recorded() if one.alias == "alias-pro")
    document = a_file()
    del document["profiles"]["alias-pro"]
    again = Replay(Profiles.model_validate(document)).again(decision)
    assert again.verdict is None
    assert not again.is_same


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"price_weight": 2, "affinity": "none", "may_hedge": True}, True),
        ({"light": ["l3", "l2", "l1"]}, True),
        ({"strong_budget": 0.31}, False),
        ({"light": ["l1", "l2"]}, False),
        ({"light": ["l1", "l2", "l3", "s1"]}, False),
    ],
)
def test_a_shape_is_tiers_and_budget(changes: dict[str, Any], is_same: bool) -> None:
    decision = next(one for one in traffic(8).recorded() if one.alias == "alias-free")
    assert has_same_shape(decision, profiles(**{"alias-free": {**BOTH, **changes}}).profiles["alias-free"]) is is_same


def test_the_shape_of_an_order_is_its_order() -> None:
    decision = next(one for one in traffic(8).recorded() if one.alias == "alias-pro")
    same = profiles().profiles["alias-pro"]
    turned = profiles(**{"alias-pro": {"targets": ["s3", "s1", "l1", "l2"]}}).profiles["alias-pro"]
    tiered = profiles(**{"alias-pro": {"light": ["s1", "s3", "l1", "l2"]}}).profiles["alias-pro"]
    assert [has_same_shape(decision, one) for one in (same, turned, tiered)] == [True, False, False]
