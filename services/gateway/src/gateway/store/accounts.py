"""Every query on accounts and tokens, named by intent. Each method is one transaction; all raise `StoreAway`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy.exc
from sqlalchemy import ColumnElement, text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis.database import statement, transaction
from gateway.errors import AccountExists
from gateway.tables import Account, Token


@dataclass(frozen=True, slots=True)
class StoredToken:
    """What authentication needs of a token, valid or not."""

    token_id: UUID
    account_id: UUID
    digest: bytes
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None


class Store:
    """The gateway's part of Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def answers(self) -> bool:
        """Whether the database answers a query now."""
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        return True

    async def add_account(self, account: Account) -> None:
        """Raises `AccountExists`."""
        try:
            async with transaction(self._engine) as session:
                session.add(account)
        except sqlalchemy.exc.IntegrityError as exc:
            raise AccountExists(account.name) from exc

    async def find_account(self, account: str) -> Account | None:
        """By id or by name; a name that reads like an id is looked up as an id first."""
        async with transaction(self._engine) as session:
            try:
                found = await session.get(Account, UUID(account))
            except ValueError:
                found = None
            if found is None:
                found = (await session.exec(select(Account).where(col(Account.name) == account))).one_or_none()
            return found

    async def unannounced_accounts(self, *, limit: int) -> Sequence[Account]:
        """Accounts whose opening the bus has not acknowledged, oldest first."""
        query = select(Account).where(col(Account.announced_at).is_(None)).order_by(col(Account.opened_at)).limit(limit)
        async with transaction(self._engine) as session:
            return (await session.exec(query)).all()

    async def note_announced(self, account_id: UUID) -> None:
        async with transaction(self._engine) as session:
            await session.exec(
                update(Account)
                .where(col(Account.account_id) == account_id, col(Account.announced_at).is_(None))
                .values(announced_at=datetime.now(UTC))
            )

    async def accounts(self) -> Sequence[Account]:
        """All accounts, oldest first."""
        async with transaction(self._engine) as session:
            return (await session.exec(select(Account).order_by(col(Account.opened_at), col(Account.account_id)))).all()

    async def suspend(self, account_id: UUID, *, reason: str) -> int:
        """Mark an account as suspended; the revision that says so. One that is suspended stays as it is."""
        values = {"suspended_at": datetime.now(UTC), "suspension_reason": reason}
        return await self._change_suspension(account_id, values, col(Account.suspended_at).is_(None))

    async def resume(self, account_id: UUID) -> int:
        """Mark an account as no longer suspended; the revision that says so. One that is not stays as it is."""
        values = {"suspended_at": None, "suspension_reason": None}
        return await self._change_suspension(account_id, values, col(Account.suspended_at).is_not(None))

    async def _change_suspension(
        self, account_id: UUID, values: Mapping[str, object], is_other: ColumnElement[bool]
    ) -> int:
        revision = col(Account.suspension_revision)
        async with transaction(self._engine) as session:
            await session.exec(
                update(Account)
                .where(col(Account.account_id) == account_id, is_other)
                .values(**values, suspension_revision=revision + 1)
            )
            return (await session.exec(select(revision).where(col(Account.account_id) == account_id))).one()

    async def untold_suspensions(self, *, limit: int) -> Sequence[Account]:
        """Accounts whose newest suspension or resumption quota has not yet been told of."""
        query = (
            select(Account)
            .where(col(Account.suspension_told) < col(Account.suspension_revision))
            .order_by(col(Account.account_id))
            .limit(limit)
        )
        async with transaction(self._engine) as session:
            return (await session.exec(query)).all()

    async def note_suspension_told(self, account_id: UUID, *, revision: int) -> None:
        """Quota knows of all changes up to `revision`; an answer that was overtaken changes nothing."""
        async with transaction(self._engine) as session:
            await session.exec(
                update(Account)
                .where(col(Account.account_id) == account_id, col(Account.suspension_told) < revision)
                .values(suspension_told=revision)
            )

    async def add_token(self, token: Token) -> None:
        async with transaction(self._engine) as session:
            session.add(token)

    async def tokens_of(self, account_id: UUID) -> Sequence[Token]:
        """All tokens of an account, revoked ones too, oldest first."""
        query = select(Token).where(col(Token.account_id) == account_id).order_by(col(Token.created_at))
        async with transaction(self._engine) as session:
            return (await session.exec(query)).all()

    async def token_by_digest(self, digest: bytes) -> StoredToken | None:
        """The token with that digest, expired and revoked ones included: telling them apart is not the database's."""
        with statement("SELECT", "gateway.tokens"):
            async with AsyncSession(self._engine) as session:
                found = (await session.exec(select(Token).where(col(Token.digest) == digest))).one_or_none()
        if found is None:
            return None
        return StoredToken(
            found.token_id,
            found.account_id,
            found.digest,
            frozenset(found.scopes),
            found.expires_at,
            found.revoked_at,
        )

    async def revoke_token(self, token_id: UUID) -> Token | None:
        """Mark a token as revoked; the first time counts. The token, if there is one."""
        async with transaction(self._engine) as session:
            token = await session.get(Token, token_id)
            if token is None:
                return None
            await session.exec(
                update(Token)
                .where(col(Token.token_id) == token_id, col(Token.revoked_at).is_(None))
                .values(revoked_at=datetime.now(UTC))
            )
            return token

    async def unblocked_tokens(self, *, limit: int) -> Sequence[Token]:
        """Revoked tokens that quota has not yet been told of, longest waiting first."""
        query = (
            select(Token)
            .where(col(Token.revoked_at).is_not(None), col(Token.blocked_at).is_(None))
            .order_by(col(Token.revoked_at))
            .limit(limit)
        )
        async with transaction(self._engine) as session:
            return (await session.exec(query)).all()

    async def note_blocked(self, token_id: UUID) -> None:
        async with transaction(self._engine) as session:
            await session.exec(
                update(Token).where(col(Token.token_id) == token_id).values(blocked_at=datetime.now(UTC))
            )

    async def note_used(self, token_ids: Collection[UUID], *, at: datetime, coarse: timedelta) -> None:
        """Move `last_used_at` forward where it is older than `coarse`: one write per token and interval at most."""
        async with transaction(self._engine) as session:
            await session.exec(
                update(Token)
                .where(
                    col(Token.token_id).in_(sorted(token_ids)),
                    (col(Token.last_used_at).is_(None)) | (col(Token.last_used_at) < at - coarse),
                )
                .values(last_used_at=at)
            )
