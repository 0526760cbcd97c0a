"""Accounts, service tokens, the portal's users and sessions, what `Idempotency-Key` keeps and stored responses.

All in the schema `gateway`; no other service reads them.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


class Table(SQLModel):
    metadata = MetaData(schema="gateway")


class Account(Table, table=True):
    """A customer. While `announced_at` is null the event `account_opened` is still owed: the row is its outbox.

    `suspension_revision` grows with every suspension and resumption; quota was told of all up to `suspension_told`.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        Index("accounts_unannounced", "opened_at", postgresql_where=text("announced_at IS NULL")),
        Index("accounts_untold", "account_id", postgresql_where=text("suspension_told < suspension_revision")),
    )

    account_id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text, unique=True)
    plan: str | None = Field(default=None, sa_type=Text)
    opened_at: datetime = Field(sa_type=DateTime(timezone=True))
    announced_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    suspended_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    suspension_reason: str | None = Field(default=None, sa_type=Text)
    suspension_revision: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    suspension_told: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})


class Token(Table, table=True):
    """A service token, by its SHA-256 digest. While `blocked_at` is null quota still has to hear of a revocation.

    One with a `session_id` is what the portal's tester uses for a session of its user: not listed, short-lived.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        Index("tokens_unblocked", "revoked_at", postgresql_where=text("revoked_at IS NOT NULL AND blocked_at IS NULL")),
        Index("tokens_session_id", "session_id", postgresql_where=text("session_id IS NOT NULL")),
    )

    token_id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="gateway.accounts.account_id", index=True)
    digest: bytes = Field(sa_type=LargeBinary, unique=True)
    name: str = Field(sa_type=Text)
    scopes: list[str] = Field(sa_type=ARRAY(Text))
    last_four: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    expires_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    revoked_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    blocked_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    last_used_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    session_id: UUID | None = Field(default=None)


class User(Table, table=True):
    """Who signs in to the portal for an account: by password (argon2id), by an OIDC provider's subject, or by both.

    `email` is kept as it is compared: trimmed and in lower case.
    """

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("oidc_issuer", "oidc_subject"),)

    user_id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="gateway.accounts.account_id", unique=True)
    email: str = Field(sa_type=Text, unique=True)
    password_hash: str | None = Field(default=None, sa_type=Text)
    password_changed_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    oidc_issuer: str | None = Field(default=None, sa_type=Text)
    oidc_subject: str | None = Field(default=None, sa_type=Text)
    preferred_token_id: UUID | None = Field(default=None)
    created_at: datetime = Field(sa_type=DateTime(timezone=True))


class Session(Table, table=True):
    """A user who is signed in with one browser, by the SHA-256 digest of its cookie. Ended means deleted.

    `authenticated_at` is when the user last proved to be the user, for what asks for that again.
    """

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_expires_at", "expires_at"),)

    session_id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="gateway.users.user_id", index=True)
    digest: bytes = Field(sa_type=LargeBinary, unique=True)
    browser: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    authenticated_at: datetime = Field(sa_type=DateTime(timezone=True))
    last_seen_at: datetime = Field(sa_type=DateTime(timezone=True))
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))


class MailLink(Table, table=True):
    """A link that was sent by mail, by its SHA-256 digest: good once, until it expires.

    `sign_up` carries the password that was chosen (argon2id) for an e-mail that has no user yet; `reset` is a user's.
    """

    __tablename__ = "mail_links"
    __table_args__ = (
        CheckConstraint("purpose IN ('sign_up', 'reset')", name="mail_links_purpose"),
        Index("mail_links_expires_at", "expires_at"),
        Index("mail_links_email", "email"),
    )

    digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    purpose: str = Field(sa_type=Text)
    email: str = Field(sa_type=Text)
    password_hash: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))


class SignInFailure(Table, table=True):
    """Failed tries to prove something, by the keyed digest of what they were for: an account, an address, a device."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (Index("sign_in_failures_last_at", "last_at"),)

    subject: bytes = Field(primary_key=True, sa_type=LargeBinary)
    failures: int = Field(sa_type=Integer)
    last_at: datetime = Field(sa_type=DateTime(timezone=True))


class IdempotencyClaim(Table, table=True):
    """One `Idempotency-Key` of an account. Key and body are kept as SHA-256 digests.

    `running` belongs to `request_id` until `held_until`; `done` has the stored answer, or no body when it is not kept.
    """

    __tablename__ = "idempotency"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'done')", name="idempotency_state"),
        Index("idempotency_running", "request_id", postgresql_where=text("state = 'running'")),
        Index("idempotency_expires_at", "expires_at"),
    )

    account_id: UUID = Field(primary_key=True)
    key_digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    body_digest: bytes = Field(sa_type=LargeBinary)
    request_id: UUID
    state: str = Field(sa_type=Text)
    status: int | None = Field(default=None, sa_type=Integer)
    headers: dict[str, str] | None = Field(default=None, sa_type=JSONB)
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    held_until: datetime = Field(sa_type=DateTime(timezone=True))
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))


class Replay(Table, table=True):
    """A request that was answered with the stored answer of another one, for the receipt of its own id."""

    __tablename__ = "replays"
    __table_args__ = (Index("replays_replayed_at", "replayed_at"),)

    request_id: UUID = Field(primary_key=True)
    account_id: UUID
    replay_of: UUID
    replayed_at: datetime = Field(sa_type=DateTime(timezone=True))
    trace_id: str | None = Field(default=None, sa_type=Text)


class StoredResponse(Table, table=True):
    """A response that its owner may read, continue and delete until it expires.

    `body` is the response object and `input_items` the whole input that led to it, earlier responses included, both as
    JSON in UTF-8. Beside the answers that `Idempotency-Key` keeps for a day, nothing else keeps what was said.
    """

    __tablename__ = "responses"
    __table_args__ = (
        Index("responses_account_id", "account_id", "created_at"),
        Index("responses_expires_at", "expires_at"),
    )

    response_id: UUID = Field(primary_key=True)
    account_id: UUID
    body: bytes = Field(sa_type=LargeBinary)
    input_items: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))
