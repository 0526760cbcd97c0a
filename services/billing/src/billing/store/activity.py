"""What one account did: sums of its days, and its latest requests. Asked by a customer, so never a whole history.

Sums come from an index that holds all they need (`ledger_activity_idx`); pages go backwards along the account's chain.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from billing.domain.lines import Posted
from billing.store.rows import EXPLAINED_COLUMNS, explained
from billing.store.session import Connection
from chassis import database

LONGEST_DAYS = 92
# No chain gets there: asked for the newest page, so that the statement needs no second form.
_BEYOND = 2**63 - 1

# Credit notes are not in it, as they are not in the prompts of a receipt: they stand beside.
_DAYS = """
SELECT * FROM (
    SELECT day, outcome,
        sum(CASE kind WHEN 'settlement' THEN 1 WHEN 'reversal' THEN -1 ELSE 0 END)::bigint AS requests,
        sum(CASE kind WHEN 'credit_note' THEN 0 ELSE prompts END)::bigint AS prompts
    FROM billing.ledger
    WHERE account_id = %s AND day >= greatest(%s, (now() AT TIME ZONE 'UTC')::date - %s)
    GROUP BY day, outcome
) AS sums WHERE requests <> 0 OR prompts <> 0 ORDER BY day, outcome
"""
# The settlement line of each request that no reversal took back.
_LATEST = """
SELECT line.sequence, line.request_id FROM billing.ledger AS line
WHERE line.account_id = %s AND line.sequence < %s AND line.kind = 'settlement' AND NOT EXISTS (
    SELECT FROM billing.ledger AS reversal
    WHERE reversal.request_id = line.request_id AND reversal.kind = 'reversal' AND reversal.corrects = line.id
)
ORDER BY line.sequence DESC LIMIT %s
"""
_LINES = f"""
SELECT {EXPLAINED_COLUMNS} FROM billing.ledger WHERE request_id = ANY(%s::uuid[]) AND account_id = %s
ORDER BY request_id, revision
"""


@dataclass(frozen=True, slots=True)
class DaySum:
    """The requests of one day that ended in one way."""

    day: date
    outcome: str
    requests: int
    prompts: int


@dataclass(frozen=True, slots=True)
class Page:
    """All lines of each of the latest requests, newest request first. `more_before`: where the next page begins."""

    requests: Sequence[Sequence[Posted]]
    more_before: int | None


class Activity:
    """Reads `ledger`, over a connection of its own: a customer who waits for a receipt does not wait for a chart."""

    def __init__(self, url: str) -> None:
        # One plan for every limit would sort a whole account for a page of twenty.
        self._reading = Connection(url, plans_each=True)

    async def disconnect(self) -> None:
        await self._reading.disconnect()

    async def days(self, account_id: UUID, *, since: date) -> Sequence[DaySum]:
        """By day and outcome, oldest day first; at most `LONGEST_DAYS` back."""
        try:
            return await self._days(account_id, since)
        except database.StoreAway:
            return await self._days(account_id, since)

    async def latest(self, account_id: UUID, *, before: int | None, limit: int) -> Page:
        """The newest `limit` requests of the account's chain, of what is below the line `before`."""
        if limit == 0:
            return Page((), None)
        try:
            return await self._latest(account_id, before or _BEYOND, limit)
        except database.StoreAway:
            return await self._latest(account_id, before or _BEYOND, limit)

    async def _days(self, account_id: UUID, since: date) -> Sequence[DaySum]:
        async with self._reading.held() as connection:
            with database.statement("SELECT", "billing.ledger"):
                rows = await (await connection.execute(_DAYS, (account_id, since, LONGEST_DAYS))).fetchall()
        return [DaySum(*row) for row in rows]

    async def _latest(self, account_id: UUID, before: int, limit: int) -> Page:
        async with self._reading.held() as connection:
            with database.statement("SELECT", "billing.ledger"):
                places = await (await connection.execute(_LATEST, (account_id, before, limit + 1))).fetchall()
                shown = [request_id for _, request_id in places[:limit]]
                rows = await (await connection.execute(_LINES, (shown, account_id))).fetchall()
        by_request: defaultdict[UUID, list[Posted]] = defaultdict(list)
        for row in rows:
            line = explained(row)
            by_request[line.entry.request_id].append(line)
        more_before = places[limit - 1][0] if len(places) > limit else None
        return Page([by_request[request_id] for request_id in shown], more_before)
