"""What one replica holds in memory: the configuration, the health of every target, and the answers made of both.

An answer is the same for every request of an alias until a health or the configuration changes, so it is made once
and kept. Nothing here waits, and nothing is lost by a restart: health is learnt again from the bus.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.gateway import AttemptFinished
from contracts.router import Chosen, Described, Unroutable
from router import domain
from router.cards import card
from router.domain import HEALTHY, Health
from router.pins import Pins
from router.store import Configuration


@dataclass(frozen=True, slots=True)
class Change:
    """A target was set aside for `seconds`, or taken back (`seconds` is None)."""

    target: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class _Kept:
    reply: Chosen
    good_until: float


class Switchboard:
    """Chooses targets. Callers pass the time: seconds of one monotonic clock."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._health = dict.fromkeys(configuration.candidates, HEALTHY)
        self._kept: dict[str, _Kept] = {}
        self._kept_pinned: dict[tuple[str, str], _Kept] = {}
        self._pins = Pins()

    @property
    def health(self) -> dict[str, Health]:
        """A copy: the health of every configured target by name."""
        return dict(self._health)

    def configure(self, configuration: Configuration) -> None:
        """Go over to `configuration`. A target that was changed starts afresh: the change may be its repair."""
        before = self._configuration.candidates
        self._health = {
            name: self._health[name] if before.get(name) == candidate else HEALTHY
            for name, candidate in configuration.candidates.items()
        }
        self._configuration = configuration
        self._forget()

    def choose(self, *, plan: str, asked: str, now: float, affinity: Sequence[str] = ()) -> Chosen | Unroutable:
        """The effective alias and its targets, best first. Starts a probe when one is due.

        The target that last served what the request belongs to comes first while it is healthy; such a request is
        never a probe.
        """
        alias = self._configuration.effective.get((plan, asked))
        if alias is None:
            is_plan_known = self._configuration.plans.plan(plan) is not None
            return Unroutable(reason="unknown_alias" if is_plan_known else "unknown_plan")
        pinned = self._pins.target_of(affinity) if affinity else None
        if pinned is not None and self._is_choice(alias, pinned):
            return self._pinned(alias, pinned, now)
        kept = self._kept.get(alias)
        if kept is not None and now < kept.good_until:
            return kept.reply
        return self._made(alias, now)

    def describe(self, alias: str | None = None) -> Described:
        """What every alias can do, or one; an unknown one has no card."""
        configuration = self._configuration
        cards = (
            card(name, [configuration.candidates[target] for target in profile.targets])
            for name, profile in configuration.profiles.profiles.items()
            if alias in (None, name)
        )
        return Described(profiles_version=configuration.profiles.version, cards=tuple(cards))

    def fold(self, attempt: AttemptFinished, *, now: float) -> Change | None:
        """Learn from one attempt. What changed for the order of targets, if anything did."""
        before = self._health.get(attempt.target)
        if before is None:
            return None  # a gateway still works with targets of another version of the file
        if attempt.result == "ok":
            self._pins.note(attempt.affinity, attempt.target)
        found = domain.after(before, attempt, now=now)
        self._health[attempt.target] = found
        if found.until == before.until:
            return None
        self._forget()
        if found.until is None:
            return Change(attempt.target, None)
        # Requests that fail together while it is set aside prolong it at most: one event, one log line.
        is_prolonged = before.until is not None and now < before.until
        return None if is_prolonged else Change(attempt.target, found.until - now)

    def _forget(self) -> None:
        self._kept.clear()
        self._kept_pinned.clear()

    def _is_choice(self, alias: str, target: str) -> bool:
        """Whether a target serves this alias, and is well."""
        health = self._health.get(target)
        targets = self._configuration.profiles.profiles[alias].targets
        return health is not None and not health.is_set_aside and target in targets

    def _pinned(self, alias: str, target: str, now: float) -> Chosen:
        kept = self._kept_pinned.get((alias, target))
        if kept is None or now >= kept.good_until:
            order = domain.order(self._configuration.profiles.profiles[alias].targets, self._health, now=now)
            others = (other for other in order.targets if other != target)
            kept = self._kept_pinned[alias, target] = _Kept(self._reply(alias, (target, *others)), order.good_until)
        return kept.reply

    def _reply(self, alias: str, targets: Sequence[str]) -> Chosen:
        configuration = self._configuration
        return Chosen(
            alias=alias,
            plans_version=configuration.plans.version,
            profiles_version=configuration.profiles.version,
            candidates=tuple(configuration.candidates[target] for target in targets),
        )

    def _made(self, alias: str, now: float) -> Chosen:
        order = domain.order(self._configuration.profiles.profiles[alias].targets, self._health, now=now)
        reply = self._reply(alias, order.targets)
        if order.probe is None:
            self._kept[alias] = _Kept(reply, order.good_until)
        else:
            self._health[order.probe] = domain.probing(self._health[order.probe], now=now)
            # Orders of other profiles were made before the probe went out; they stay right: it is last in them.
        return reply
