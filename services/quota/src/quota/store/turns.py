"""What is kept of turns that were continued; most of it is read and written where requests are admitted and settled."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import database
from quota.domain import FORGOTTEN_AFTER

# Nobody changes these any more, so no lock of an account is needed. Whoever forgets the same ones at the same time is
# left alone.
_FORGET = """
DELETE FROM quota.turns
WHERE (turn_id, account_id) IN (
    SELECT turn_id, account_id FROM quota.turns
    WHERE opened_at < quota.clock() - make_interval(secs => %(age)s)
    ORDER BY opened_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""


class Turns:
    """A transaction each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def forget(self, *, limit: int) -> None:
        """Forget at most `limit` of those that have been too old to go on for a day. Raises `StoreAway`."""
        wanted: dict[str, Any] = {"age": FORGOTTEN_AFTER.total_seconds(), "limit": limit}
        # No span: a look every few seconds that finds nothing is nobody's trace.
        with database.store_errors():
            async with database.transaction(self._engine) as session:
                await (await session.connection()).exec_driver_sql(_FORGET, wanted)
