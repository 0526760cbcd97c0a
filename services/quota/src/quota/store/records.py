"""Settlements, and whether the schema is there."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import schema
from quota.domain import Folded, Settlement
from quota.store.settlements import fold_settlements


class Store:
    """What is asked for less often than reservations, or in batches: a pool of connections, a transaction each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def is_current(self) -> bool:
        return await schema.is_current(self._engine, "quota")

    async def settle(self, settlements: Sequence[Settlement], *, folded_through: int = 0) -> Folded:
        """Fold a batch, in one transaction; what is folded already changes nothing."""
        return await fold_settlements(self._engine, settlements, folded_through=folded_through)
