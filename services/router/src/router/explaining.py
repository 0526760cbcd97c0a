"""One decision explained: what each target costs and why, what decided, and what would change the choice.

What would change is not derived from the rules a second time: the real `decide` is asked again with one thing changed.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from contracts.decisions import Exclusion
from contracts.router import Need, Tier
from router.domain import costs, latency, tiers
from router.domain.deciding import Question, Seen, Verdict, decide, has_rate, priced
from router.sentences import excluded_words, facts_of, listed, placement_sentence, rule_sentence

# Requests of which it is said how they share out.
SAMPLE = 500
# Times slower than now that are tried.
SLOWEST = 1000.0
# A target at rest that nothing is known of.
ORDINARY = Seen(latency.GUESSED_MEDIAN_SECONDS)
_NEEDS: tuple[Need, ...] = ("tools", "images", "schema")


@dataclass(frozen=True, slots=True)
class Terms:
    """The factors of a cost, in the order of the formula. Their product is the cost."""

    latency_seconds: float
    waiting: float
    load: float
    failures: float
    price: float
    jitter: float


@dataclass(frozen=True, slots=True)
class TargetExplained:
    """A target in one decision. `place` is that in the plan, from 1; `expected_price` of the request, in `currency`."""

    target: str
    tiers: tuple[Tier, ...]
    place: int | None
    cost: float | None
    terms: Terms | None
    expected_price: float | None
    currency: str | None
    is_failing: bool
    is_over_rate: bool
    excluded: Exclusion | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision in words and numbers; `changes` say what would have made another one of it."""

    question: Question
    verdict: Verdict
    rule: str
    placement: str
    targets: tuple[TargetExplained, ...]
    changes: tuple[str, ...]


def explain(question: Question) -> Explanation:
    """The decision that `decide` makes of this question, explained."""
    verdict = decide(question)
    facts = facts_of(question, verdict)
    return Explanation(
        question,
        verdict,
        rule_sentence(facts),
        placement_sentence(facts),
        tuple(_target(name, question, verdict) for name in _by_place(question, verdict)),
        tuple(_changes(question, verdict)) if verdict.order else (),
    )


def _by_place(question: Question, verdict: Verdict) -> Sequence[str]:
    return [*verdict.order, *(name for name in question.profile.members if name not in verdict.order)]


def _target(name: str, question: Question, verdict: Verdict) -> TargetExplained:
    target = question.targets[name]
    return TargetExplained(
        target=name,
        tiers=question.profile.tiers_of(name),
        place=verdict.order.index(name) + 1 if name in verdict.order else None,
        cost=verdict.costs.get(name),
        terms=_terms(name, question, verdict) if name in verdict.costs else None,
        expected_price=costs.price_of(question.features, target.per_token),
        currency=target.currency,
        is_failing=question.seen[name].is_failing,
        is_over_rate=not has_rate(target, question.seen[name]),
        excluded=verdict.excluded.get(name),
    )


def _terms(name: str, question: Question, verdict: Verdict) -> Terms:
    """The formula of costs, one factor at a time; what is left of the cost is the jitter."""
    seen, target, profile = question.seen[name], question.targets[name], question.profile
    prices, lowest = priced(question, {other: question.targets[other] for other in verdict.costs})

    def strain(*, waiting: int = 0, in_flight: int = 0) -> float:
        capacity = target.capacity or costs.DEFAULT_CAPACITY
        return costs.strain(waiting=waiting, in_flight=in_flight, capacity=capacity)

    def worth(*, success: float = 1.0, price: float | None = None) -> float:
        return costs.worth(
            latency_seconds=1.0,
            success=success,
            price=price,
            lowest_price=lowest[profile.tier_of(name)],
            price_weight=profile.price_weight,
        )

    waiting, load = strain(waiting=seen.waiting), strain(in_flight=seen.in_flight)
    failures, price = worth(success=seen.success), worth(price=prices[name])
    exact = seen.latency_seconds * waiting * load * failures * price
    return Terms(seen.latency_seconds, waiting, load, failures, price, verdict.costs[name] / exact)


def _changes(question: Question, verdict: Verdict) -> Iterator[str]:
    yield from _by_difficulty(question, verdict)
    yield from _by_failures(question, verdict)
    yield from _by_slowness(question, verdict)
    yield from _by_size(question, verdict)
    yield from _by_needs(question, verdict)
    yield from _by_chance(question, verdict)


def _by_difficulty(question: Question, verdict: Verdict) -> Iterator[str]:
    """From which difficulty on the other tier would take it."""
    if verdict.rule not in ("difficulty", "balance", "session") or not question.profile.has_both_tiers:
        return
    grid = [number / 100 for number in range(101)]
    tiers_of = [decide(replace(question, estimate=tiers.from_difficulty(one))).tier for one in grid]
    first = next((one for one, tier in zip(grid, tiers_of, strict=True) if tier == "strong"), None)
    if len(set(tiers_of)) == 1:
        yield f"no difficulty takes it out of the {verdict.tier} tier"
    elif first is not None:
        yield f"reaches the strong tier from difficulty {first:.2f} on"


def _by_failures(question: Question, verdict: Verdict) -> Iterator[str]:
    """Who would take over, one after the other."""
    failed: list[str] = []
    seen = dict(question.seen)
    first = verdict.order[0]
    while True:
        failed.append(first)
        seen[first] = replace(seen[first], is_failing=True, may_probe=False)
        answer = decide(replace(question, seen=seen))
        if not answer.order or answer.order[0] in failed:
            break
        first = answer.order[0]
        yield f"would go to {first} if {listed(failed)} failed"
    if len(failed) == 1:
        yield f"nothing else would serve it if {failed[0]} failed"


def _by_slowness(question: Question, verdict: Verdict) -> Iterator[str]:
    """How much slower the chosen one would have to be for another to be better."""
    if verdict.placement not in ("cost", "affinity"):
        return
    first = verdict.order[0]
    state = question.seen[first]

    def then(times: float) -> str:
        slower = replace(state, latency_seconds=state.latency_seconds * times)
        return decide(replace(question, seen={**question.seen, first: slower})).order[0]

    if then(SLOWEST) == first:
        return
    times = _boundary(lambda many: then(many) != first, 1.0, SLOWEST)
    seconds = state.latency_seconds * times
    yield f"would go to {then(times)} if {first} were {times:.2f} times as slow ({seconds:.2f} s to its first byte)"


def _boundary(is_beyond: Callable[[float], bool], low: float, high: float) -> float:
    """The least value for which it is so, to a thousandth, where it is so for `high` and not for `low`."""
    while high - low > 0.001 * low:
        middle = (low + high) / 2
        low, high = (low, middle) if is_beyond(middle) else (middle, high)
    return high


def _by_size(question: Question, verdict: Verdict) -> Iterator[str]:
    """From which size on it would not fit any more where it goes now."""
    features = question.features
    windows = {question.targets[name].context_window for name in question.profile.members}
    limits = sorted(window - (features.output_tokens or 0) for window in windows if window is not None)
    for limit in limits:
        if limit < features.input_tokens:
            continue
        larger = features.model_copy(update={"input_tokens": limit + 1})
        answer = decide(replace(question, features=larger))
        if answer.order[:1] != verdict.order[:1]:
            where = f"go to {answer.order[0]}" if answer.order else "have no target"
            yield f"beyond {limit:,} input tokens it would {where}"
            return


def _by_needs(question: Question, verdict: Verdict) -> Iterator[str]:
    features = question.features
    for need in _NEEDS:
        if need in features.needs:
            continue
        asked = features.model_copy(update={"needs": (*features.needs, need)})
        answer = decide(replace(question, features=asked))
        if not answer.order:
            yield f"with {need} it would have no target"
        elif answer.order[0] != verdict.order[0]:
            yield f"with {need} it would go to {answer.order[0]}"


def _by_chance(question: Question, verdict: Verdict) -> Iterator[str]:
    """Costs have a jitter by request: targets that are about equal share such requests."""
    if verdict.placement != "cost":
        return
    firsts: Counter[str] = Counter(
        decide(replace(question, request_id=UUID(int=number))).order[0] for number in range(SAMPLE)
    )
    if len(firsts) > 1:
        shares = [f"{name} {count * 100 / SAMPLE:.0f} %" for name, count in firsts.most_common()]
        yield f"such requests share out by chance: {', '.join(shares)}"


def imagined(members: Sequence[str], failing: Sequence[str]) -> Mapping[str, Seen]:
    """A fleet at rest: every target as one that nothing is known of, but for those that fail."""
    return {name: replace(ORDINARY, is_failing=name in failing) for name in members}


def words(explanation: Explanation) -> str:
    """The explanation for people, below what was asked."""
    verdict = explanation.verdict
    lines = [explanation.rule, *([explanation.placement] if explanation.placement else [])]
    if verdict.is_panic:
        lines.append("More than half of the targets fail: the fault is rather ours, and health is ignored.")
    lines += ["", *_rows(explanation)]
    if explanation.changes:
        lines += ["", "What would change it:", *(f"  {change}" for change in explanation.changes)]
    return "\n".join(lines)


def _rows(explanation: Explanation) -> Iterator[str]:
    for one in explanation.targets:
        place = f"{one.place}." if one.place is not None else "- "
        tier = f" ({'+'.join(one.tiers)})" if one.tiers else ""
        yield f"  {place} {one.target}{tier}: {_row(one)}"


def _row(one: TargetExplained) -> str:
    words = [excluded_words(one.excluded)] if one.excluded is not None else []
    if one.is_failing and one.excluded != "failing":
        words.append("is set aside for its failures")
    if one.is_over_rate and one.excluded != "rate":
        words.append("has no calls left this minute")
    if one.cost is not None and one.terms is not None:
        words.append(f"cost {one.cost:.3f} = {_product(one.terms)}")
    if one.expected_price is not None:
        words.append(f"expected price {one.expected_price:.6f} {one.currency}")
    return "; ".join(words) or "no cost: it was not compared"


def _product(terms: Terms) -> str:
    factors = [
        ("waiting", terms.waiting),
        ("load", terms.load),
        ("failures", terms.failures),
        ("price", terms.price),
        ("jitter", terms.jitter),
    ]
    shown = [f"{value:.3f} {name}" for name, value in factors if abs(value - 1.0) > 0.0005]
    return " · ".join([f"{terms.latency_seconds:.3f} s", *shown])
