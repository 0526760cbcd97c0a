"""The report of a replay: how many decisions would have been others, and what that would have cost.

Costs are estimates for comparison: input tokens as they were estimated, answers of the length that decisions expect.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.decisions import Decision
from contracts.router import Tier
from router.domain import costs
from router.listings import amount, percent, table
from router.profiles import Profiles
from router.replaying import Again

UNROUTABLE = "no target"


@dataclass(slots=True)
class Side:
    """The decisions of an alias on one side, before or after. `unpriced` have a target without prices."""

    light: int = 0
    strong: int = 0
    unroutable: int = 0
    budget: float | None = None
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    unpriced: int = 0

    @property
    def strong_share(self) -> float | None:
        routed = self.light + self.strong
        return self.strong / routed if routed else None

    def note(self, tier: Tier | None, price: float | None, currency: str | None) -> None:
        """One decision; `tier` None: it had no target."""
        if tier is None:
            self.unroutable += 1
            return
        if tier == "strong":
            self.strong += 1
        else:
            self.light += 1
        if price is None or currency is None:
            self.unpriced += 1
        else:
            self.spent[currency] += price

    def document(self) -> dict[str, Any]:
        return {
            "light": self.light,
            "strong": self.strong,
            "strong_share": self.strong_share,
            "budget": self.budget,
            "unroutable": self.unroutable,
            "cost": dict(self.spent),
            "unpriced": self.unpriced,
        }


@dataclass(slots=True)
class AliasReport:
    """What becomes of the decisions of one alias. `moved` counts first targets, `other_tier` tiers: from, to."""

    decisions: int = 0
    same: int = 0
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    other_tier: Counter[tuple[str, str]] = field(default_factory=Counter)
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    has_profile: bool = True

    def add(self, again: Again, profiles: Profiles) -> None:
        """Take one decision into account."""
        decision, verdict = again.decision, again.verdict
        self.decisions += 1
        self.same += again.is_same
        self.has_profile = again.profile is not None
        first_before = decision.order[0] if decision.order else UNROUTABLE
        first_after = verdict.order[0] if verdict is not None and verdict.order else UNROUTABLE
        tier_before = decision.route.tier if decision.order and decision.route is not None else None
        tier_after = verdict.tier if verdict is not None and verdict.order else None
        if first_before != first_after:
            self.moved[first_before, first_after] += 1
        if tier_before != tier_after and tier_before is not None and tier_after is not None:
            self.other_tier[tier_before, tier_after] += 1
        self.before.budget = decision.budget
        self.before.note(tier_before, *_recorded_price(decision))
        self.after.budget = again.profile.strong_budget if again.profile is not None else None
        target = profiles.targets.get(first_after)
        if target is None:
            self.after.note(None, None, None)
        else:
            self.after.note(tier_after, costs.price_of(decision.ask.features, target.per_token), target.currency)

    def document(self) -> dict[str, Any]:
        return {
            "decisions": self.decisions,
            "same": self.same,
            "has_profile": self.has_profile,
            "moved": _counts(self.moved),
            "other_tier": _counts(self.other_tier),
            "before": self.before.document(),
            "after": self.after.document(),
        }


class Report:
    """What becomes of all decisions, by alias."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self.aliases: defaultdict[str, AliasReport] = defaultdict(AliasReport)
        self.versions: Counter[int] = Counter()

    def add(self, again: Again) -> None:
        """Take one decision into account."""
        self.versions[again.decision.profiles_version] += 1
        self.aliases[again.decision.alias].add(again, self._profiles)

    @property
    def decisions(self) -> int:
        return sum(alias.decisions for alias in self.aliases.values())

    @property
    def same(self) -> int:
        return sum(alias.same for alias in self.aliases.values())

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "profiles_version": self._profiles.version,
            "recorded_versions": {str(version): count for version, count in sorted(self.versions.items())},
            "decisions": self.decisions,
            "same": self.same,
            "aliases": {alias: one.document() for alias, one in sorted(self.aliases.items())},
        }

    def text(self) -> str:
        """For people."""
        versions = ", ".join(f"{version} ({count:,})" for version, count in sorted(self.versions.items()))
        lines = [
            f"{self.decisions:,} decisions, made with profiles version {versions or 'none'}; "
            f"again with version {self._profiles.version}",
            f"unchanged: {self.same:,} ({_share(self.same, self.decisions)})",
        ]
        for alias, one in sorted(self.aliases.items()):
            lines += ["", f"{alias}: {one.decisions:,} decisions, unchanged {one.same:,}", *_alias_lines(one)]
        return "\n".join(lines)


def _alias_lines(one: AliasReport) -> Iterator[str]:
    if not one.has_profile:
        yield "  the new file has no profile for it: plans that use it would be refused"
    sides = [("before", one.before), ("after", one.after)]
    head = ("", "strong", "budget", "no target", "estimated cost")
    yield from (f"  {line}" for line in table(head, [_side_row(name, side) for name, side in sides]))
    for kind, counter in (("first target", one.moved), ("tier", one.other_tier)):
        for (before, after), count in counter.most_common():
            yield f"  {kind} {before} → {after}: {count:,}"


def _side_row(name: str, side: Side) -> Sequence[str]:
    spent = [f"{amount(value)} {currency}" for currency, value in sorted(side.spent.items())]
    if side.unpriced:
        spent.append(f"unknown for {side.unpriced:,}")
    return (
        name,
        percent(side.strong_share) if side.strong_share is not None else "-",
        percent(side.budget) if side.budget is not None else "-",
        f"{side.unroutable:,}",
        ", ".join(spent) or "none",
    )


def _recorded_price(decision: Decision) -> tuple[float | None, str | None]:
    first = next((seen for seen in decision.seen if seen.target in decision.order[:1]), None)
    return (first.price, first.currency) if first is not None else (None, None)


def _counts(counter: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"from": before, "to": after, "count": count} for (before, after), count in counter.most_common()]


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "none"
