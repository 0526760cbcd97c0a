"""The tables of schema `billing`. What the runtime role may do to each is granted by the migrations.

`ledger` and `settlement_conflicts` only grow: the runtime role has no UPDATE, DELETE or TRUNCATE there.
`subscription_changes` is history and outbox in one: only `published_at` may change, once.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, Index, MetaData, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

# A SQLAlchemy type has no state of its own: one serves all columns.
_UTC = DateTime(timezone=True)


class Table(SQLModel):
    """A metadata of billing's own: SQLModel's is one for the whole process."""

    metadata = MetaData(
        schema="billing",
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        },
    )


class SubscriptionRow(Table, table=True):
    """The plan of each account as it is now."""

    __tablename__ = "subscriptions"

    account_id: UUID = Field(primary_key=True)
    name: str
    plan: str
    revision: int
    effective_at: datetime = Field(sa_type=_UTC)


class SubscriptionChangeRow(Table, table=True):
    """Every plan that an account ever had. `published_at` is null until the event is in its stream."""

    __tablename__ = "subscription_changes"
    __table_args__ = (
        Index(
            "subscription_changes_outbox_idx", "account_id", "revision", postgresql_where=text("published_at IS NULL")
        ),
    )

    account_id: UUID = Field(primary_key=True, foreign_key="billing.subscriptions.account_id")
    revision: int = Field(primary_key=True)
    plan: str
    effective_at: datetime = Field(sa_type=_UTC)
    recorded_at: datetime = Field(sa_type=_UTC, sa_column_kwargs={"server_default": func.now()})
    actor: str
    published_at: datetime | None = Field(default=None, sa_type=_UTC)


class LedgerRow(Table, table=True):
    """The end of one request, for ever. `day` and `month` are the windows that its prompt was held in."""

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint("prompts IN (0, 1)", name="prompts"),
        Index("ledger_account_id_id_idx", "account_id", "id"),
        Index("ledger_account_id_day_idx", "account_id", "day"),
        Index("ledger_day_id_idx", "day", "id"),
    )

    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=(Identity(always=True),))
    request_id: UUID = Field(unique=True)
    account_id: UUID
    token_id: UUID
    turn_id: UUID
    call: int
    outcome: str
    prompts: int = Field(sa_type=SmallInteger)
    plan: str
    plans_version: int
    alias_asked: str
    alias_served: str
    endpoint: str
    is_stream: bool
    target: str | None
    attempts: int
    input_tokens: int = Field(sa_type=BigInteger)
    cached_input_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    reasoning_tokens: int = Field(sa_type=BigInteger)
    tokens_source: str
    day: date
    month: date
    event_time: datetime = Field(sa_type=_UTC)
    recorded_at: datetime = Field(sa_type=_UTC, sa_column_kwargs={"server_default": func.now()})
    stream_sequence: int = Field(sa_type=BigInteger)
    error_code: str | None
    trace_id: str | None


class SettlementConflictRow(Table, table=True):
    """A settlement of a request that had its line already: kept whole for staff, without effect by itself."""

    __tablename__ = "settlement_conflicts"

    request_id: UUID = Field(primary_key=True)
    stream_sequence: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    payload: dict[str, Any] = Field(sa_type=JSONB)
    recorded_at: datetime = Field(sa_type=_UTC, sa_column_kwargs={"server_default": func.now()})
