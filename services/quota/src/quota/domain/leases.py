"""Open reservations, as those see them who end them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from quota.domain.settlements import Settlement
from quota.domain.windows import Windows


@dataclass(frozen=True, slots=True)
class Overdue:
    """An open reservation whose lease ran out before `now`, with its windows as they are now.

    `is_drawn`: its prompt came from a grant; `is_grant_live`: that grant can be drawn from again. `kept` is the first
    settlement of it that is known and has no effect yet.
    """

    account_id: UUID
    request_id: UUID
    token_id: UUID
    turn_id: UUID
    call: int
    plan: str
    plans_version: int
    alias: str
    endpoint: str
    is_stream: bool
    trace_id: str | None
    reserved_at: datetime
    lease_until: datetime
    now: datetime
    is_drawn: bool
    is_grant_live: bool
    kept: Settlement | None
    windows: Windows


@dataclass(frozen=True, slots=True)
class OpenReservations:
    """How many are overdue, and for how many seconds the oldest is open."""

    overdue: int
    oldest_seconds: float
