"""A recorded decision as staff reads it: what was asked, what decided, what each target was worth, what was told."""

from collections.abc import Iterator, Sequence
from typing import Any

from contracts.decisions import Decision, TargetSeen
from router.listings import percent, table
from router.sentences import excluded_words, facts_of_record, placement_sentence, rule_sentence


def decision_text(decision: Decision) -> str:
    """All of one decision."""
    ask, facts = decision.ask, facts_of_record(decision)
    lines = [
        f"request {ask.request_id}, decided {decision.decided_at:%Y-%m-%d %H:%M:%S.%f} UTC by {decision.decided_by}",
        f"plan {ask.plan} asked for {ask.alias}: served by {decision.alias} "
        f"(plans version {decision.plans_version}, profiles version {decision.profiles_version})",
        f"{asked_words(decision)}",
        "",
        rule_sentence(facts),
    ]
    if decision.order:
        lines.append(placement_sentence(facts))
    if decision.is_panic:
        lines.append("More than half of the targets failed: health was ignored.")
    if decision.budget is not None:
        estimate = f"estimate {decision.estimate:.3f}" if decision.estimate is not None else "no estimate"
        lines.append(f"θ {decision.theta:.3f}, {estimate}, strong budget {percent(decision.budget)}")
    head = ("", "target", "tier", "first byte", "waiting", "in flight", "success", "price", "cost", "")
    return "\n".join([*lines, "", *table(head, list(_rows(decision))), "", f"the customer was told: {told(decision)}"])


def asked_words(decision: Decision) -> str:
    """What routing knew of the request."""
    features = decision.ask.features
    words = [f"class {features.request_class}"]
    if features.difficulty is not None:
        words.append(f"difficulty {features.difficulty:.3f}")
    words.append(f"input about {features.input_tokens:,} tokens")
    if features.output_tokens is not None:
        words.append(f"output up to {features.output_tokens:,}")
    if features.needs:
        words.append(f"needs {', '.join(features.needs)}")
    if features.is_reasoning:
        words.append("asks for thoughts")
    if decision.ask.session is not None:
        words.append(f"session {decision.ask.session[:8]}")
    if decision.ask.lock != "none":
        words.append(f"bound to the {decision.ask.lock} of {decision.pinned or 'nobody known'}")
    return ", ".join(words)


def told(decision: Decision) -> str:
    """The part of the route that names no provider, as the gateway tells it."""
    route = decision.route
    if route is None:
        return "that there is no target"
    return (
        f"profiles={route.profiles_version}; class={route.request_class}; tier={route.tier}; rule={route.rule}; "
        f"placement={route.placement}; target=…/{route.candidates}"
    )


def newest_table(decisions: Sequence[Decision]) -> str:
    """A line for each."""
    rows = [
        (
            f"{decision.decided_at:%m-%d %H:%M:%S}",
            str(decision.ask.request_id),
            decision.alias,
            decision.ask.features.request_class,
            decision.route.tier if decision.route is not None else "",
            decision.route.rule if decision.route is not None else "no target",
            decision.route.placement if decision.route is not None else "",
            ", ".join(decision.order),
        )
        for decision in decisions
    ]
    return "\n".join(table(("decided", "request", "alias", "class", "tier", "rule", "placement", "plan"), rows))


def document(decision: Decision) -> dict[str, Any]:
    """The record and its sentences, for programs."""
    facts = facts_of_record(decision)
    return decision.model_dump(mode="json") | {
        "rule_sentence": rule_sentence(facts),
        "placement_sentence": placement_sentence(facts),
        "told": told(decision),
    }


def _rows(decision: Decision) -> Iterator[tuple[str, ...]]:
    by_name = {seen.target: seen for seen in decision.seen}
    left = [name for name in by_name if name not in decision.order]
    for name in (*decision.order, *left):
        place = f"{decision.order.index(name) + 1}." if name in decision.order else "-"
        yield place, *_row(by_name[name])


def _row(seen: TargetSeen) -> tuple[str, ...]:
    words = [excluded_words(seen.excluded)] if seen.excluded is not None else []
    if seen.is_failing and seen.excluded != "failing":
        words.append("may be probed" if seen.may_probe else "is set aside")
    if seen.is_over_rate and seen.excluded != "rate":
        words.append("has no calls left this minute")
    return (
        seen.target,
        "+".join(seen.tiers),
        f"{seen.latency_seconds:.2f} s",
        str(seen.waiting),
        str(seen.in_flight),
        percent(seen.success),
        f"{seen.price:.6f} {seen.currency or ''}".rstrip() if seen.price is not None else "",
        f"{seen.cost:.3f}" if seen.cost is not None else "",
        "; ".join(words),
    )
