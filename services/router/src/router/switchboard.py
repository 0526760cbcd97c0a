"""What one replica holds in memory, and the decisions made of it.

It has no I/O and no clock: the bus, the watch on the files and the simulator of the tests drive the same object.
Nothing here waits, and what a restart loses is taken over from another replica or learnt again.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from contracts.decisions import Knowledge, KnownShare
from contracts.gateway import AttemptFinished, AttemptsFinished
from contracts.router import Choose, Chosen, Described, Route, Tier, Unroutable
from router.cards import card
from router.domain import capability, outcomes, tiers
from router.domain.breaker import Health
from router.domain.deciding import Question, Seen, Verdict, decide
from router.domain.latency import bucket_of, is_reasoning_bucket
from router.domain.outcomes import Cell, Count
from router.domain.tiers import Estimate
from router.fleet import Change, Fleet
from router.pins import Pins, session_tier
from router.profiles import Profile
from router.store import Configuration

# Thinking takes its time: such requests are not given up before.
REASONING_SECONDS = 60.0
LEAST_HEDGE_SECONDS = 1.0
HEDGE_P95_FACTOR = 3.0


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it was made: the question, the verdict, and what the asker was told."""

    ask: Choose
    alias: str
    plans_version: int
    profiles_version: int
    question: Question
    verdict: Verdict
    reply: Chosen | Unroutable


@dataclass(slots=True)
class _Steering:
    """The thresholds of the profiles with a budget, and how many decisions were for the light and the strong tier."""

    thetas: dict[str, float] = field(default_factory=dict)
    counts: defaultdict[str, Counter[Tier]] = field(default_factory=lambda: defaultdict(Counter))

    def of(self, alias: str) -> float:
        return self.thetas.get(alias, tiers.FIRST_THETA)

    def note(self, alias: str, profile: Profile, tier: Tier) -> None:
        if profile.has_both_tiers:
            self.thetas[alias] = tiers.steered(self.of(alias), tier, budget=profile.budget)
            self.counts[alias][tier] += 1

    def shares(self, profiles: Mapping[str, Profile]) -> tuple[KnownShare, ...]:
        """How the budgets are spent."""
        return tuple(
            KnownShare(
                alias=alias,
                budget=profile.budget,
                theta=self.of(alias),
                light=self.counts[alias]["light"],
                strong=self.counts[alias]["strong"],
            )
            for alias, profile in profiles.items()
            if profile.has_both_tiers
        )

    def keep(self, before: Mapping[str, Profile], now: Mapping[str, Profile]) -> None:
        """Go on with these profiles: decisions under another budget or of other tiers say nothing of this one."""
        for alias in [alias for alias in self.counts if before.get(alias) != now.get(alias)]:
            del self.counts[alias]


class Switchboard:
    """Chooses targets. Callers pass the time: seconds of one monotonic clock.

    `on_decision` is told of every decision, for the record of decisions.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        instance: str = "",
        on_decision: Callable[[Decided], None] | None = None,
    ) -> None:
        self.instance = instance
        self._configuration = configuration
        self._on_decision = on_decision
        self._fleet = Fleet(configuration.candidates)
        self._pins = Pins()
        self._steering = _Steering()
        self._outcomes: dict[Cell, Count] = {}

    @property
    def health(self) -> dict[str, Health]:
        """A copy: the health of every configured target by name."""
        return self._fleet.health

    @property
    def configuration(self) -> Configuration:
        return self._configuration

    def configure(self, configuration: Configuration) -> None:
        """Go over to `configuration`. A target that was changed starts afresh: the change may be its repair."""
        before = self._configuration.candidates
        self._fleet.keep({name: before.get(name) == found for name, found in configuration.candidates.items()})
        self._steering.keep(self._configuration.profiles.profiles, configuration.profiles.profiles)
        self._configuration = configuration

    def choose(self, ask: Choose, *, now: float) -> Chosen | Unroutable:
        """The effective alias and the plan of the request. It carries out a probe that this replica was permitted."""
        alias = self._configuration.effective.get((ask.plan, ask.alias))
        if alias is None:
            is_plan_known = self._configuration.plans.plan(ask.plan) is not None
            return Unroutable(reason="unknown_alias" if is_plan_known else "unknown_plan")
        question = self._question(ask, alias, now)
        verdict = decide(question)
        reply = self._reply(alias, question, verdict) if verdict.order else _unroutable(question, verdict)
        if verdict.order:
            self._steering.note(alias, question.profile, verdict.tier)
            self._fleet.sent(verdict.order[0], now=now)
            if verdict.probe is not None:
                self._fleet.probing(verdict.probe, now=now)
        if self._on_decision is not None:
            plans, profiles = self._configuration.plans, self._configuration.profiles
            self._on_decision(Decided(ask, alias, plans.version, profiles.version, question, verdict, reply))
        return reply

    def describe(self, alias: str | None = None) -> Described:
        """What every alias can do, or one; an unknown one has no card."""
        configuration = self._configuration
        cards = (
            card(name, [configuration.candidates[target] for target in profile.members])
            for name, profile in configuration.profiles.profiles.items()
            if alias in (None, name)
        )
        return Described(profiles_version=configuration.profiles.version, cards=tuple(cards))

    def hear(self, report: AttemptsFinished, *, now: float) -> list[tuple[Change, AttemptFinished]]:
        """Learn from what a gateway tells. What changed for the order of targets, and because of what."""
        for attempt in report.attempts:
            if attempt.result == "ok" and attempt.affinity and attempt.target in self._configuration.candidates:
                self._pins.note(attempt.affinity, attempt.target, now=now)
        return self._fleet.hear(report, now=now)

    def see(self, target: str, *, now: float) -> Seen:
        """A target as the next decision sees it."""
        return self._fleet.see(target, now=now)

    def wanted_probes(self, now: float) -> tuple[str, ...]:
        """Targets that were set aside, whose time is over, and that this replica may not try yet."""
        return self._fleet.wanted_probes(now)

    def permit(self, target: str, *, until: float) -> None:
        """This replica, and no other, may try the target until then."""
        self._fleet.permit(target, until=until)

    def learn(self, cell: Cell, count: Count) -> None:
        """What all replicas together know of a class at a target."""
        self._outcomes[cell] = count

    def knowledge(self, *, now: float, with_pins: bool = True) -> Knowledge:
        """All that a restart would lose."""
        return Knowledge(
            profiles_version=self._configuration.profiles.version,
            targets=self._fleet.known(now=now),
            pins=self._pins.newest(now=now) if with_pins else (),
            thetas=dict(self._steering.thetas),
            shares=self._steering.shares(self._configuration.profiles.profiles),
            told_by=self.instance,
        )

    def take_over(self, known: Knowledge, *, now: float) -> None:
        """Go on from what another replica knows."""
        self._fleet.take_over(known.targets, now=now)
        self._pins.take_over(known.pins, now=now)
        self._steering.thetas.update(known.thetas)

    def _question(self, ask: Choose, alias: str, now: float) -> Question:
        profile = self._configuration.profiles.profiles[alias]
        pin = self._pins.find(ask.affinity)
        return Question(
            request_id=ask.request_id,
            features=ask.features,
            profile=profile,
            targets=self._configuration.profiles.targets,
            seen={name: self._fleet.see(name, now=now) for name in profile.members},
            theta=self._steering.of(alias),
            estimate=self._estimate(ask, profile),
            lock=ask.lock,
            session=ask.session,
            session_tier=session_tier(pin, profile, now=now),
            pinned=ask.served_by or (pin.target if pin is not None else None),
            is_stream=ask.is_stream,
            may_leave_state=ask.may_leave_state,
        )

    def _estimate(self, ask: Choose, profile: Profile) -> Estimate:
        if not profile.has_both_tiers:
            return tiers.UNKNOWN
        learnt = outcomes.gain_of(ask.features.request_class, profile.light, profile.strong, self._outcomes)
        return learnt or tiers.from_difficulty(ask.features.difficulty)

    def _reply(self, alias: str, question: Question, verdict: Verdict) -> Chosen:
        configuration, features = self._configuration, question.features
        bucket = bucket_of(features.input_tokens, is_reasoning=features.is_reasoning, is_stream=question.is_stream)
        return Chosen(
            alias=alias,
            plans_version=configuration.plans.version,
            profiles_version=configuration.profiles.version,
            candidates=tuple(configuration.candidates[target] for target in verdict.order),
            first_byte_seconds=tuple(self._deadline(name, bucket, question) for name in verdict.order),
            hedge_after_seconds=self._hedge_after(verdict, bucket, question.profile),
            bucket=bucket,
            route=Route(
                profiles_version=configuration.profiles.version,
                request_class=features.request_class,
                tier=verdict.tier,
                rule=verdict.rule,
                placement=verdict.placement,
                candidates=len(verdict.order),
                considered=len(question.profile.members),
            ),
        )

    def _deadline(self, name: str, bucket: int, question: Question) -> float:
        """How long to wait for its first byte. A target whose times are not known yet has its own time-out."""
        target = question.targets[name]
        own = target.timeouts.first_byte_seconds
        if not self._fleet.is_timed(name, bucket):
            return own
        limits = question.profile.first_byte
        seconds = max(limits.floor_seconds, limits.p95_factor * self._fleet.p95(name, bucket))
        if target.is_reasoning or is_reasoning_bucket(bucket):
            seconds = max(seconds, REASONING_SECONDS)
        return min(seconds, own)

    def _hedge_after(self, verdict: Verdict, bucket: int, profile: Profile) -> float | None:
        """When to call the second target beside a silent first one. A probe may always be helped so."""
        if len(verdict.order) < 2 or not (profile.may_hedge or verdict.probe is not None):
            return None
        # A target that fails is slow by its own times, too: what is ordinary is what the next one takes.
        p95 = min(self._fleet.p95(name, bucket) for name in verdict.order[:2])
        return max(LEAST_HEDGE_SECONDS, HEDGE_P95_FACTOR * p95)


def _unroutable(question: Question, verdict: Verdict) -> Unroutable:
    if question.lock != "none" and question.pinned is not None and verdict.rule in ("provider_state", "tool_loop"):
        return Unroutable(reason="no_target", lacks=("state",))
    return Unroutable(reason="no_target", lacks=capability.lacking(verdict.excluded.values()))
