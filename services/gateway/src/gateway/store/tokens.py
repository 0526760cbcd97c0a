"""What an account does with its own service tokens in the portal: every query names the account, or a session of it.

Each method is one transaction; all raise `StoreAway`. A token of another account is not there, like one that never was.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis.database import transaction
from gateway.tables import Account, Session, Token


class TooManyTokens(Exception):
    """The account has as many active tokens as it may have."""


class TokenStore:
    """Tokens by their account; those of sessions are apart, and never listed."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def active(self, account_id: UUID) -> Sequence[Token]:
        """Those that are good now, newest first."""
        query = select(Token).where(_own(account_id), _is_active()).order_by(col(Token.created_at).desc())
        async with transaction(self._engine) as session:
            return (await session.exec(query)).all()

    async def ended(self, account_id: UUID, *, limit: int) -> Sequence[Token]:
        """Those that were revoked or have expired, the last to end first."""
        ended_at = func.least(col(Token.revoked_at), col(Token.expires_at))
        query = select(Token).where(_own(account_id), ~_is_active()).order_by(ended_at.desc()).limit(limit)
        async with transaction(self._engine) as session:
            return (await session.exec(query)).all()

    async def find(self, account_id: UUID, token_id: UUID) -> Token | None:
        query = select(Token).where(_own(account_id), col(Token.token_id) == token_id)
        async with transaction(self._engine) as session:
            return (await session.exec(query)).one_or_none()

    async def add(self, token: Token, *, limit: int) -> None:
        """Raises `TooManyTokens` when the account has `limit` active ones, however many are added at once."""
        async with transaction(self._engine) as session:
            await _make_room(session, token.account_id, limit=limit)
            session.add(token)

    async def replace(self, old: Token, new: Token, *, ends_at: datetime, limit: int) -> datetime | None:
        """Add `new`, and have `old` end at `ends_at` at the latest; when that is.

        None, and nothing is done: `old` is not active. Raises `TooManyTokens`.
        """
        async with transaction(self._engine) as session:
            await _make_room(session, old.account_id, limit=limit)
            ending = (
                update(Token)
                .where(_own(old.account_id), col(Token.token_id) == old.token_id, _is_active())
                .values(expires_at=func.least(col(Token.expires_at), ends_at))
                .returning(col(Token.expires_at))
            )
            ending_at = (await session.exec(ending)).scalar_one_or_none()
            if ending_at is not None:
                session.add(new)
            return ending_at

    async def take_over(self, old: Token, new: Token, *, limit: int) -> Token | None:
        """Add `new` and mark `old` as revoked, which is returned; None, and nothing is done: it is not active.

        Raises `TooManyTokens`.
        """
        async with transaction(self._engine) as session:
            await _make_room(session, old.account_id, limit=limit + 1)
            revoked = await _revoke(session, _own(old.account_id), col(Token.token_id) == old.token_id, _is_active())
            if not revoked:
                return None
            session.add(new)
            return revoked[0]

    async def revoke(self, account_id: UUID, token_id: UUID) -> Token | None:
        """Mark a token as revoked; the first time counts. The token as it is now, if it is the account's."""
        own = (_own(account_id), col(Token.token_id) == token_id)
        async with transaction(self._engine) as session:
            await _revoke(session, *own, col(Token.revoked_at).is_(None))
            return (await session.exec(select(Token).where(*own))).one_or_none()

    async def add_of_session(self, token: Token) -> bool:
        """Add a session's token, once however often and by how many gateways at once. False: the session has ended.

        A session that is being ended meanwhile is waited for, so that none of its tokens is overlooked then.
        """
        lives = (
            select(Session.session_id)
            .where(col(Session.session_id) == token.session_id)
            .with_for_update(read=True, key_share=True)
        )
        async with transaction(self._engine) as session:
            if (await session.exec(lives)).first() is None:
                return False
            await session.exec(
                insert(Token).values(token.model_dump()).on_conflict_do_nothing(index_elements=["digest"])
            )
            return True


def _own(account_id: UUID) -> ColumnElement[bool]:
    return (col(Token.account_id) == account_id) & col(Token.session_id).is_(None)


def _is_active() -> ColumnElement[bool]:
    has_expired = func.coalesce(col(Token.expires_at) <= func.now(), False)
    return col(Token.revoked_at).is_(None) & ~has_expired


async def _make_room(session: AsyncSession, account_id: UUID, *, limit: int) -> None:
    """Hold the account, so that tokens are added one after the other. Raises `TooManyTokens`."""
    account = select(Account.account_id).where(col(Account.account_id) == account_id).with_for_update(key_share=True)
    await session.exec(account)
    held = (await session.exec(select(func.count()).where(_own(account_id), _is_active()))).one()
    if held >= limit:
        raise TooManyTokens


async def _revoke(session: AsyncSession, *which: ColumnElement[bool]) -> Sequence[Token]:
    revoking = update(Token).where(*which).values(revoked_at=func.now()).returning(Token)
    return (await session.exec(revoking)).scalars().all()
