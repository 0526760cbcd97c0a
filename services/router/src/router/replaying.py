"""Recorded decisions made again, with another profiles file: what would have been different.

A decision is decided again from its record alone: what the replica saw of the targets, the threshold, the estimate, and
what it remembered. With the file that it was made with the same comes out, to the last digit.

A profile whose tiers, order or budget changed has a history of its own: its threshold is steered anew from the first
recorded one, by replica and in the order of the record, and its sessions and turns follow where the new decisions took
them. What is not known is the load that other choices would have made: targets are seen as they were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from contracts.decisions import Decision, TargetSeen
from contracts.router import Tier
from router.domain import tiers
from router.domain.deciding import Question, Seen, Verdict, decide
from router.domain.latency import GUESSED_MEDIAN_SECONDS
from router.domain.tiers import UNKNOWN, Estimate
from router.pins import Pin, Pins, session_tier
from router.profiles import Profile, Profiles, Target


@dataclass(frozen=True, slots=True)
class Again:
    """A recorded decision and what becomes of it; no verdict when the file has no profile for its alias."""

    decision: Decision
    profile: Profile | None
    question: Question | None
    verdict: Verdict | None

    @property
    def is_same(self) -> bool:
        """Whether nothing is different: neither the plan, nor its reason."""
        verdict, route = self.verdict, self.decision.route
        if verdict is None or verdict.order != self.decision.order:
            return False
        return route is None or (verdict.tier, verdict.rule, verdict.placement) == (
            route.tier,
            route.rule,
            route.placement,
        )


def question_of(decision: Decision, profile: Profile, targets: Mapping[str, Target]) -> Question:
    """The question that was decided, put to a profile."""
    ask = decision.ask
    return Question(
        request_id=ask.request_id,
        features=ask.features,
        profile=profile,
        targets=targets,
        seen=_seen(decision, profile),
        theta=decision.theta,
        estimate=_estimate(decision, profile),
        lock=ask.lock,
        session=ask.session,
        session_tier=decision.session_tier,
        pinned=decision.pinned,
        is_stream=ask.is_stream,
        may_leave_state=ask.may_leave_state,
    )


def has_same_shape(decision: Decision, profile: Profile) -> bool:
    """Whether the decision was made with these tiers, or this order, and this budget."""
    if decision.budget != profile.strong_budget:
        return False
    if profile.targets:
        return tuple(seen.target for seen in decision.seen) == profile.targets and not _in_tier(decision, "light")
    return all(set(_in_tier(decision, tier)) == set(profile.tier(tier)) for tier in ("light", "strong"))


class Replay:
    """Decides recorded decisions again, in the order of the record. Its memory is bounded."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._thetas: dict[tuple[str, str], float] = {}
        self._pins = Pins()

    def again(self, decision: Decision) -> Again:
        """The same request with the new file."""
        profile = self._profiles.profiles.get(decision.alias)
        if profile is None:
            return Again(decision, None, None, None)
        question = question_of(decision, profile, self._profiles.targets)
        if has_same_shape(decision, profile):
            return Again(decision, profile, question, decide(question))
        question = self._steered(decision, question)
        verdict = decide(question)
        self._remember(decision, question, verdict)
        return Again(decision, profile, question, verdict)

    def _steered(self, decision: Decision, question: Question) -> Question:
        theta = self._thetas.setdefault((decision.decided_by, decision.alias), decision.theta)
        # What was remembered of nobody then is remembered of nobody now.
        pin = self._pins.find(decision.ask.affinity) if decision.pinned is not None else None
        return replace(
            question,
            theta=theta,
            session_tier=_session_tier(decision, question.profile, pin),
            pinned=pin.target if pin is not None else decision.pinned,
        )

    def _remember(self, decision: Decision, question: Question, verdict: Verdict) -> None:
        if not verdict.order:
            return
        key, profile = (decision.decided_by, decision.alias), question.profile
        if profile.has_both_tiers:
            self._thetas[key] = tiers.steered(self._thetas[key], verdict.tier, budget=profile.budget)
        self._pins.note(decision.ask.affinity, verdict.order[0], now=decision.decided_at.timestamp())


def _session_tier(decision: Decision, profile: Profile, pin: Pin | None) -> Tier | None:
    """The tier that the session is in by the new decisions, else what its recorded target says of it."""
    if pin is not None:
        return session_tier(pin, profile, now=decision.decided_at.timestamp())
    if decision.session_tier is None or decision.pinned is None:
        return None
    return profile.session_tier_of(decision.pinned)


def _estimate(decision: Decision, profile: Profile) -> Estimate:
    """What was recorded; a profile that had one tier was not estimated, and is now by the difficulty."""
    if not profile.has_both_tiers:
        return UNKNOWN
    if decision.estimate is None:
        return tiers.from_difficulty(decision.ask.features.difficulty)
    return Estimate(decision.estimate, decision.estimated_by)


def _seen(decision: Decision, profile: Profile) -> dict[str, Seen]:
    recorded = {one.target: _seen_of(one) for one in decision.seen}
    new = [name for name in profile.members if name not in recorded]
    if not new:
        return recorded
    return recorded | dict.fromkeys(new, _ordinary(list(recorded.values())))


def _seen_of(one: TargetSeen) -> Seen:
    return Seen(
        latency_seconds=one.latency_seconds,
        waiting=one.waiting,
        in_flight=one.in_flight,
        success=one.success,
        starts_last_minute=one.starts_last_minute,
        is_failing=one.is_failing,
        may_probe=one.may_probe,
    )


def _ordinary(others: Sequence[Seen]) -> Seen:
    """A target that the record does not know: as quick and as busy as the middle one of the others that were well."""
    well = [seen for seen in others if not seen.is_failing]
    if not well:
        return Seen(GUESSED_MEDIAN_SECONDS)
    return Seen(
        latency_seconds=median(seen.latency_seconds for seen in well),
        waiting=int(median(seen.waiting for seen in well)),
        in_flight=int(median(seen.in_flight for seen in well)),
    )


def _in_tier(decision: Decision, tier: Tier) -> list[str]:
    return [seen.target for seen in decision.seen if tier in seen.tiers]
