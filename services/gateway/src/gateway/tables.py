"""Accounts and service tokens, in the schema `gateway`. No other service reads them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Index, LargeBinary, MetaData, Text, text
from sqlmodel import Field, SQLModel


class Table(SQLModel):
    metadata = MetaData(schema="gateway")


class Account(Table, table=True):
    """A customer. While `announced_at` is null the event `account_opened` is still owed: the row is its outbox."""

    __tablename__ = "accounts"
    __table_args__ = (Index("accounts_unannounced", "opened_at", postgresql_where=text("announced_at IS NULL")),)

    account_id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text, unique=True)
    plan: str | None = Field(default=None, sa_type=Text)
    opened_at: datetime = Field(sa_type=DateTime(timezone=True))
    announced_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class Token(Table, table=True):
    """A service token, by its SHA-256 digest. While `blocked_at` is null quota still has to hear of a revocation."""

    __tablename__ = "tokens"
    __table_args__ = (
        Index("tokens_unblocked", "revoked_at", postgresql_where=text("revoked_at IS NOT NULL AND blocked_at IS NULL")),
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
