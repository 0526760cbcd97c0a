"""A day that never was: its accounts, requests and how they ended, the same each time."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

import psycopg

from contracts.gateway import Cost, RequestSettled, Timings, TokenUsage, WindowAfter
from contracts.outcomes import Outcome

SPACE = UUID("6f6ae6c4-3f0d-5a43-9c62-2d3a36e1b0c5")
PLAN, LIMITS = "max", (10_000, 100_000)
# Of a hundred requests: nearly all are finished, a few end in each other way.
OUTCOMES = (
    *[Outcome.COMPLETED] * 92,
    *(Outcome.CLIENT_GONE_LATE, Outcome.CLIENT_GONE_EARLY, Outcome.EMPTY, Outcome.UPSTREAM_UNAVAILABLE),
    *(Outcome.UPSTREAM_BROKEN, Outcome.EXPIRED, Outcome.GATEWAY_SHUTDOWN, Outcome.CONTINUATION),
)


@dataclass(frozen=True, slots=True)
class Day:
    """`settlements` requests of `accounts` accounts on a UTC day; one in 25 is of the first account."""

    on: date
    settlements: int
    accounts: int

    def account_of(self, number: int) -> UUID:
        return uuid5(SPACE, f"account {0 if number % 25 == 0 else number % self.accounts}")

    def request(self, number: int) -> UUID:
        return uuid5(SPACE, f"request {number}")

    def all(self) -> Iterator[RequestSettled]:
        """The settlements, in the order of their ends."""
        midnight = datetime.combine(self.on, time(), UTC)
        used: Counter[UUID] = Counter()
        for number in range(self.settlements):
            account_id = self.account_of(number)
            outcome = OUTCOMES[number % len(OUTCOMES)]
            used[account_id] += outcome.is_charged
            ended_at = midnight + timedelta(days=number / self.settlements)
            yield self._settled(number, account_id, outcome, ended_at, used[account_id])

    def _settled(
        self, number: int, account_id: UUID, outcome: Outcome, ended_at: datetime, used: int
    ) -> RequestSettled:
        month = self.on.replace(day=1)
        after = [
            WindowAfter(limit=limit, used=used, remaining=limit - used, resets_at=resets_at)
            for limit, resets_at in zip(LIMITS, _ends(self.on), strict=True)
        ]
        return RequestSettled(
            request_id=self.request(number),
            account_id=account_id,
            token_id=account_id,
            turn_id=self.request(number),
            call=1,
            outcome=outcome,
            plan=PLAN,
            plans_version=1,
            alias_asked="smart-route-turbo",
            alias_served="smart-route-turbo",
            endpoint="chat/completions",
            is_stream=number % 2 == 0,
            day=self.on,
            month=month,
            started_at=ended_at - timedelta(seconds=2),
            ended_at=ended_at,
            timings=Timings(admitted_ms=3.125, first_content_ms=220.5, total_ms=2000.0),
            tokens=TokenUsage(input=900 + number % 100, output=150, cached_input=number % 7, source="provider"),
            target="volume",
            attempts=1,
            error_code=None,
            trace_id=f"{number:032x}",
            daily=after[0],
            monthly=after[1],
            cost=Cost(amount=Decimal(number % 1000) / 100_000, currency="USD"),
            settled_by="gateway-1",
        )

    def held_by(self) -> Mapping[UUID, int]:
        """How many prompts each account holds before anything is settled."""
        return Counter(self.account_of(number) for number in range(self.settlements))


async def hold_all(day: Day, admin_url: str) -> None:
    """Every prompt of the day is held, as if quota had just admitted it."""
    held, month = day.held_by(), day.on.replace(day=1)
    now = datetime.now(UTC)
    async with await psycopg.AsyncConnection.connect(admin_url) as connection, connection.cursor() as cursor:
        async with cursor.copy("COPY quota.accounts (account_id, plan, revision, in_flight) FROM STDIN") as copy:
            for account_id, number in held.items():
                await copy.write_row((account_id, PLAN, 1, number))
        async with cursor.copy("COPY quota.windows (account_id, kind, starts_on, used, reserved) FROM STDIN") as copy:
            for (account_id, number), (kind, starts_on) in itertools.product(
                held.items(), (("day", day.on), ("month", month))
            ):
                await copy.write_row((account_id, kind, starts_on, 0, number))
        columns = "account_id, request_id, token_id, gateway, day, month, turn_id, call, plan, plans_version, "
        async with cursor.copy(
            f"COPY quota.reservations ({columns} reserved_at, lease_until) FROM STDIN".encode()
        ) as copy:
            for number in range(day.settlements):
                account_id, request_id = day.account_of(number), day.request(number)
                own = (account_id, request_id, account_id, "gateway-1", day.on, month, request_id, 1, PLAN, 1)
                await copy.write_row((*own, now, now + timedelta(days=1)))
    async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True) as connection:
        await connection.execute("VACUUM ANALYZE")


def _ends(day: date) -> Sequence[datetime]:
    next_month = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
    return [datetime.combine(end, time(), UTC) for end in (day + timedelta(days=1), next_month)]
