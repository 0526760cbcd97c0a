"""Who is admitted: what is asked, the terms that decide, and the answer with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from contracts.plans import Turns
from quota.domain.speed import IN_FLIGHT_RETRY_SECONDS, retry_after_seconds
from quota.domain.turns import Continued
from quota.domain.windows import Windows

TURNS = Turns()


class Refusal(StrEnum):
    """Why no prompt is held."""

    DAILY_SPENT = "daily_spent"
    MONTHLY_SPENT = "monthly_spent"
    TOKEN_BLOCKED = "token_blocked"
    ACCOUNT_SUSPENDED = "account_suspended"
    TOO_MANY_IN_FLIGHT = "too_many_in_flight"
    TOO_MANY_A_MINUTE = "too_many_a_minute"
    TURN_BUSY = "turn_busy"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request that somebody wants to have admitted, with a prompt of its own or on that of the turn it continues.

    `alias`, `endpoint`, `is_stream` and `trace_id` are kept for the record only.
    """

    account_id: UUID
    request_id: UUID
    token_id: UUID
    gateway: str
    alias: str = ""
    endpoint: str = ""
    is_stream: bool = False
    trace_id: str | None = None
    continues: Continued | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Prompts per UTC day and UTC month of one plan, open requests at once, and requests a minute; None is no limit.

    `turns` is how far one prompt reaches.
    """

    daily: int | None
    monthly: int | None
    in_flight: int | None = None
    requests_per_minute: int | None = None
    turns: Turns = TURNS


@dataclass(frozen=True, slots=True)
class Terms:
    """The plan catalogue as far as quota decides by it. An account whose plan is not in it has the default one."""

    version: int
    default_plan: str
    limits: Mapping[str, Limits]

    def plan_in_force(self, assigned: str) -> str:
        return assigned if assigned in self.limits else self.default_plan


@dataclass(frozen=True, slots=True)
class Held:
    """A prompt is held, or that of an open turn goes on. `assigned_plan` is the account's, `plan` the one in force."""

    assigned_plan: str
    plan: str
    plans_version: int
    turn_id: UUID
    call: int
    windows: Windows
    is_replay: bool

    @property
    def is_continuation(self) -> bool:
        return self.call > 1


@dataclass(frozen=True, slots=True)
class Refused:
    """No prompt is held. Of a refusal for speed: the limit that was met, and when another try makes sense."""

    reason: Refusal
    assigned_plan: str
    plan: str
    windows: Windows
    speed_limit: int | None = None
    retry_after_seconds: float | None = None


Decision = Held | Refused


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as an ask finds it: windows, open requests, and microseconds until its bucket is full again.

    `is_riding`: the ask continues an open turn, so it needs no room in the windows.
    """

    windows: Windows
    in_flight: int
    debt_microseconds: int
    is_blocked: bool = False
    is_suspended: bool = False
    is_riding: bool = False


def refusal(standing: Standing, limits: Limits) -> Refusal:
    """Why a request that does not fit is refused: token, account, day, month, and only then speed."""
    if standing.is_blocked:
        return Refusal.TOKEN_BLOCKED
    if standing.is_suspended:
        return Refusal.ACCOUNT_SUSPENDED
    windows = standing.windows
    if not windows.extra and not standing.is_riding:
        if windows.daily.room(limits.daily) == 0:
            return Refusal.DAILY_SPENT
        if windows.monthly.room(limits.monthly) == 0:
            return Refusal.MONTHLY_SPENT
    if limits.in_flight is not None and standing.in_flight >= limits.in_flight:
        return Refusal.TOO_MANY_IN_FLIGHT
    return Refusal.TOO_MANY_A_MINUTE


def refused(standing: Standing, limits: Limits, *, assigned_plan: str, plan: str) -> Refused:
    """The refusal with what its caller can do about it."""
    reason = refusal(standing, limits)
    speed_limit, retry_after = None, None
    if reason is Refusal.TOO_MANY_IN_FLIGHT:
        speed_limit, retry_after = limits.in_flight, IN_FLIGHT_RETRY_SECONDS
    elif reason is Refusal.TOO_MANY_A_MINUTE and limits.requests_per_minute is not None:
        speed_limit = limits.requests_per_minute
        retry_after = retry_after_seconds(standing.debt_microseconds, speed_limit)
    return Refused(
        reason=reason,
        assigned_plan=assigned_plan,
        plan=plan,
        windows=standing.windows,
        speed_limit=speed_limit,
        retry_after_seconds=retry_after,
    )
