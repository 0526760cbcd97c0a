"""The invariants of one round, checked from outside; every broken one is a sentence that names its request.

I1 limits are never overshot, I2 every reservation ends in one winning settlement, I3 every winner has one ledger line
and quota counts the same, I4 a revoked token admits nothing, I5 what a client saw whole is recorded. And the books:
the providers' log, the ledger and quota tell of the same requests.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.plans import Turns
from devstack.provider import Ending as ProviderEnding
from tests.faults.clients import Customer, Ending, Seen
from tests.faults.truth import Line, Truth, Window
from tests.faults.world import CONNECT_SECONDS

CHARGED = ("completed", "client_gone_late")
REACHED_A_PROVIDER = ("completed", "upstream_broken", "upstream_unavailable")
# With these a request is turned away before, or without, holding a prompt.
NEVER_HELD = (400, 401, 403, 404, 429)
LATE_USAGE_MS = 2000
MOST_TOKENS = 10**12
CALLS_PER_TURN = Turns().calls_per_turn
INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "books")


@dataclass(frozen=True, slots=True)
class Stopped:
    """A customer whose second token was blocked, or whose account was suspended, during the round.

    `at` is when the call had returned, by our clock; `database_time` the same by the database's.
    """

    customer: Customer
    at: float
    database_time: datetime
    is_account: bool


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a fault may lead to. `expiry`: requests that their gateway could not settle. `gift`: answers that a client
    saw whole although their lease had run out before, so that they cost nothing."""

    expiry: bool = False
    gift: bool = False


@dataclass(slots=True)
class Verdict:
    """`broken` by invariant, and the figures of the books."""

    broken: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in INVARIANTS})
    figures: Counter[str] = field(default_factory=Counter)

    def add(self, invariant: str, sentences: Iterator[str]) -> None:
        self.broken[invariant].extend(sentences)

    @property
    def holds(self) -> bool:
        return not any(self.broken.values())


def judge(
    truth: Truth, log: Sequence[Seen], customers: Sequence[Customer], *, allowed: Allowed, stopped: Sequence[Stopped]
) -> Verdict:
    """Everything at once."""
    verdict = Verdict()
    verdict.add("I1", _overshot(truth, customers))
    verdict.add("I1", _stretched(truth))
    verdict.add("I2", _unsettled(truth))
    verdict.add("I3", _unrecorded(truth))
    verdict.add("I3", _miscounted(truth))
    verdict.add("I4", _admitted_after(truth, log, stopped))
    verdict.add("I5", _dishonest(truth, log, allowed))
    verdict.add("books", _unbalanced(truth, log))
    if not allowed.expiry:
        verdict.add("I5", _lost(truth, log))
    _count(verdict.figures, truth, log)
    return verdict


def _overshot(truth: Truth, customers: Sequence[Customer]) -> Iterator[str]:
    for customer in customers:
        limits = {"day": customer.daily, "month": customer.monthly, "in_flight": customer.in_flight}
        for kind, limit in limits.items():
            highest = truth.highest.get((customer.account_id, kind), 0)
            if limit is not None and highest > limit:
                yield f"account {customer.account_id} ({customer.plan}) once had {highest} of {limit} per {kind}"


def _stretched(truth: Truth) -> Iterator[str]:
    """A turn has one call that pays and a number of its own for each that rides on it, none beyond the cap."""
    turns: dict[tuple[UUID, UUID], list[int]] = defaultdict(list)
    for held in truth.reservations:
        turns[held.account_id, held.turn_id].append(held.call)
        if held.call > 1 and held.charged:
            yield f"{held.request_id} is call {held.call} of its turn, and charged"
    for (_, turn_id), calls in turns.items():
        if sorted(calls) != list(range(1, len(calls) + 1)) or len(calls) > CALLS_PER_TURN:
            yield f"the turn {turn_id} has the calls {sorted(calls)}"


def _unsettled(truth: Truth) -> Iterator[str]:
    winners = truth.winners
    for held in truth.reservations:
        winner = winners.get(held.request_id)
        if held.outcome is None:
            yield f"{held.request_id} is still held"
        elif winner is None:
            yield f"{held.request_id} is `{held.outcome}` in quota, but the stream has no settlement of it"
        elif (held.outcome, held.sequence) != (winner.outcome, winner.sequence):
            yield (
                f"{held.request_id} is `{held.outcome}` by message {held.sequence} in quota, "
                f"the first in the stream is `{winner.outcome}`, message {winner.sequence}"
            )
    yield from (
        f"account {account} counts {number} requests in flight at rest"
        for account, number in truth.in_flight.items()
        if number
    )


def _unrecorded(truth: Truth) -> Iterator[str]:
    lines_of, held = truth.lines_of, {reservation.request_id for reservation in truth.reservations}
    for request_id, winner in truth.winners.items():
        lines = lines_of.get(request_id, [])
        live = _live(lines)
        if len(live) != 1:
            yield f"{request_id} (`{winner.outcome}`) has {len(live)} live ledger lines"
        elif live[0].sequence != winner.sequence or live[0].outcome != winner.outcome:
            yield f"the ledger line of {request_id} is of message {live[0].sequence} and not of {winner.sequence}"
        if sum(line.prompts for line in lines) != (winner.outcome in CHARGED):
            yield f"{request_id} (`{winner.outcome}`) costs {sum(line.prompts for line in lines)} prompts in the ledger"
        if request_id not in held:
            yield f"{request_id} (`{winner.outcome}`) was settled and never reserved"
    yield from (f"{request_id} is in the ledger only" for request_id in lines_of.keys() - truth.winners.keys())


def _live(lines: Sequence[Line]) -> list[Line]:
    """Settlement lines that no reversal took back."""
    taken_back = Counter((line.sequence, -line.prompts) for line in lines if line.kind == "reversal")
    live = []
    for line in lines:
        if line.kind == "settlement":
            if taken_back[line.sequence, line.prompts]:
                taken_back[line.sequence, line.prompts] -= 1
            else:
                live.append(line)
    return live


def _miscounted(truth: Truth) -> Iterator[str]:
    charged: Counter[object] = Counter()
    for line in truth.lines:
        if line.kind in ("settlement", "reversal"):
            charged[line.account_id, "day", line.day] += line.prompts
            charged[line.account_id, "month", line.month] += line.prompts
    counted = {(window.account_id, window.kind, window.starts_on): window for window in truth.windows}
    for key, window in counted.items():
        if window.used != charged[key]:
            yield f"quota counts {window.used} in {_named(window)}, the ledger {charged[key]}"
        if window.reserved:
            yield f"{window.reserved} prompts are held in {_named(window)} at rest"
    yield from (
        f"the ledger charges {key}, where quota has no window"
        for key in charged.keys() - counted.keys()
        if charged[key]
    )


def _named(window: Window) -> str:
    return f"the {window.kind} {window.starts_on} of {window.account_id}"


def _admitted_after(truth: Truth, log: Sequence[Seen], stopped: Sequence[Stopped]) -> Iterator[str]:
    for one in stopped:
        customer, what = one.customer, "a suspended account" if one.is_account else "a revoked token"
        mine = [seen for seen in log if seen.customer is customer and seen.sent_at > one.at]
        if not one.is_account:
            mine = [seen for seen in mine if seen.token == customer.second_token]
        yield from (f"{seen.request_id} was answered with {what}" for seen in mine if seen.status == 200)
        for held in truth.reservations:
            is_its = held.account_id == customer.account_id
            is_its &= one.is_account or held.token_id == customer.second_token_id
            if is_its and held.reserved_at > one.database_time:
                yield f"{held.request_id} was admitted with {what} since {one.database_time}"


def _dishonest(truth: Truth, log: Sequence[Seen], allowed: Allowed) -> Iterator[str]:
    winners, lines_of = truth.winners, truth.lines_of
    for seen in log:
        if seen.request_id is None:
            continue
        winner = winners.get(seen.request_id)
        outcome = winner.outcome if winner else None
        charged = sum(line.prompts for line in lines_of.get(seen.request_id, []))
        fault = _lie(seen, outcome, charged, allowed)
        if fault:
            yield f"{seen.request_id} {fault}"


def _lost(truth: Truth, log: Sequence[Seen]) -> Iterator[str]:
    """Requests that were being answered and expired, although nothing was wrong.

    On a slow machine an ask may be too late: its client was turned away (503), or had left before.
    """
    answered = {seen.request_id: seen for seen in log if seen.status == 200}
    for told in truth.winners.values():
        if told.outcome == "expired" and told.request_id in answered:
            yield f"{told.request_id} expired, although nothing had to ({answered[told.request_id].ending})"


def _lie(seen: Seen, outcome: str | None, charged: int, allowed: Allowed) -> str | None:
    """How what the client saw and what it costs contradict each other."""
    said = f"was refused ({seen.status} {seen.error_code})"
    if seen.ending is Ending.COMPLETE and outcome is None:
        return "was seen whole and is not recorded"
    rides = seen.continues and outcome == "continuation"
    if seen.ending is Ending.COMPLETE and charged != (not rides) and not (outcome == "expired" and allowed.gift):
        return f"was seen whole and costs {charged} (`{outcome}`)"
    if seen.ending is Ending.REFUSED and charged:
        return f"{said} and costs {charged}"
    # A first ask whose answer was lost may have held a prompt after the second one was denied: that one expires.
    unowned = ("rejected_request", "expired") if allowed.expiry else ("rejected_request",)
    if seen.ending is Ending.REFUSED and seen.status in NEVER_HELD and outcome not in (None, *unowned):
        return f"{said}, but a prompt was held for it (`{outcome}`)"
    if seen.ending is Ending.ERROR_EVENT and charged:
        return f"ended in an error ({seen.error_code}) and costs {charged}"
    if seen.ending in (Ending.TRUNCATED, Ending.ERROR_EVENT) and seen.has_done:
        return "did not end well, but has [DONE]"
    return None


def _unbalanced(truth: Truth, log: Sequence[Seen]) -> Iterator[str]:
    """Request by request where the client knows its id, account by account for all."""
    calls, lines_of = Counter(served.call for served in truth.served), truth.lines_of
    for seen in log:
        lines = _live(lines_of.get(seen.request_id, [])) if seen.request_id else []
        if len(lines) == 1 and lines[0].outcome in REACHED_A_PROVIDER:
            yield from (f"{seen.request_id}: {fault}" for fault in _differences(seen, lines[0], calls[seen.play.call]))
    known = {seen.request_id for seen in log}
    unknown = Counter(seen.customer.account_id for seen in log if seen.request_id is None)
    strangers = Counter(held.account_id for held in truth.reservations if held.request_id not in known)
    for account, number in strangers.items():
        if number > unknown[account]:
            yield f"{number} reservations of {account} belong to no request of its {unknown[account]} without an answer"
    admitted = len({held.request_id for held in truth.reservations})
    asked = {seen.play.call for seen in log}
    if len(calls.keys() & asked) > admitted:
        yield f"the providers were called for more than the {admitted} requests that were admitted"


def _differences(seen: Seen, line: Line, calls: int) -> Iterator[str]:
    # A reset of a kept connection is tried once more at the same provider: one attempt, two calls. And on a machine so
    # slow that an attempt's time is over before it has left, the provider never hears of it: that time has passed.
    is_repeated = seen.play.trouble in ("reset", "reset midway") and calls > line.attempts
    never_left = line.attempts - calls
    is_slow = never_left > 0 and line.total_ms >= never_left * CONNECT_SECONDS * 1000
    if calls != line.attempts and not is_repeated and not is_slow:
        yield f"{line.attempts} attempts in the ledger, {calls} calls at the providers"
    counted, sent = (line.input_tokens, line.output_tokens), (seen.play.input_tokens, seen.play.output_tokens)
    # Usage comes last, and a gateway waits so long for it. On a slow machine our own provider may be later.
    is_too_late = line.tokens_source == "none" and line.total_ms > LATE_USAGE_MS
    if line.outcome == "completed" and seen.play.trouble is None and counted != sent and not is_too_late:
        yield f"{counted} tokens in the ledger, {sent} sent"
    if min(counted) < 0 or max(counted) > MOST_TOKENS:
        yield f"{counted} tokens in the ledger"


def _count(figures: Counter[str], truth: Truth, log: Sequence[Seen]) -> None:
    asked = {seen.play.call for seen in log}
    figures["asked"] = len(log)
    for seen in log:
        figures[f"client {seen.ending}"] += 1
    mine = [served for served in truth.served if served.call in asked]
    figures["provider calls"] = len(mine)
    figures["provider whole"] = sum(served.ending is ProviderEnding.COMPLETED for served in mine)
    for winner in truth.winners.values():
        figures[f"outcome {winner.outcome}"] += 1
    figures["in the stream"] = len(truth.winners)
    figures["messages"] = len(truth.told)
    figures["ledger lines"] = sum(len(_live(lines)) for lines in truth.lines_of.values())
    figures["ledger attempts"] = sum(line.attempts for lines in truth.lines_of.values() for line in _live(lines))
    figures["ledger charged"] = sum(line.prompts for lines in truth.lines_of.values() for line in lines)
    figures["quota charged"] = sum(window.used for window in truth.windows if window.kind == "day")
    figures["reservations"] = len(truth.reservations)
    by_account: dict[object, int] = defaultdict(int)
    for seen in log:
        by_account[seen.customer.account_id] += seen.ending is Ending.COMPLETE
    figures["given away"] = sum(
        1
        for seen in log
        if seen.ending is Ending.COMPLETE
        and (told := truth.winners.get(seen.request_id or seen.customer.account_id))
        and told.outcome == "expired"
    )
