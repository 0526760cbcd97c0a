"""Every query on stored responses. Each method is one transaction; what has expired is not there any more."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from chassis.database import statement, transaction
from gateway.tables import StoredResponse

TABLE = "gateway.responses"


class ResponseStore:
    """Stored responses, each of one owner."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def save(
        self, response_id: UUID, account_id: UUID, *, body: bytes, input_items: bytes, keep: timedelta
    ) -> None:
        """Keep a response for so long from now. A second time changes nothing."""
        with statement("INSERT", TABLE):
            async with transaction(self._engine) as session:
                await session.exec(
                    insert(StoredResponse)
                    .values(
                        response_id=response_id,
                        account_id=account_id,
                        body=body,
                        input_items=input_items,
                        created_at=func.now(),
                        expires_at=func.now() + keep,
                    )
                    .on_conflict_do_nothing()
                )

    async def find(self, account_id: UUID, response_id: UUID) -> StoredResponse | None:
        """One response of this account."""
        query = select(StoredResponse).where(_is_one(account_id, response_id), _is_live())
        with statement("SELECT", TABLE):
            async with transaction(self._engine) as session:
                return (await session.exec(query)).one_or_none()

    async def delete(self, account_id: UUID, response_id: UUID) -> bool:
        """Remove one response of this account; whether it was there."""
        gone = (
            delete(StoredResponse)
            .where(_is_one(account_id, response_id), _is_live())
            .returning(col(StoredResponse.response_id))
        )
        with statement("DELETE", TABLE):
            async with transaction(self._engine) as session:
                return (await session.exec(gone)).first() is not None

    async def erase(self, account_id: UUID) -> int:
        """Remove every response of this account; how many there were."""
        gone = (
            delete(StoredResponse)
            .where(col(StoredResponse.account_id) == account_id)
            .returning(col(StoredResponse.response_id))
        )
        with statement("DELETE", TABLE):
            async with transaction(self._engine) as session:
                return len((await session.exec(gone)).all())

    async def purge(self, *, limit: int) -> int:
        """Remove what has expired; how many, at most `limit`, none that another gateway removes just now."""
        over = (
            select(StoredResponse.response_id)
            .where(col(StoredResponse.expires_at) <= func.now())
            .order_by(col(StoredResponse.expires_at))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        gone = (
            delete(StoredResponse)
            .where(col(StoredResponse.response_id).in_(over))
            .returning(col(StoredResponse.response_id))
        )
        async with transaction(self._engine) as session:
            return len((await session.exec(gone)).all())


def _is_one(account_id: UUID, response_id: UUID) -> ColumnElement[bool]:
    return and_(col(StoredResponse.response_id) == response_id, col(StoredResponse.account_id) == account_id)


def _is_live() -> ColumnElement[bool]:
    return col(StoredResponse.expires_at) > func.now()
