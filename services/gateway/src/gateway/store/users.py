"""Every query on the portal's users. Each method is one transaction, with all that belongs to one change of a user."""

from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy.exc
from sqlalchemy import ColumnElement, delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis.database import transaction
from gateway.store.mail_links import remove_all, use_up
from gateway.tables import Account, Session, Token, User


class UserExists(Exception):
    """Another user has this e-mail, this account or this identity at an OIDC provider."""


class UserStore:
    """Who may sign in, for which account."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, user_id: UUID) -> User | None:
        async with transaction(self._engine) as session:
            return await session.get(User, user_id)

    async def by_email(self, email: str) -> User | None:
        """By the e-mail as it is kept: trimmed and in lower case."""
        async with transaction(self._engine) as session:
            return (await session.exec(select(User).where(col(User.email) == email))).one_or_none()

    async def by_subject(self, issuer: str, subject: str) -> User | None:
        """By the identity at an OIDC provider."""
        query = select(User).where(col(User.oidc_issuer) == issuer, col(User.oidc_subject) == subject)
        async with transaction(self._engine) as session:
            return (await session.exec(query)).one_or_none()

    async def add(self, user: User) -> None:
        """A user for an account that there is. Raises `UserExists`."""
        try:
            async with transaction(self._engine) as session:
                session.add(user)
        except sqlalchemy.exc.IntegrityError as exc:
            raise UserExists from exc

    async def open(self, account: Account, user: User) -> Account:
        """An account and its user, both or neither; the account as it was written. Raises `UserExists`.

        When the account's name is taken, by one that an operator opened, it gets another one.
        """
        try:
            async with transaction(self._engine) as session:
                return await _open(session, account, user)
        except sqlalchemy.exc.IntegrityError as exc:
            raise UserExists from exc

    async def open_by_link(self, digest: bytes, *, account_id: UUID, user_id: UUID) -> tuple[Account, User] | None:
        """Use a sign-up link up: its account and its user, however often and by whomever it is followed at once.

        None when it is not good any more. Every other sign-up link of the same e-mail is used up with it. Raises
        `UserExists` when there is a user with that e-mail by now.
        """
        try:
            async with transaction(self._engine) as session:
                link = await use_up(session, digest, "sign_up")
                if link is None:
                    return None
                now = datetime.now(UTC)
                account = Account(account_id=account_id, name=link.email, opened_at=now)
                user = User(
                    user_id=user_id,
                    account_id=account_id,
                    email=link.email,
                    password_hash=link.password_hash,
                    password_changed_at=now,
                    created_at=now,
                )
                return await _open(session, account, user), user
        except sqlalchemy.exc.IntegrityError as exc:
            raise UserExists from exc

    async def reset_by_link(self, digest: bytes, *, password_hash: str) -> tuple[User, list[Token]] | None:
        """Use a reset link up: the user has a new password, no session, and no other link is good any longer.

        The tokens that the ended sessions had are revoked; quota has to be told of them. None when the link is not
        good any more.
        """
        async with transaction(self._engine) as session:
            link = await use_up(session, digest, "reset")
            if link is None:
                return None
            changed = (
                update(User)
                .where(col(User.email) == link.email)
                .values(password_hash=password_hash, password_changed_at=func.now())
                .returning(col(User.user_id))
            )
            user_id = (await session.exec(changed)).scalar_one_or_none()
            if user_id is None:
                return None
            user = (await session.exec(select(User).where(col(User.user_id) == user_id))).one()
            _, tokens = await _end_sessions(session, col(Session.user_id) == user_id)
            return user, tokens

    async def change_password(self, user_id: UUID, *, password_hash: str, session_id: UUID) -> list[Token]:
        """A new password, chosen in a session that goes on while all others end, with their tokens; which ones."""
        async with transaction(self._engine) as session:
            email = (await session.exec(select(User.email).where(col(User.user_id) == user_id))).one()
            # First, as who resets it does: each would wait for the other.
            await remove_all(session, email, "reset")
            await session.exec(
                update(User)
                .where(col(User.user_id) == user_id)
                .values(password_hash=password_hash, password_changed_at=func.now())
            )
            others = (col(Session.user_id) == user_id, col(Session.session_id) != session_id)
            return (await _end_sessions(session, *others))[1]

    async def end_session(self, user_id: UUID, session_id: UUID) -> tuple[bool, list[Token]]:
        """End one session of a user: whether there was such a one, and the tokens that are revoked with it."""
        async with transaction(self._engine) as session:
            return await _end_sessions(session, col(Session.user_id) == user_id, col(Session.session_id) == session_id)

    async def end_other_sessions(self, user_id: UUID, *, but: UUID) -> list[Token]:
        """End all sessions of a user but this one; the tokens that are revoked with them."""
        async with transaction(self._engine) as session:
            others = (col(Session.user_id) == user_id, col(Session.session_id) != but)
            return (await _end_sessions(session, *others))[1]

    async def rehash(self, user_id: UUID, *, before: str, after: str) -> None:
        """The same password under newer parameters, unless it was changed meanwhile."""
        async with transaction(self._engine) as session:
            await session.exec(
                update(User)
                .where(col(User.user_id) == user_id, col(User.password_hash) == before)
                .values(password_hash=after)
            )

    async def join_subject(self, user_id: UUID, *, issuer: str, subject: str) -> bool:
        """The user may sign in with this identity, too; False when the user has another one.

        Raises `UserExists` when it is another user's.
        """
        is_one = (col(User.oidc_issuer) == issuer) & (col(User.oidc_subject) == subject)
        joined = (
            update(User)
            .where(col(User.user_id) == user_id, col(User.oidc_subject).is_(None) | is_one)
            .values(oidc_issuer=issuer, oidc_subject=subject)
            .returning(col(User.user_id))
        )
        try:
            async with transaction(self._engine) as session:
                return (await session.exec(joined)).first() is not None
        except sqlalchemy.exc.IntegrityError as exc:
            raise UserExists from exc

    async def prefer_token(self, user_id: UUID, token_id: UUID | None) -> None:
        """The token that examples name. One of another account is not taken."""
        own = select(Token.token_id).where(
            col(Token.token_id) == token_id,
            col(Token.account_id) == select(User.account_id).where(col(User.user_id) == user_id).scalar_subquery(),
        )
        async with transaction(self._engine) as session:
            await session.exec(
                update(User).where(col(User.user_id) == user_id).values(preferred_token_id=own.scalar_subquery())
            )


async def _open(session: AsyncSession, account: Account, user: User) -> Account:
    names = (account.name, f"{account.name} ({account.account_id.hex[-8:]})")
    for name in names:
        values = {"account_id": account.account_id, "name": name, "plan": account.plan, "opened_at": account.opened_at}
        written = await session.exec(
            insert(Account)
            .values(**values)
            .on_conflict_do_nothing(index_elements=["name"])
            .returning(col(Account.name))
        )
        if written.first() is not None:
            break
    session.add(user)
    await session.flush()
    return (await session.exec(select(Account).where(col(Account.account_id) == account.account_id))).one()


async def _end_sessions(session: AsyncSession, *which: ColumnElement[bool]) -> tuple[bool, list[Token]]:
    """End sessions and revoke the tokens that were theirs: whether there was one, and which tokens."""
    ending = delete(Session).where(*which).returning(col(Session.session_id))
    ended = (await session.exec(ending)).scalars().all()
    revoked = (
        update(Token)
        .where(col(Token.session_id).in_(ended), col(Token.revoked_at).is_(None))
        .values(revoked_at=func.now())
        .returning(col(Token.token_id))
    )
    token_ids = (await session.exec(revoked)).scalars().all()
    tokens = (await session.exec(select(Token).where(col(Token.token_id).in_(token_ids)))).all()
    return bool(ended), list(tokens)
