"""Every query on links that were sent by mail. To use one up is a part of transactions of the users' store."""

from typing import Literal

from sqlalchemy import ColumnElement, and_, delete, func
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis.database import transaction
from gateway.tables import MailLink

Purpose = Literal["sign_up", "reset"]


class MailLinkStore:
    """Links, by the digest of their secret; one whose time is over is not there."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, link: MailLink) -> None:
        async with transaction(self._engine) as session:
            session.add(link)

    async def find(self, digest: bytes, purpose: Purpose) -> MailLink | None:
        async with transaction(self._engine) as session:
            return (await session.exec(select(MailLink).where(is_good(digest, purpose)))).one_or_none()

    async def purge(self, *, limit: int) -> int:
        """Remove links whose time is over; how many, at most `limit`."""
        over = (
            select(MailLink.digest)
            .where(col(MailLink.expires_at) <= func.now())
            .order_by(col(MailLink.expires_at))
            .limit(limit)
        )
        async with transaction(self._engine) as session:
            gone = delete(MailLink).where(col(MailLink.digest).in_(over)).returning(col(MailLink.digest))
            return len((await session.exec(gone)).all())


def is_good(digest: bytes, purpose: Purpose) -> ColumnElement[bool]:
    """The link with that digest, for that purpose, while it is good."""
    return and_(col(MailLink.digest) == digest, col(MailLink.purpose) == purpose, col(MailLink.expires_at) > func.now())


async def use_up(session: AsyncSession, digest: bytes, purpose: Purpose) -> MailLink | None:
    """The link, which is gone then like all others of its e-mail; None when it is not good any more.

    Of several that are followed at once one is good.
    """
    link = (await session.exec(select(MailLink).where(is_good(digest, purpose)))).one_or_none()
    if link is None:
        return None
    session.expunge(link)
    await _lock(session, link.email)
    used = delete(MailLink).where(is_good(digest, purpose)).returning(col(MailLink.digest))
    if (await session.exec(used)).one_or_none() is None:
        return None
    await _remove_all(session, link.email, purpose)
    return link


async def remove_all(session: AsyncSession, email: str, purpose: Purpose) -> None:
    """No link of this e-mail is good any longer."""
    await _lock(session, email)
    await _remove_all(session, email, purpose)


async def _remove_all(session: AsyncSession, email: str, purpose: Purpose) -> None:
    """Those whose time is over are left to `purge`, which waits for nobody's lock."""
    which = (col(MailLink.email) == email, col(MailLink.purpose) == purpose, col(MailLink.expires_at) > func.now())
    await session.exec(delete(MailLink).where(*which))


async def _lock(session: AsyncSession, email: str) -> None:
    """Until the transaction ends. Two that removed each other's link would wait for each other."""
    await session.exec(select(func.pg_advisory_xact_lock(func.hashtextextended(f"mail links of {email}", 0))))
