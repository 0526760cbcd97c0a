"""One decision: what it must never do, what it prefers, and that it can be made again."""

from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.router import Features, Lock, Need
from router.domain.deciding import MOST_CANDIDATES, Question, Seen, Verdict, decide
from router.domain.tiers import from_difficulty
from router.profiles import Profile, Target

LIGHT, STRONG = ("l1", "l2", "l3"), ("s1", "s2")
HALF: dict[str, Any] = {"light": LIGHT, "strong": STRONG, "strong_budget": 0.5}


def targets(**changes: dict[str, Any]) -> dict[str, Target]:
    return {
        name: Target.model_validate({"base_url": "http://127.0.0.1/v1", "model": name, **changes.get(name, {})})
        for name in (*LIGHT, *STRONG)
    }


def question(
    profile: dict[str, Any] | None = None,
    *,
    number: int = 1,
    seen: dict[str, Seen] | None = None,
    of_targets: dict[str, Target] | None = None,
    **fields: Any,
) -> Question:
    state = {name: Seen(0.5) for name in (*LIGHT, *STRONG)} | (seen or {})
    known = of_targets or targets()
    return Question(
        UUID(int=number),
        fields.pop("features", Features()),
        Profile.model_validate(HALF if profile is None else profile),
        known,
        state,
        fields.pop("theta", 0.2),
        **fields,
    )


def firsts(asks: int = 200, **fields: Any) -> Counter[str]:
    """What is chosen first, over many requests."""
    return Counter(decide(question(number=number, **fields)).order[0] for number in range(asks))


FAILING = Seen(0.5, is_failing=True)
EASY, HARD = from_difficulty(0.1), from_difficulty(0.9)


def test_a_plan_has_at_most_three_targets_those_of_its_tier_first() -> None:
    verdict = decide(question(estimate=HARD))
    assert (verdict.tier, verdict.rule, verdict.placement) == ("strong", "difficulty", "cost")
    assert set(verdict.order[:2]) == set(STRONG)
    assert len(verdict.order) == MOST_CANDIDATES
    assert verdict.order[2] in LIGHT
    assert set(verdict.excluded.values()) == {"tier"}


def test_equal_targets_share_the_requests_and_a_slow_a_loaded_or_an_unreliable_one_gets_none() -> None:
    assert set(firsts(estimate=EASY)) == set(LIGHT)
    for worse in (Seen(1.0), Seen(0.5, waiting=2), Seen(0.5, in_flight=64), Seen(0.5, success=0.7)):
        assert set(firsts(estimate=EASY, seen={"l2": worse})) == {"l1", "l3"}


def test_price_counts_by_its_weight_and_not_at_all_when_one_is_not_known() -> None:
    def priced(per_million: int) -> dict[str, Any]:
        return {"prices": {"currency": "USD", "input_per_million": per_million, "output_per_million": per_million}}

    cheap_is_slower = {"l1": Seen(0.9), "l2": Seen(0.5)}
    profile = {"light": ("l1", "l2"), "price_weight": 2}
    known = targets(l1=priced(1), l2=priced(2))
    assert set(firsts(profile=profile, of_targets=known, seen=cheap_is_slower)) == {"l1"}
    assert set(firsts(profile={**profile, "price_weight": 0}, of_targets=known, seen=cheap_is_slower)) == {"l2"}
    assert set(firsts(profile=profile, of_targets=targets(l1=priced(1)), seen=cheap_is_slower)) == {"l2"}


def test_a_failing_target_is_last_and_never_first_while_others_are_well() -> None:
    verdict = decide(question({"light": LIGHT}, seen={"l1": FAILING}))
    assert verdict.order[-1] == "l1"
    assert "l1" not in firsts(profile={"light": LIGHT}, seen={"l1": FAILING})


def test_a_tier_whose_targets_all_fail_is_left_rather_than_the_request() -> None:
    verdict = decide(question(estimate=HARD, seen={"s1": FAILING, "s2": FAILING}))
    assert (verdict.tier, verdict.rule) == ("light", "capability")
    assert verdict.order[0] in LIGHT


def test_a_probe_of_the_other_tier_waits_for_a_request_of_that_tier() -> None:
    probe = {"s1": Seen(0.5, is_failing=True, may_probe=True)}
    assert decide(question(estimate=EASY, seen=probe)).order[0] in LIGHT
    assert decide(question(estimate=HARD, seen=probe)).probe == "s1"


def test_when_more_than_half_fail_the_fault_is_rather_ours_and_breakers_are_ignored() -> None:
    both = {"l1": FAILING, "l2": FAILING}
    verdict = decide(question({"light": LIGHT}, seen=both))
    assert verdict.is_panic
    assert set(firsts(profile={"light": LIGHT}, seen=both)) == set(LIGHT)


def test_a_target_whose_rate_is_used_up_is_asked_only_after_the_others() -> None:
    known = targets(l1={"requests_per_minute": 60})
    used_up = {"l1": Seen(0.1, starts_last_minute=60)}
    assert "l1" not in firsts(profile={"light": LIGHT}, of_targets=known, seen=used_up)
    assert decide(question({"light": ("l1",)}, of_targets=known, seen=used_up)).order == ("l1",)


def test_a_fixed_order_is_kept_whatever_the_costs_and_its_first_well_target_serves() -> None:
    profile = {"targets": ("l3", "l1", "s1")}
    assert decide(question(profile, seen={"l3": Seen(9.0)})).order == ("l3", "l1", "s1")
    assert decide(question(profile, seen={"l3": FAILING})).order == ("l1", "s1", "l3")
    assert decide(question(profile, pinned="s1")).order == ("s1", "l3", "l1")


def test_a_session_finds_its_target_again_until_that_is_failing_or_much_dearer() -> None:
    homes = {session: decide(question(number=9, estimate=EASY, session=session)) for session in ("a", "b", "c", "d")}
    assert {verdict.placement for verdict in homes.values()} == {"affinity"}
    for session, verdict in homes.items():
        home = verdict.order[0]
        assert set(firsts(estimate=EASY, session=session)) == {home}
        assert set(firsts(estimate=EASY, session=session, seen={home: Seen(1.5)})) == {home}
        assert home not in firsts(estimate=EASY, session=session, seen={home: Seen(5.0)})
        assert home not in firsts(estimate=EASY, session=session, seen={home: FAILING})


def test_whoever_takes_a_session_over_is_its_second_choice_then_and_later() -> None:
    for session in ("a", "b", "c", "d"):
        home, second = decide(question(estimate=EASY, session=session)).order[:2]
        assert firsts(estimate=EASY, session=session, seen={home: FAILING}) == {second: 200}


def test_a_profile_says_how_faithful_its_sessions_are() -> None:
    seen = {name: Seen(0.5) for name in LIGHT}
    home = decide(question({"light": LIGHT, "affinity": "strong"}, session="a")).order[0]
    slower = seen | {home: Seen(5.0)}
    assert set(firsts(profile={"light": LIGHT, "affinity": "strong"}, session="a", seen=slower)) == {home}
    assert set(firsts(profile={"light": LIGHT, "affinity": "none"}, session="a", seen=seen)) == set(LIGHT)


def test_a_probe_goes_first_once_and_is_followed_by_targets_that_are_well() -> None:
    verdict = decide(question({"light": LIGHT}, seen={"l2": Seen(0.5, is_failing=True, may_probe=True)}))
    assert (verdict.probe, verdict.order[0], verdict.placement) == ("l2", "l2", "probe")
    assert set(verdict.order[1:]) == {"l1", "l3"}


@pytest.mark.parametrize("lock", ["model", "target"])
def test_in_the_middle_of_tool_calls_and_with_a_targets_state_nothing_switches_even_if_all_else_speaks_for_it(
    lock: Lock,
) -> None:
    worst = Seen(30.0, waiting=50, in_flight=500, success=0.05, is_failing=True)
    verdict = decide(question(lock=lock, pinned="l2", seen={"l2": worst}, estimate=HARD, session="a"))
    assert verdict.order == ("l2",)
    assert verdict.rule == ("tool_loop" if lock == "model" else "provider_state")
    assert set(verdict.excluded.values()) == {"locked"}


def test_tool_calls_may_go_on_at_another_endpoint_of_the_same_model_and_state_may_not() -> None:
    known = targets(l2={"model_family": "m"}, s2={"model_family": "m"})
    failing = {"l2": FAILING}
    assert decide(question(lock="model", pinned="l2", of_targets=known)).order == ("l2", "s2")
    assert decide(question(lock="model", pinned="l2", of_targets=known, seen=failing)).order == ("s2", "l2")
    assert decide(question(lock="target", pinned="l2", of_targets=known, seen=failing)).order == ("l2",)


def test_what_is_bound_to_a_target_that_is_no_more_has_no_plan() -> None:
    verdict = decide(question(lock="model", pinned="gone"))
    assert (verdict.order, verdict.rule) == ((), "tool_loop")


def test_thoughts_of_earlier_turns_are_left_behind_with_a_target_that_is_gone_and_kept_with_one_that_fails() -> None:
    gone = decide(question(lock="target", pinned="gone", may_leave_state=True, estimate=EASY))
    assert (gone.tier, gone.rule) == ("light", "difficulty")
    failing = decide(question(lock="target", pinned="l2", may_leave_state=True, seen={"l2": FAILING}))
    assert (failing.order, failing.rule) == (("l2",), "provider_state")


def test_a_lock_without_a_memory_of_who_served_is_an_ordinary_request() -> None:
    assert decide(question(lock="model", pinned=None)).order != ()


def test_a_request_that_no_target_can_take_has_no_plan_and_says_why() -> None:
    blind = {name: {"dialect": {"takes_images": False}} for name in (*LIGHT, *STRONG)}
    verdict = decide(question(of_targets=targets(**blind), features=Features(needs=("images",))))
    assert verdict.order == ()
    assert set(verdict.excluded.values()) == {"images"}


def test_only_the_tier_that_can_take_a_request_does_whatever_the_budget() -> None:
    blind = {name: {"dialect": {"takes_images": False}} for name in LIGHT}
    verdict = decide(
        question({**HALF, "strong_budget": 0.0}, of_targets=targets(**blind), features=Features(needs=("images",)))
    )
    assert (verdict.tier, verdict.rule) == ("strong", "capability")
    assert set(verdict.order) == set(STRONG)


def test_a_profile_of_one_tier_says_so() -> None:
    assert decide(question({"light": LIGHT})).rule == "single_tier"
    strong = decide(question({"strong": STRONG}))
    assert (strong.rule, strong.tier) == ("single_tier", "strong")


states = st.builds(
    Seen,
    st.floats(0.15, 60.0),
    waiting=st.integers(0, 100),
    in_flight=st.integers(0, 500),
    success=st.floats(0.0, 1.0),
    starts_last_minute=st.integers(0, 1_000),
    is_failing=st.booleans(),
    may_probe=st.booleans(),
)
needs: st.SearchStrategy[list[Need]] = st.lists(
    st.sampled_from(("tools", "images", "schema", "parallel_calls")), unique=True, max_size=2
)
profiles = st.sampled_from(
    [HALF, {**HALF, "affinity": "strong"}, {"light": LIGHT}, {"targets": LIGHT}, {"strong": STRONG}]
)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    some = {"dialect": {"takes_images": draw(st.booleans()), "takes_tools": draw(st.booleans())}}
    return question(
        draw(profiles),
        number=draw(st.integers(0, 2**64)),
        seen={name: draw(states) for name in (*LIGHT, *STRONG)},
        of_targets=targets(l1=some, s1={**some, "model_family": "shared"}, l3={"model_family": "shared"}),
        features=Features(needs=tuple(draw(needs)), input_tokens=draw(st.integers(0, 300_000))),
        theta=draw(st.floats(-0.5, 1.0)),
        estimate=from_difficulty(draw(st.none() | st.floats(0, 1))),
        lock=draw(st.sampled_from(("none", "model", "target"))),
        session=draw(st.none() | st.text(max_size=5)),
        session_tier=draw(st.sampled_from((None, "light", "strong"))),
        pinned=draw(st.none() | st.sampled_from((*LIGHT, *STRONG, "gone"))),
    )


@given(questions())
def test_the_same_question_has_the_same_answer(asked: Question) -> None:
    assert decide(asked) == decide(asked)


@given(questions())
def test_every_plan_is_made_of_targets_that_can_take_the_request(asked: Question) -> None:
    verdict = decide(asked)
    assert len(set(verdict.order)) == len(verdict.order) <= MOST_CANDIDATES
    for name in verdict.order:
        assert name in asked.profile.members
        assert "images" not in asked.features.needs or asked.targets[name].dialect.takes_images
        assert "tools" not in asked.features.needs or asked.targets[name].dialect.takes_tools
    assert set(verdict.order) | set(verdict.excluded) == set(asked.profile.members)
    assert not set(verdict.order) & set(verdict.excluded)


@given(questions())
def test_no_plan_switches_a_model_that_has_begun(asked: Question) -> None:
    verdict: Verdict = decide(asked)
    if asked.lock == "none" or asked.pinned is None or asked.may_leave_state:
        return
    pinned = asked.targets.get(asked.pinned)
    for name in verdict.order:
        assert name == asked.pinned or (
            asked.lock == "model" and pinned is not None and asked.targets[name].family == pinned.family
        )


@given(questions())
def test_a_failing_target_is_first_only_as_a_probe_in_panic_bound_or_for_want_of_others(asked: Question) -> None:
    verdict = decide(asked)
    if not verdict.order or verdict.is_panic or verdict.placement == "probe":
        return
    first = verdict.order[0]
    if asked.seen[first].is_failing:
        able = [name for name in asked.profile.members if name in verdict.costs]
        assert all(asked.seen[name].is_failing for name in able)
