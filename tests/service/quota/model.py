"""What quota should do, written as simply as can be: all counters are sums over requests."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from quota.domain import Continued, Limits, Refusal

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Extra:
    """A grant."""

    grant_id: UUID
    prompts: int
    starts_at: datetime
    ends_at: datetime


@dataclass
class Request:
    """One request of an account. `told` are the settlements of it that were delivered, by sequence.

    `asks_on` is what it was asked as a continuation of, `continues` what it was admitted as one of.
    """

    account_id: UUID
    request_id: UUID
    token_id: UUID
    asks_on: Continued | None = None
    continues: Continued | None = None
    call: int = 1
    reserved_at: datetime = NEVER
    is_reserved: bool = False
    day: date = date.min
    grant_id: UUID | None = None
    lease_until: datetime = NEVER
    told: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    winner: int | None = None

    @property
    def turn_id(self) -> UUID:
        return self.continues.turn_id if self.continues else self.request_id

    @property
    def is_open(self) -> bool:
        return self.is_reserved and self.winner is None

    @property
    def is_used(self) -> bool:
        return self.winner is not None and self.continues is None and self.told[self.winner][0] == "completed"

    @property
    def holds_prompt(self) -> bool:
        return self.is_open and self.continues is None

    @property
    def is_answering(self) -> bool:
        """Whether nobody else may answer what it answers."""
        if self.winner is None:
            return self.is_open
        outcome, ended_as = self.told[self.winner]
        return (ended_as or outcome) in ("completed", "continuation")

    def decide(self, *, folded_through: int = 0) -> None:
        """The first that is known wins; an expiry only when all that is ahead of it is known."""
        if not self.is_reserved or not self.told:
            return
        first = min(self.told)
        if self.winner is None and self.told[first][0] == "expired" and first > folded_through:
            return
        self.winner = first


class Account:
    """One account, and why it would refuse a prompt."""

    def __init__(self, account_id: UUID) -> None:
        self.account_id = account_id
        self.requests: dict[UUID, Request] = {}
        self.plans: dict[int, tuple[str, datetime]] = {}
        self.extras: list[Extra] = []
        self.suspension = (0, False)

    def plan(self, now: datetime) -> str:
        effective = [revision for revision, (_, at) in self.plans.items() if at <= now]
        return self.plans[max(effective)][0] if effective else "free"

    @property
    def in_flight(self) -> int:
        return sum(request.is_open for request in self.requests.values())

    def counts(self, begins: date, ends: date) -> tuple[int, int, int]:
        """Used, reserved and drawn prompts of the days from `begins` to before `ends`."""
        those = [request for request in self.requests.values() if request.is_reserved and begins <= request.day < ends]
        drawn = [request for request in those if request.grant_id is not None]
        return (
            sum(request.is_used for request in those),
            sum(request.holds_prompt for request in those),
            sum(request.is_open or request.is_used for request in drawn),
        )

    def taken(self, extra: Extra) -> int:
        mine = [request for request in self.requests.values() if request.grant_id == extra.grant_id]
        return sum(request.is_open or request.is_used for request in mine)

    def pools(self, now: datetime) -> Sequence[Extra]:
        """Grants that a prompt can be drawn from, in their order."""
        live = [extra for extra in self.extras if extra.starts_at <= now < extra.ends_at]
        left = [extra for extra in live if self.taken(extra) < extra.prompts]
        return sorted(left, key=lambda extra: (extra.ends_at, extra.grant_id))

    def calls(self, turn_id: UUID) -> int:
        """Calls of a turn that somebody opened."""
        return max([1, *(one.call for one in self.rides(turn_id))])

    def rides(self, turn_id: UUID) -> list[Request]:
        return [one for one in self.requests.values() if one.continues and one.continues.turn_id == turn_id]

    def turns(self) -> dict[UUID, tuple[datetime, int, list[int]]]:
        """Of each turn that was continued: when it was opened, its calls, and which of them are answered."""
        return {
            turn_id: (
                self.requests[turn_id].reserved_at,
                self.calls(turn_id),
                sorted(one.continues.answers for one in self.rides(turn_id) if one.continues and one.is_answering),
            )
            for turn_id in {one.continues.turn_id for one in self.requests.values() if one.continues}
        }

    def can_go_on(self, asked: Continued, limits: Limits, now: datetime, *, calls_before: int) -> bool:
        """Whether a continuation rides: `calls_before` is how many calls the turn had when the batch began."""
        opener = self.requests.get(asked.turn_id)
        if opener is None or opener.continues is not None or not (opener.is_open or opener.is_used):
            return False
        is_young = now - opener.reserved_at < timedelta(minutes=limits.turns.open_for_minutes)
        has_call = 1 <= asked.answers <= calls_before and self.calls(asked.turn_id) < limits.turns.calls_per_turn
        is_free = not any(one.continues == asked and one.is_answering for one in self.rides(asked.turn_id))
        return is_young and has_call and is_free

    def admit(
        self, requests: Sequence[Request], limits: Limits, now: datetime, *, blocked: Set[UUID]
    ) -> list[tuple[Request, Refusal | None]]:
        """A batch: first whatever continues a turn, then all the others."""
        found: list[tuple[Request, Refusal | None]] = []
        others = list(requests)
        before = {one.request_id: self.calls(one.asks_on.turn_id) for one in requests if one.asks_on}
        for request in requests:
            calls = before.get(request.request_id, 0)
            if request.asks_on and self.can_go_on(request.asks_on, limits, now, calls_before=calls):
                others.remove(request)
                is_blocked = request.token_id in blocked
                found.append((request, self.carry_on(request, limits, now, is_blocked=is_blocked)))
        for request in others:
            is_blocked = request.token_id in blocked
            found.append((request, self.reserve(request, limits, now, is_blocked=is_blocked)))
        return found

    def carry_on(self, request: Request, limits: Limits, now: datetime, *, is_blocked: bool) -> Refusal | None:
        """Let it ride, or say why not."""
        if is_blocked:
            return Refusal.TOKEN_BLOCKED
        if self.suspension[1]:
            return Refusal.ACCOUNT_SUSPENDED
        if limits.in_flight is not None and self.in_flight >= limits.in_flight:
            return Refusal.TOO_MANY_IN_FLIGHT
        assert request.asks_on is not None
        request.is_reserved, request.day, request.reserved_at = True, now.date(), now
        request.continues, request.call = request.asks_on, self.calls(request.asks_on.turn_id) + 1
        self.requests[request.request_id] = request
        return None

    def reserve(self, request: Request, limits: Limits, now: datetime, *, is_blocked: bool) -> Refusal | None:
        """Hold a prompt for it, or say why not."""
        if is_blocked:
            return Refusal.TOKEN_BLOCKED
        if self.suspension[1]:
            return Refusal.ACCOUNT_SUSPENDED
        day = now.date()
        month = day.replace(day=1)
        spent = [
            reason
            for reason, limit, begins in (
                (Refusal.DAILY_SPENT, limits.daily, day),
                (Refusal.MONTHLY_SPENT, limits.monthly, month),
            )
            if limit is not None and _plan_prompts(self.counts(begins, day + timedelta(days=1))) >= limit
        ]
        pools = self.pools(now)
        if spent and not pools:
            return spent[0]
        if limits.in_flight is not None and self.in_flight >= limits.in_flight:
            return Refusal.TOO_MANY_IN_FLIGHT
        request.is_reserved, request.day, request.reserved_at = True, day, now
        request.grant_id = pools[0].grant_id if spent else None
        self.requests[request.request_id] = request
        return None


def _plan_prompts(counts: tuple[int, int, int]) -> int:
    used, reserved, drawn = counts
    return used + reserved - drawn
