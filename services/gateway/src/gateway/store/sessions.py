"""Every query on the portal's sessions. Each method is one transaction; a session whose time is over is not there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from chassis.database import statement, transaction
from gateway.tables import Session, User

TABLE = "gateway.sessions"


@dataclass(frozen=True, slots=True)
class KnownSession:
    """A live session, its user, and the database's time."""

    session: Session
    user: User
    now: datetime


class SessionStore:
    """Who is signed in, and with which browsers."""

    def __init__(self, engine: AsyncEngine, *, idle: timedelta) -> None:
        self._engine = engine
        self._idle = idle

    async def add(self, session: Session) -> None:
        async with transaction(self._engine) as opened:
            opened.add(session)

    async def find(self, digest: bytes) -> KnownSession | None:
        query = (
            select(Session, User, func.now())
            .join(User, col(User.user_id) == col(Session.user_id))
            .where(col(Session.digest) == digest, self._is_live())
        )
        with statement("SELECT", TABLE):
            async with transaction(self._engine) as opened:
                found = (await opened.exec(query)).one_or_none()
        return KnownSession(*found) if found is not None else None

    async def note_seen(self, session_id: UUID) -> None:
        async with transaction(self._engine) as opened:
            await opened.exec(
                update(Session).where(col(Session.session_id) == session_id).values(last_seen_at=func.now())
            )

    async def note_proof(self, session_id: UUID, *, digest: bytes) -> None:
        """The user has proven again who it is. The session goes on under another cookie."""
        async with transaction(self._engine) as opened:
            await opened.exec(
                update(Session)
                .where(col(Session.session_id) == session_id)
                .values(digest=digest, authenticated_at=func.now(), last_seen_at=func.now())
            )

    async def of_user(self, user_id: UUID) -> Sequence[Session]:
        """The live sessions of a user, newest first."""
        query = (
            select(Session)
            .where(col(Session.user_id) == user_id, self._is_live())
            .order_by(col(Session.last_seen_at).desc(), col(Session.session_id))
        )
        async with transaction(self._engine) as opened:
            return (await opened.exec(query)).all()

    async def purge(self, *, limit: int) -> int:
        """Remove sessions whose time is over; how many, at most `limit`, none that another gateway removes just now."""
        over = (
            select(Session.session_id)
            .where(~self._is_live())
            .order_by(col(Session.expires_at))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        gone = delete(Session).where(col(Session.session_id).in_(over)).returning(col(Session.session_id))
        with statement("DELETE", TABLE):
            async with transaction(self._engine) as opened:
                return len((await opened.exec(gone)).scalars().all())

    def _is_live(self) -> ColumnElement[bool]:
        return (col(Session.expires_at) > func.now()) & (col(Session.last_seen_at) > func.now() - self._idle)
