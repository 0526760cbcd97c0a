"""The comparisons that were made: what they found, and where the next one goes on."""

from datetime import timedelta

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from billing.domain.differences import Report, from_json
from billing.store.session import transaction
from billing.tables import ReconciliationRow

# A comparison that found everything equal is forgotten after a while; the others are kept.
_KEPT_FOR = timedelta(days=30)
# More differences than this are counted, but not kept one by one.
KEPT_DIFFERENCES = 1000


class Reconciliations:
    """The table `reconciliations`. Every method is one transaction; all raise `StoreAway`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, report: Report) -> None:
        """Keep a report, and forget equal ones of long ago."""
        row = {name: getattr(report, name) for name in ReconciliationRow.model_fields if name != "id"}
        row["differences"] = [difference.as_json() for difference in report.differences[:KEPT_DIFFERENCES]]
        row["notes"] = list(report.notes)
        row["figures"] = dict(report.figures)
        old = delete(ReconciliationRow).where(
            col(ReconciliationRow.result) == "equal", col(ReconciliationRow.finished_at) < func.now() - _KEPT_FOR
        )
        async with transaction(self._engine) as session:
            await session.exec(insert(ReconciliationRow).values(row))
            await session.exec(old)

    async def last(self) -> Report | None:
        """The newest comparison of all accounts and days, whatever came of it."""
        return await self._newest(must_be_compared=False)

    async def last_compared(self) -> Report | None:
        """The newest that could be made, and whose differences are all kept: the next one goes on from there."""
        return await self._newest(must_be_compared=True)

    async def _newest(self, *, must_be_compared: bool) -> Report | None:
        query = (
            select(ReconciliationRow)
            .where(col(ReconciliationRow.day).is_(None), col(ReconciliationRow.account_id).is_(None))
            .order_by(col(ReconciliationRow.id).desc())
            .limit(1)
        )
        if must_be_compared:
            query = query.where(
                col(ReconciliationRow.result) != "not_comparable", col(ReconciliationRow.found) <= KEPT_DIFFERENCES
            )
        async with transaction(self._engine) as session:
            row = (await session.exec(query)).one_or_none()
        return None if row is None else _report(row)


def _report(row: ReconciliationRow) -> Report:
    return Report(
        row.asked_by,
        row.day,
        row.account_id,
        row.started_at,
        row.finished_at,
        row.from_sequence,
        row.through_sequence,
        row.result,
        row.found,
        [from_json(difference) for difference in row.differences],
        row.notes,
        row.figures,
    )
