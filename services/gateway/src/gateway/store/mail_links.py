"""Every query on links that were sent by mail. To use one up is the users' store's."""

from typing import Literal

from sqlalchemy import ColumnElement, and_, delete, func
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

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
