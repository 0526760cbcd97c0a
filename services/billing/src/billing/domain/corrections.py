"""What staff may put right: a credit note gives prompts back, a correction changes figures by signed differences.

Both are new lines that name the line they correct. No request is ever billed less than nothing, and neither changes
what quota counts: a customer who is to have prompts back for use gets a grant.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from billing.domain.lines import Entry, Kind, Posted, money, prompts_of
from billing.errors import NotCorrectable


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided it and why; both are kept with the line, and neither may be empty."""

    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Differences:
    """What a correction adds; take away with a minus. `currency` is needed where the line has no cost yet."""

    prompts: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    currency: str | None = None


def credit_note(named: Posted, lines: Sequence[Posted], prompts: int, *, decision: Decision, at: datetime) -> Entry:
    """The line that gives `prompts` of a request back. Raises `NotCorrectable` for more than is left of them."""
    _check(named, lines, decision)
    left = prompts_of([posted.entry for posted in lines])
    if not 1 <= prompts <= left:
        raise NotCorrectable(f"{_counted(left)} left to credit of request {named.entry.request_id}, not {prompts}")
    return replace(_blank(named, lines, decision=decision, at=at), kind=Kind.CREDIT_NOTE.value, prompts=-prompts)


def correction(
    named: Posted, lines: Sequence[Posted], differences: Differences, *, decision: Decision, at: datetime
) -> Entry:
    """The line that changes the figures of a request. Raises `NotCorrectable` when one would fall below nothing."""
    _check(named, lines, decision)
    if differences in (Differences(), Differences(currency=differences.currency)):
        raise NotCorrectable("a correction without any difference")
    cost, currency = _cost_difference(named.entry, differences)
    entry = replace(
        _blank(named, lines, decision=decision, at=at),
        kind=Kind.CORRECTION.value,
        prompts=differences.prompts,
        input_tokens=differences.input_tokens,
        cached_input_tokens=differences.cached_input_tokens,
        output_tokens=differences.output_tokens,
        reasoning_tokens=differences.reasoning_tokens,
        cost=cost,
        cost_currency=currency,
    )
    _check_nothing_negative([*(posted.entry for posted in lines), entry])
    return entry


def _check(named: Posted, lines: Sequence[Posted], decision: Decision) -> None:
    if not decision.author.strip() or not decision.reason.strip():
        raise NotCorrectable("a correction needs an author and a reason")
    if named.entry.kind != Kind.SETTLEMENT:
        raise NotCorrectable(f"line {named.id} is a {named.entry.kind}: name the settlement line that it is about")
    if any(posted.entry.kind == Kind.REVERSAL and posted.entry.corrects == named.id for posted in lines):
        raise NotCorrectable(f"line {named.id} was reversed: name the settlement line that took its place")


def _blank(named: Posted, lines: Sequence[Posted], *, decision: Decision, at: datetime) -> Entry:
    """The next line of the request, of the same windows, with figures of nothing."""
    return replace(
        named.entry,
        revision=lines[-1].entry.revision + 1,
        corrects=named.id,
        author=decision.author,
        reason=decision.reason,
        event_time=at,
        prompts=0,
        input_tokens=0,
        cached_input_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        cost=None,
        cost_currency=None,
    )


def _cost_difference(entry: Entry, differences: Differences) -> tuple[Decimal | None, str | None]:
    if differences.cost is None:
        return None, None
    currency = differences.currency or entry.cost_currency
    if currency is None:
        raise NotCorrectable("the line has no cost: say the currency of the difference, too")
    if entry.cost_currency is not None and currency != entry.cost_currency:
        raise NotCorrectable(f"the cost of the line is in {entry.cost_currency}, not in {currency}")
    try:
        return money(differences.cost), currency
    except ArithmeticError as exc:
        raise NotCorrectable(f"{differences.cost} is no amount of money") from exc


def _check_nothing_negative(entries: Sequence[Entry]) -> None:
    for name in ("prompts", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"):
        if (left := sum(getattr(entry, name) for entry in entries)) < 0:
            raise NotCorrectable(f"{name.replace('_', ' ')} would be {left}")
    if (cost := sum((entry.cost for entry in entries if entry.cost is not None), Decimal(0))) < 0:
        raise NotCorrectable(f"cost would be {cost}")


def _counted(prompts: int) -> str:
    return "1 prompt is" if prompts == 1 else f"{prompts} prompts are"
