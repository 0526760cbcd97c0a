"""Settlements without effect, as staff read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import database

# What was kept until its turn came, and then won, is no conflict; neither is an expiry that was told twice.
_CONFLICTS = """
SELECT c.recorded_at, c.account_id, c.request_id, c.sequence, c.outcome,
       CASE WHEN r.request_id IS NULL THEN 'no_reservation'
            WHEN r.outcome IS NULL THEN 'waiting' ELSE 'later' END AS reason,
       r.outcome AS winner, r.settled_sequence AS winner_sequence
FROM quota.settlement_conflicts AS c
LEFT JOIN quota.reservations AS r ON r.account_id = c.account_id AND r.request_id = c.request_id
WHERE (%(account)s::uuid IS NULL OR c.account_id = %(account)s::uuid)
  AND c.sequence IS DISTINCT FROM r.settled_sequence
  AND NOT (c.outcome = 'expired' AND r.outcome IS NOT DISTINCT FROM 'expired')
ORDER BY c.recorded_at DESC, c.request_id, c.sequence LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class KeptSettlement:
    """`reason` is why it has no effect; `winner` and `winner_sequence` are what settled its request instead."""

    recorded_at: datetime
    account_id: UUID
    request_id: UUID
    sequence: int
    outcome: str
    reason: str
    winner: str | None
    winner_sequence: int | None


async def kept_settlements(
    engine: AsyncEngine, *, account_id: UUID | None = None, limit: int
) -> Sequence[KeptSettlement]:
    """The newest that many, of one account or of all. Raises `StoreAway`."""
    with database.statement("SELECT", "quota.settlement_conflicts"):
        async with database.transaction(engine) as session:
            wanted = {"account": account_id, "limit": limit}
            found = await (await session.connection()).exec_driver_sql(_CONFLICTS, wanted)
            return [KeptSettlement(**row) for row in found.mappings()]
