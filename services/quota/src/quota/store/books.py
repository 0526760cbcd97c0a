"""Quota's own books of a day and its month, read for whoever checks them: one statement, one snapshot, a page.

Windows are counters, reservations are rows: the two are read apart, so that a reader sees when they differ.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import database
from contracts.quota import AccountBooks

# Those that can have anything to tell: an account without a window in the month has nothing in it.
_PAGE = """
page AS MATERIALIZED (
    SELECT a.account_id FROM quota.accounts AS a
    WHERE a.account_id > %(after)s AND (%(account)s::uuid IS NULL OR a.account_id = %(account)s::uuid)
      AND (EXISTS (SELECT FROM quota.windows AS w
                   WHERE w.account_id = a.account_id AND w.kind = 'month' AND w.starts_on = %(month)s)
           OR a.account_id = ANY (ARRAY (SELECT account_id FROM overdue)))
    ORDER BY a.account_id LIMIT %(limit)s
)"""

# `later`: what was settled beyond the sequence is taken back. `days`: an open reservation whose end is told, and which
# waits for what is ahead of it in the stream, counts as settled where the stream says so. An open continuation holds no
# prompt, so no window has it as reserved; it is settled like any other, and never charged.
_BOOKS = f"""
WITH overdue AS MATERIALIZED (
    SELECT account_id, count(*) AS number FROM quota.reservations
    WHERE outcome IS NULL AND lease_until < quota.clock() - interval '1 minute' GROUP BY account_id
), {_PAGE}, later AS (
    SELECT r.account_id, count(*) FILTER (WHERE r.day = %(day)s) AS of_day, count(*) AS of_month
    FROM quota.reservations AS r
    WHERE r.settled_sequence > %(through)s AND r.charged AND r.month = %(month)s GROUP BY r.account_id
), days AS (
    SELECT r.account_id,
           count(*) FILTER (WHERE r.settled_sequence <= %(through)s AND r.charged) AS charged,
           count(*) FILTER (WHERE r.settled_sequence <= %(through)s OR r.outcome IS NULL AND EXISTS (
               SELECT FROM quota.settlement_conflicts AS c WHERE c.request_id = r.request_id
               AND c.account_id = r.account_id AND c.sequence <= %(through)s)) AS settled,
           count(*) FILTER (WHERE r.outcome IS NULL AND r.answers IS NULL) AS open
    FROM quota.reservations AS r
    WHERE r.day = %(day)s AND r.account_id = ANY (ARRAY (SELECT account_id FROM page)) GROUP BY r.account_id
), counters AS (
    SELECT w.account_id,
           sum(w.used) FILTER (WHERE w.kind = 'day' AND w.starts_on = %(day)s) AS day_used,
           sum(w.reserved) FILTER (WHERE w.kind = 'day' AND w.starts_on = %(day)s) AS day_reserved,
           sum(w.used) FILTER (WHERE w.kind = 'month') AS month_used,
           sum(w.reserved) FILTER (WHERE w.kind = 'month') AS month_reserved,
           sum(w.used) FILTER (WHERE w.kind = 'day') AS month_days_used,
           sum(w.reserved) FILTER (WHERE w.kind = 'day') AS month_days_reserved
    FROM quota.windows AS w
    WHERE w.account_id = ANY (ARRAY (SELECT account_id FROM page))
      AND (w.kind = 'month' AND w.starts_on = %(month)s
           OR w.kind = 'day' AND w.starts_on >= %(month)s AND w.starts_on < %(month_end)s)
    GROUP BY w.account_id
)
SELECT p.account_id,
       coalesce(c.day_used, 0) - coalesce(l.of_day, 0), coalesce(c.day_reserved, 0),
       coalesce(d.charged, 0), coalesce(d.settled, 0), coalesce(d.open, 0),
       coalesce(c.month_used, 0) - coalesce(l.of_month, 0), coalesce(c.month_reserved, 0),
       coalesce(c.month_days_used, 0) - coalesce(l.of_month, 0), coalesce(c.month_days_reserved, 0),
       coalesce(o.number, 0)
FROM page AS p
LEFT JOIN counters AS c USING (account_id)
LEFT JOIN later AS l USING (account_id)
LEFT JOIN days AS d USING (account_id)
LEFT JOIN overdue AS o USING (account_id)
ORDER BY p.account_id
"""


class BookKeeping:
    """Reads; changes nothing."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(
        self, day: date, *, through_sequence: int, account_id: UUID | None, after: UUID | None, limit: int
    ) -> Sequence[AccountBooks]:
        """The books of at most `limit` accounts after `after`, in the order of their ids. Raises `StoreAway`."""
        month = day.replace(day=1)
        wanted = {
            "day": day,
            "month": month,
            "month_end": _month_after(month),
            "through": through_sequence,
            "account": account_id,
            "after": after or UUID(int=0),
            "limit": limit,
        }
        with database.statement("SELECT", "quota.reservations"):
            async with database.transaction(self._engine) as session:
                found = await (await session.connection()).exec_driver_sql(_BOOKS, wanted)
                return [_books(row) for row in found.all()]


def _month_after(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _books(row: Sequence[Any]) -> AccountBooks:
    account_id, *counts = row
    names = list(AccountBooks.model_fields)[1:]
    return AccountBooks(account_id=account_id, **{name: int(count) for name, count in zip(names, counts, strict=True)})
