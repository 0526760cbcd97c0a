"""One decision: from what is asked and what is known of the targets to a plan of at most three of them.

A function of its arguments alone: the same question decided twice gives the same answer, which is what explanations and
replays rest on. The jitter that keeps replicas from all preferring the same target comes from the request id.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from uuid import UUID

from contracts.decisions import Exclusion
from contracts.router import Features, Lock, Placement, Rule, Tier
from router.domain import capability, costs, placing
from router.domain.tiers import UNKNOWN, Estimate, choose_tier
from router.profiles import Profile, Target

MOST_CANDIDATES = 3
JITTER = 0.05
# Beyond this share of failing targets the fault is rather ours: breakers are ignored.
PANIC_SHARE = 0.5
# How much dearer than the others usually are a session's own target may be before the session leaves it, by affinity.
# Without the terms of load: what passes in seconds is no reason to leave a prompt cache, and `placing` overruns nobody.
_FAITHFUL = {"session": 4.0, "strong": 16.0}
# A first byte within this time is quick enough: nobody leaves a prompt cache for a quicker one.
_UNFELT_SECONDS = 0.5
_TIERS: tuple[Tier, Tier] = ("light", "strong")


@dataclass(frozen=True, slots=True)
class Seen:
    """A target as it is now. `latency_seconds` includes the age of an overdue attempt."""

    latency_seconds: float
    waiting: int = 0
    in_flight: int = 0
    success: float = 1.0
    starts_last_minute: int = 0
    is_failing: bool = False
    may_probe: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """All that a decision depends on.

    `pinned` is the target that served before what the request is bound to; `may_leave_state`: without that target it
    is bound to nothing.
    """

    request_id: UUID
    features: Features
    profile: Profile
    targets: Mapping[str, Target]
    seen: Mapping[str, Seen]
    theta: float
    estimate: Estimate = UNKNOWN
    lock: Lock = "none"
    session: str | None = None
    session_tier: Tier | None = None
    pinned: str | None = None
    is_stream: bool = True
    may_leave_state: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The plan: `order`, best first; empty when no target can take the request, for the reasons in `excluded`."""

    order: tuple[str, ...]
    tier: Tier
    rule: Rule
    placement: Placement
    probe: str | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    excluded: Mapping[str, Exclusion] = field(default_factory=dict)
    is_panic: bool = False


@dataclass(frozen=True, slots=True)
class _Field:
    """The targets that can take the request, what each would cost (with and without its load), and who is well."""

    question: Question
    able: Mapping[str, Target]
    costs: Mapping[str, float]
    worths: Mapping[str, float]
    well: frozenset[str]
    is_panic: bool

    def by_cost(self, names: Sequence[str]) -> list[str]:
        """Those that are well first, each group from the cheapest on."""
        return sorted(names, key=lambda name: (name not in self.well, self.costs[name]))

    def why_left(self, name: str) -> Exclusion:
        """Why a target that can take the request is not in the plan."""
        if name in self.well:
            return "tier"
        return "failing" if self.question.seen[name].is_failing and not self.is_panic else "rate"


def decide(question: Question) -> Verdict:
    """The plan of one request."""
    profile, targets = question.profile, question.targets
    members = {name: targets[name] for name in profile.members}
    excluded = capability.excluded(members, question.features, regions=profile.regions)
    able = {name: target for name, target in members.items() if name not in excluded}
    if question.lock != "none" and question.pinned is not None:
        is_left = question.may_leave_state and question.pinned not in able
        if not is_left:
            return _bound(question, question.pinned, able, excluded)
    if not able:
        return Verdict((), profile.tier_of(profile.members[0]), "capability", "order", excluded=excluded)
    ground = _survey(question, able)
    if profile.targets:
        return _in_order(question, ground, excluded)
    return _in_tiers(question, ground, excluded)


def _survey(question: Question, able: Mapping[str, Target]) -> _Field:
    failing = {name for name in able if question.seen[name].is_failing}
    is_panic = len(failing) > PANIC_SHARE * len(able)
    well = frozenset(able if is_panic else (name for name in able if name not in failing))
    free = frozenset(name for name in well if has_rate(able[name], question.seen[name]))
    worths = _worths(question, able)
    return _Field(question, able, _costs(question, able, worths), worths, free or well, is_panic)


def has_rate(target: Target, seen: Seen) -> bool:
    """Whether the provider's limit lets it take one more call this minute."""
    return target.requests_per_minute is None or seen.starts_last_minute < target.requests_per_minute


def _worths(question: Question, able: Mapping[str, Target]) -> dict[str, float]:
    """What each target is like, without its load. Prices count within a tier: between tiers the budget decides."""
    profile, seen = question.profile, question.seen
    prices, lowest = priced(question, able)
    return {
        name: costs.worth(
            latency_seconds=seen[name].latency_seconds,
            success=seen[name].success,
            price=prices[name],
            lowest_price=lowest[profile.tier_of(name)],
            price_weight=profile.price_weight,
        )
        for name in able
    }


def priced(question: Question, able: Mapping[str, Target]) -> tuple[dict[str, float | None], dict[Tier, float | None]]:
    """What the request is expected to cost at each target, and the lowest price of each tier."""
    prices = {name: costs.price_of(question.features, target.per_token) for name, target in able.items()}
    lowest = {tier: _lowest([prices[name] for name in question.profile.tier(tier) if name in able]) for tier in _TIERS}
    return prices, lowest


def _costs(question: Question, able: Mapping[str, Target], worths: Mapping[str, float]) -> dict[str, float]:
    """Costs with their load and jitter, by target."""
    seen = question.seen
    return {
        name: worths[name]
        * costs.strain(
            waiting=seen[name].waiting,
            in_flight=seen[name].in_flight,
            capacity=target.capacity or costs.DEFAULT_CAPACITY,
        )
        * _jitter(question.request_id, name)
        for name, target in able.items()
    }


def _jitter(request_id: UUID, target: str) -> float:
    """By request and name: what other targets there are changes nothing, so profiles can be compared by replay."""
    noise = hashlib.blake2b(target.encode(), digest_size=4, salt=request_id.bytes).digest()
    return 1.0 + JITTER * (2.0 * int.from_bytes(noise, "big") / 0xFFFFFFFF - 1.0)


def _lowest(prices: Sequence[float | None]) -> float | None:
    """None as soon as one is not known."""
    known = [price for price in prices if price is not None]
    return min(known) if known and len(known) == len(prices) else None


def _bound(question: Question, pinned: str, able: Mapping[str, Target], excluded: Mapping[str, Exclusion]) -> Verdict:
    """In the middle of tool calls the model stays, with a target's state the target: whatever their health is."""
    targets = question.targets
    rule: Rule = "provider_state" if question.lock == "target" else "tool_loop"
    same = [name for name in able if name == pinned]
    if question.lock == "model" and pinned in targets:
        family = targets[pinned].family
        same += [name for name, target in able.items() if name != pinned and target.family == family]
    others: dict[str, Exclusion] = {name: "locked" for name in able if name not in same}
    if not same:
        tier = question.profile.tier_of(question.profile.members[0])
        return Verdict((), tier, rule, "pinned", excluded={**excluded, **others})
    ground = _survey(question, {name: able[name] for name in same})
    order = ground.by_cost(same)
    if pinned in ground.well:
        order = [pinned, *(name for name in order if name != pinned)]
    return _verdict(ground, order, question.profile.tier_of(order[0]), rule, "pinned", {**excluded, **others})


def _in_order(question: Question, ground: _Field, excluded: Mapping[str, Exclusion]) -> Verdict:
    """A profile that names an order: the first that is well. Sessions stay with what served them."""
    names = list(ground.able)
    order = [name for name in names if name in ground.well] + [name for name in names if name not in ground.well]
    placement: Placement = "order"
    if question.pinned in ground.well and question.profile.affinity != "none":
        order = [question.pinned, *(name for name in order if name != question.pinned)]
        placement = "pinned"
    return _verdict(ground, order, "light", "single_tier", placement, excluded, may_probe=order)


def _in_tiers(question: Question, ground: _Field, excluded: Mapping[str, Exclusion]) -> Verdict:
    profile = question.profile
    # A tier without a target that is well is left, and counted as left: the budget is of what serves.
    able = [tier for tier in _TIERS if any(name in ground.well for name in profile.tier(tier))]
    chosen = choose_tier(
        able,
        budget=profile.budget,
        estimate=question.estimate,
        theta=question.theta,
        session_tier=question.session_tier,
        session_rank=placing.rank(question.session) if question.session is not None else 1.0,
    )
    rule = "single_tier" if chosen.rule == "capability" and not profile.has_both_tiers else chosen.rule
    inside = ground.by_cost([name for name in profile.tier(chosen.tier) if name in ground.able])
    outside = ground.by_cost([name for name in ground.able if name not in inside])
    placement: Placement = "cost"
    homes = _homes(question, ground, inside)
    if homes:
        placement = "affinity"
        inside = [*homes, *(name for name in inside if name not in homes)]
    order = sorted([*inside, *outside], key=lambda name: name not in ground.well)
    return _verdict(ground, order, chosen.tier, rule, placement, excluded, may_probe=inside)


def _homes(question: Question, ground: _Field, inside: Sequence[str]) -> list[str]:
    """The session's own target in the tier, then its second choice, of those not much dearer than the others just now.

    Whoever takes over from the first is the second one then and later, and not whatever is the cheapest at the moment.
    """
    affinity = question.profile.affinity
    well = [name for name in inside if name in ground.well]
    if question.session is None or affinity == "none" or len(well) < 2:
        return []
    worths = [ground.worths[name] * max(_UNFELT_SECONDS / question.seen[name].latency_seconds, 1.0) for name in well]
    # With two targets the lower one is the measure: the middle of both would hide a slow one.
    bearable = _FAITHFUL[affinity] * median_low(worths)
    homes = [name for name, worth in zip(well, worths, strict=True) if worth <= bearable]
    return placing.places(question.session, homes, {name: question.seen[name].in_flight for name in homes})


def _verdict(
    ground: _Field,
    order: Sequence[str],
    tier: Tier,
    rule: Rule,
    placement: Placement,
    excluded: Mapping[str, Exclusion],
    *,
    may_probe: Sequence[str] = (),
) -> Verdict:
    """The order with its probe in front, cut to what a plan may have."""
    seen = ground.question.seen
    probe = next((name for name in may_probe if seen[name].may_probe), None) if placement != "pinned" else None
    if probe is not None:
        order = [probe, *(name for name in order if name != probe)]
        placement = "probe"
    kept = tuple(order[:MOST_CANDIDATES])
    left = {name: ground.why_left(name) for name in ground.able if name not in kept}
    return Verdict(
        kept, tier, rule, placement, probe, costs=ground.costs, excluded={**excluded, **left}, is_panic=ground.is_panic
    )
