"""What an explanation says: the rule that fired, what every target cost, and what would have changed the choice."""

from dataclasses import replace
from datetime import UTC, datetime
from math import prod
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.decisions import Decision, Exclusion
from contracts.router import Choose, Chosen, Features, Route, Rule, Unroutable
from router.domain.deciding import Question, Seen, decide
from router.domain.tiers import Estimate, from_difficulty
from router.explaining import Explanation, explain, imagined, words
from router.profiles import Profiles
from router.recorded import decision_text, document
from router.recording import decision_of
from router.sentences import excluded_words, facts_of, facts_of_record, listed, placement_sentence, rule_sentence
from router.switchboard import Decided
from tests.unit.router.traffic import a_file, traffic

BOTH: dict[str, Any] = {"light": ["l1", "l2", "l3"], "strong": ["s1", "s2"], "strong_budget": 0.3}


def question(profile: dict[str, Any] | None = None, *, failing: tuple[str, ...] = (), **fields: Any) -> Question:
    """About a fleet at rest."""
    file = Profiles.model_validate(a_file(**{"alias-free": BOTH if profile is None else profile}))
    mine = file.profiles["alias-free"]
    seen = fields.pop("seen", imagined(mine.members, failing))
    features = fields.pop("features", Features(input_tokens=1_000))
    theta = fields.pop("theta", 0.15)
    return Question(fields.pop("request_id", UUID(int=1)), features, mine, file.targets, seen, theta, **fields)


def record(asked: Question) -> Decision:
    """What is kept of the decision of this question, through JSON."""
    verdict = decide(asked)
    ask = Choose(request_id=asked.request_id, plan="free", alias="alias-free", features=asked.features, lock=asked.lock)
    route = Route(
        profiles_version=4,
        request_class=asked.features.request_class,
        tier=verdict.tier,
        rule=verdict.rule,
        placement=verdict.placement,
        candidates=len(verdict.order),
        considered=len(asked.profile.members),
    )
    chosen = Chosen(alias="alias-free", plans_version=1, profiles_version=4, candidates=(), route=route)
    reply = chosen if verdict.order else Unroutable(reason="no_target")
    kept = decision_of(
        Decided(ask, "alias-free", 1, 4, asked, verdict, reply), datetime(2026, 3, 1, tzinfo=UTC), instance="replica-1"
    )
    return Decision.model_validate_json(kept.model_dump_json())


IMAGES = Features(input_tokens=1_000, needs=("images",))
BLIND = {"light": ["l3"], "strong": ["s1"], "strong_budget": 0.3}
RULES: list[tuple[Rule, Question, str]] = [
    ("provider_state", question(lock="target", pinned="s1"), "state that only s1 can read: it goes there"),
    ("tool_loop", question(lock="model", pinned="l1"), "in the middle of tool calls that l1 began: the model stays"),
    ("capability", question(BLIND, features=IMAGES), "Only the strong tier has a target that can take it now"),
    ("single_tier", question({"light": ["l1", "l2"]}), "The profile has one tier"),
    ("single_tier", question({"targets": ["l1", "l2"]}), "The profile names an order of targets"),
    ("budget", question({**BOTH, "strong_budget": 1}), "strong budget is 100 %: every request goes to the strong tier"),
    ("budget", question({**BOTH, "strong_budget": 0}), "strong budget is 0 %: every request goes to the light tier"),
    (
        "budget",
        question(session_tier="strong", session="a", theta=2.0),
        "has to leave the strong tier: sessions alone would spend more than the budget of 30 %",
    ),
    ("session", question(session_tier="strong"), "session is in the strong tier and stays there"),
    (
        "session",
        question(session_tier="light", estimate=from_difficulty(0.2)),
        "session is in the light tier and stays there: its estimate 0.100 is below θ 0.150",
    ),
    ("session", question(session_tier="light", theta=0.2), "stays there: nothing is known of it"),
    (
        "class_outcomes",
        question(estimate=Estimate(0.2, "class_outcomes"), features=Features(request_class="code")),
        "By the outcomes of `code` the strong tier gains 0.200, which reaches θ 0.150",
    ),
    (
        "class_outcomes",
        question(estimate=Estimate(0.1, "class_outcomes"), features=Features(request_class="code")),
        "gains 0.100, which does not reach θ 0.150",
    ),
    (
        "difficulty",
        question(estimate=from_difficulty(0.4), features=Features(difficulty=0.4)),
        "Its difficulty is 0.400: the strong tier should gain 0.200, which reaches θ 0.150",
    ),
    (
        "difficulty",
        question(estimate=from_difficulty(0.2), features=Features(difficulty=0.2)),
        "should gain 0.100, which does not reach θ 0.150",
    ),
    ("balance", question(theta=0.1), "strong budget of 30 % alone decides, and it has room (θ 0.100)"),
    ("balance", question(theta=0.3), "alone decides, and it is used up just now (θ 0.300)"),
]
REFUSED: list[tuple[Rule, Question, str]] = [
    ("provider_state", question(lock="target", pinned="gone"), "state that only gone can read, and that target cannot"),
    ("tool_loop", question(lock="model", pinned="gone"), "tool calls that gone began, and no target has that model"),
    ("capability", question({"light": ["l3"]}, features=IMAGES), "No target of the profile can take it"),
]


@pytest.mark.parametrize(("rule", "asked", "sentence"), RULES + REFUSED)
def test_the_explanation_names_the_rule_that_fired(rule: Rule, asked: Question, sentence: str) -> None:
    explanation = explain(asked)
    assert explanation.verdict.rule == rule
    assert sentence in explanation.rule
    assert explanation.rule in words(explanation)


@pytest.mark.parametrize(("rule", "asked", "sentence"), RULES + REFUSED)
def test_a_record_is_explained_as_the_decision_was(rule: Rule, asked: Question, sentence: str) -> None:
    kept = record(asked)
    assert facts_of_record(kept).rule == rule
    assert sentence in rule_sentence(facts_of_record(kept))
    assert rule_sentence(facts_of_record(kept)) in decision_text(kept)


def test_every_rule_that_the_router_can_produce_has_a_scenario() -> None:
    assert {rule for rule, _, _ in RULES} == set(get_args(Rule)) - {"last_plan"}


def test_the_rule_of_a_gateway_that_went_by_an_older_answer_has_a_sentence() -> None:
    facts = replace(facts_of(question(), decide(question())), rule="last_plan")
    assert "The router was silent" in rule_sentence(facts)


def test_sentences_of_records_are_those_of_the_decisions_under_any_traffic() -> None:
    made = traffic(11)
    for (decided, _), kept in zip(made.decided, made.recorded(), strict=True):
        facts, recorded = facts_of(decided.question, decided.verdict), facts_of_record(kept)
        assert rule_sentence(recorded) == rule_sentence(facts)
        assert placement_sentence(recorded) == placement_sentence(facts)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (question({"targets": ["l1", "l2"]}), "l1 is the first of the order that is well."),
        (question({"targets": ["l1", "l2"]}, failing=("l1",)), "l2 is the first of the order that is well."),
        (question(lock="model", pinned="l1"), "l1 served before what it belongs to."),
        (question(lock="model", pinned="l1", failing=("l1",)), "l2 has the same model as l1 and is better off."),
        (question({"light": ["l1", "l2"]}, session="s"), "is the place of its session."),
        (question({"light": ["l1", "l2"], "price_weight": 3}), "l1 costs least just now"),
    ],
)
def test_the_explanation_says_how_the_first_target_was_found(asked: Question, sentence: str) -> None:
    assert sentence in explain(asked).placement


def test_a_probe_is_said_to_be_one() -> None:
    seen = {**imagined(("l1", "l2", "l3"), ()), "l2": Seen(0.5, is_failing=True, may_probe=True)}
    assert explain(question({"light": ["l1", "l2", "l3"]}, seen=seen)).placement.startswith(
        "l2 is tried again after its failures"
    )


def test_a_target_whose_calls_of_this_minute_are_used_up_is_said_to_be_so_in_the_plan_and_out_of_it() -> None:
    full = {**imagined(("l1", "l2", "l3"), ()), "l3": Seen(0.01, starts_last_minute=40)}
    asked = question({"light": ["l1", "l2", "l3"]}, seen=full)
    assert decide(asked).order[2] == "l3"
    assert "l3 (light): has no calls left this minute" in words(explain(asked))
    assert "has no calls left this minute" in decision_text(record(asked))
    four = question({"light": ["l1", "l2", "l3", "s1"]}, seen={**full, "s1": Seen(0.5)})
    assert decide(four).excluded == {"l3": "rate"}
    assert "-  l3 (light): has no calls left this minute" in words(explain(four))


def test_panic_is_said() -> None:
    assert "health is ignored" in words(explain(question(failing=("l1", "l2", "l3"))))


def said(asked: Question) -> tuple[str, ...]:
    return explain(asked).changes


def hard(difficulty: float, **fields: Any) -> Question:
    features = Features(difficulty=difficulty, input_tokens=1_000)
    return question(features=features, estimate=from_difficulty(difficulty), **fields)


def test_it_is_said_from_which_difficulty_on_the_strong_tier_takes_it() -> None:
    assert "reaches the strong tier from difficulty 0.62 on" in said(hard(0.1, theta=0.31))
    assert "reaches the strong tier from difficulty 0.62 on" in said(hard(0.7, theta=0.31))
    assert "no difficulty takes it out of the light tier" in said(hard(0.1, theta=0.9))


def test_it_is_said_who_takes_over_one_after_the_other() -> None:
    found = said(question({"targets": ["l1", "s1", "s2"]}))
    assert "would go to s1 if l1 failed" in found
    assert "nothing else would serve it if l1 failed" in said(question({"targets": ["l1"]}))


def test_it_is_said_how_much_slower_a_target_would_have_to_be() -> None:
    asked = question({"light": ["l1", "l2"], "price_weight": 2})
    found = next(one for one in said(asked) if "times as slow" in one)
    times = float(found.split(" were ")[1].split(" times")[0])
    for factor, first in ((times * 0.98, "l1"), (times * 1.02, "l2")):
        slower = {**asked.seen, "l1": Seen(0.5 * factor)}
        assert decide(replace(asked, seen=slower)).order[0] == first


def test_it_is_said_beyond_which_size_it_would_not_fit() -> None:
    assert "beyond 31,000 input tokens it would go to l2" in said(
        question({"light": ["l1", "l2"], "price_weight": 4}, features=Features(input_tokens=10, output_tokens=1_000))
    )


def test_it_is_said_what_a_need_would_change() -> None:
    assert "with images it would go to l1" in said(question({"targets": ["l3", "l1"]}))
    assert "with images it would have no target" in said(question({"targets": ["l3"]}))


def test_equal_targets_are_said_to_share() -> None:
    found = next(one for one in said(question({"light": ["l1", "l2"], "price_weight": 0})) if "by chance" in one)
    shares = [int(part.split()[-2]) for part in found.split(": ")[1].split(", ")]
    assert sum(shares) == 100
    assert min(shares) > 30


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 500))
def test_the_factors_of_a_cost_make_the_cost(seed: int) -> None:
    for decided, _ in traffic(seed, asks=10).decided:
        for one in explain(decided.question).targets:
            if one.terms is None or one.cost is None:
                continue
            terms = one.terms
            factors = (terms.latency_seconds, terms.waiting, terms.load, terms.failures, terms.price, terms.jitter)
            assert prod(factors) == pytest.approx(one.cost)
            assert 0.949 <= terms.jitter <= 1.051


def test_every_target_is_either_in_the_plan_or_out_of_it_for_a_reason() -> None:
    explanation: Explanation = explain(question(features=IMAGES))
    by_name = {one.target: one for one in explanation.targets}
    assert by_name["l3"].excluded == "images"
    assert all((one.place is None) == (one.excluded is not None) for one in by_name.values())
    assert "takes no images" in words(explanation)


def test_a_refusal_shows_why_every_target_is_out_and_promises_no_change() -> None:
    explanation = explain(question({"light": ["l3"]}, features=IMAGES))
    assert explanation.changes == ()
    assert "l3 (light): takes no images" in words(explanation)


@pytest.mark.parametrize("exclusion", get_args(Exclusion))
def test_every_exclusion_has_its_words(exclusion: Exclusion) -> None:
    assert excluded_words(exclusion)


def test_a_record_shows_targets_with_their_scores_and_what_the_customer_was_told() -> None:
    kept = record(replace(hard(0.4, theta=0.1), session="0123456789abcdef"))
    text = decision_text(kept)
    assert "decided 2026-03-01 00:00:00" in text
    assert "difficulty 0.400" in text
    assert "θ 0.100, estimate 0.200, strong budget 30 %" in text
    assert text.endswith(
        "told: profiles=4; class=unknown; tier=strong; rule=difficulty; placement=affinity; target=…/3"
    )
    assert all(name in text for name in ("l1", "l2", "l3", "s1", "s2"))
    assert document(kept)["rule_sentence"] in text


def test_a_record_without_a_plan_says_that_the_customer_was_refused() -> None:
    text = decision_text(record(question({"light": ["l3"]}, features=IMAGES)))
    assert text.endswith("told: that there is no target")
    assert "takes no images" in text


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_names_are_listed_as_in_a_sentence(names: list[str], text: str) -> None:
    assert listed(names) == text
