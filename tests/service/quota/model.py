"""What quota should do, written as simply as can be: all counters are sums over requests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from quota.domain import Limits, Refusal

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
    """One request of an account. `told` are the settlements of it that were delivered, by sequence."""

    account_id: UUID
    request_id: UUID
    token_id: UUID
    is_reserved: bool = False
    day: date = date.min
    grant_id: UUID | None = None
    lease_until: datetime = NEVER
    told: dict[int, str] = field(default_factory=dict)
    winner: int | None = None

    @property
    def is_open(self) -> bool:
        return self.is_reserved and self.winner is None

    @property
    def is_used(self) -> bool:
        return self.winner is not None and self.told[self.winner] == "completed"

    def decide(self, *, folded_through: int = 0) -> None:
        """The first that is known wins; an expiry only when all that is ahead of it is known."""
        if not self.is_reserved or not self.told:
            return
        first = min(self.told)
        if self.winner is None and self.told[first] == "expired" and first > folded_through:
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
            sum(request.is_open for request in those),
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
        request.is_reserved, request.day = True, day
        request.grant_id = pools[0].grant_id if spent else None
        self.requests[request.request_id] = request
        return None


def _plan_prompts(counts: tuple[int, int, int]) -> int:
    used, reserved, drawn = counts
    return used + reserved - drawn
