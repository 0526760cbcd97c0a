"""Why a request went where it went, in sentences for staff: of decisions that are made now, and of recorded ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.decisions import Decision, Exclusion
from contracts.router import Lock, Placement, RequestClass, Rule, Tier
from router.domain.deciding import Question, Verdict
from router.listings import percent


@dataclass(frozen=True, slots=True)
class Facts:
    """What a sentence is made of. `first` is the target that the plan begins with; None: there is no plan."""

    rule: Rule
    placement: Placement
    tier: Tier
    first: str | None
    theta: float
    gain: float | None
    difficulty: float | None
    request_class: RequestClass
    budget: float | None
    is_ordered: bool
    pinned: str | None
    session_tier: Tier | None


def facts_of(question: Question, verdict: Verdict) -> Facts:
    """Of a decision that was just made."""
    return Facts(
        rule=verdict.rule,
        placement=verdict.placement,
        tier=verdict.tier,
        first=verdict.order[0] if verdict.order else None,
        theta=question.theta,
        gain=question.estimate.gain,
        difficulty=question.features.difficulty,
        request_class=question.features.request_class,
        budget=question.profile.strong_budget,
        is_ordered=bool(question.profile.targets),
        pinned=question.pinned,
        session_tier=question.session_tier,
    )


def facts_of_record(decision: Decision) -> Facts:
    """Of a recorded decision. One without a plan has no route, and its rule follows from what was asked."""
    route, features = decision.route, decision.ask.features
    return Facts(
        rule=route.rule if route is not None else _rule_without_plan(decision.ask.lock, decision.pinned),
        placement=route.placement if route is not None else "order",
        tier=route.tier if route is not None else "light",
        first=decision.order[0] if decision.order else None,
        theta=decision.theta,
        gain=decision.estimate,
        difficulty=features.difficulty,
        request_class=features.request_class,
        budget=decision.budget,
        is_ordered=not any(seen.tiers for seen in decision.seen),
        pinned=decision.pinned,
        session_tier=decision.session_tier,
    )


def _rule_without_plan(lock: Lock, pinned: str | None) -> Rule:
    if lock == "none" or pinned is None:
        return "capability"
    return "provider_state" if lock == "target" else "tool_loop"


def rule_sentence(facts: Facts) -> str:
    """The rule that fired, with the numbers that it went by."""
    if facts.first is None:
        return _without_plan(facts)
    if facts.rule == "provider_state":
        return f"It carries state that only {facts.pinned} can read: it goes there and nowhere else."
    if facts.rule == "tool_loop":
        return f"It is in the middle of tool calls that {facts.pinned} began: the model stays."
    if facts.rule == "capability":
        return f"Only the {facts.tier} tier has a target that can take it now."
    if facts.rule == "single_tier":
        return "The profile names an order of targets." if facts.is_ordered else "The profile has one tier."
    if facts.rule == "last_plan":
        return "The router was silent: the gateway went by its last answer for such requests."
    return _by_threshold(facts)


def _without_plan(facts: Facts) -> str:
    if facts.rule == "provider_state":
        return f"It carries state that only {facts.pinned} can read, and that target cannot be asked: it is refused."
    if facts.rule == "tool_loop":
        return f"It is in the middle of tool calls that {facts.pinned} began, and no target has that model: refused."
    return "No target of the profile can take it: it is refused."


def _by_threshold(facts: Facts) -> str:
    """The rules of a profile with both tiers."""
    budget = percent(facts.budget if facts.budget is not None else 0.0)
    theta = f"θ {facts.theta:.3f}"
    reaches = "reaches" if facts.tier == "strong" else "does not reach"
    if facts.rule == "budget" and facts.session_tier == "strong" and facts.budget not in (0.0, 1.0):
        return f"Its session has to leave the strong tier: sessions alone would spend more than the budget of {budget}."
    if facts.rule == "budget":
        return f"The strong budget is {budget}: every request goes to the {facts.tier} tier."
    if facts.rule == "session" and facts.tier == "strong":
        return "Its session is in the strong tier and stays there."
    if facts.rule == "session":
        estimate = "nothing is known of it" if facts.gain is None else f"its estimate {facts.gain:.3f} is below {theta}"
        return f"Its session is in the light tier and stays there: {estimate}."
    if facts.rule == "class_outcomes":
        gain = f"{facts.gain:.3f}" if facts.gain is not None else "nothing"
        return f"By the outcomes of `{facts.request_class}` the strong tier gains {gain}, which {reaches} {theta}."
    if facts.rule == "difficulty":
        difficulty = f"{facts.difficulty:.3f}" if facts.difficulty is not None else "unknown"
        gain = f"{facts.gain:.3f}" if facts.gain is not None else "nothing"
        return f"Its difficulty is {difficulty}: the strong tier should gain {gain}, which {reaches} {theta}."
    side = "has room" if facts.tier == "strong" else "is used up just now"
    return f"Nothing is known of the prompt: the strong budget of {budget} alone decides, and it {side} ({theta})."


def placement_sentence(facts: Facts) -> str:
    """How the first target was found."""
    first = facts.first
    if first is None:
        return ""
    return {
        "order": f"{first} is the first of the order that is well.",
        "pinned": f"{first} served before what it belongs to."
        if first == facts.pinned
        else f"{first} has the same model as {facts.pinned} and is better off.",
        "probe": f"{first} is tried again after its failures, with this one request.",
        "affinity": f"{first} is the place of its session.",
        "cost": f"{first} costs least just now, of those that are well and have calls left.",
    }[facts.placement]


_EXCLUDED: dict[Exclusion, str] = {
    "tools": "takes no tools",
    "images": "takes no images",
    "schema": "has no structured output",
    "parallel_calls": "makes one tool call at a time, others make several",
    "context": "its window is too small for the estimate",
    "output": "writes no answer of that length",
    "region": "is in another region",
    "rate": "has no calls left this minute",
    "failing": "is set aside for its failures",
    "locked": "is another model or target than the one that has begun",
    "tier": "no room in the plan: others come first",
}


def excluded_words(exclusion: Exclusion) -> str:
    """Why a target is not in the plan."""
    return _EXCLUDED[exclusion]


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
