"""The tables of schema `quota`. What the runtime role may do to each is granted by the migrations.

There are no foreign keys: every write goes through the few statements of `store`, and their checks would double the
locks that a reservation takes.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, MetaData, func
from sqlmodel import Field, SQLModel

# A SQLAlchemy type has no state of its own: one serves all columns.
_UTC = DateTime(timezone=True)


class Table(SQLModel):
    """A metadata of quota's own: SQLModel's is one for the whole process."""

    metadata = MetaData(
        schema="quota",
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        },
    )


class AccountRow(Table, table=True):
    """The plan of an account, as billing told it last (`revision`); 0 is the default plan of first sight."""

    __tablename__ = "accounts"

    account_id: UUID = Field(primary_key=True)
    plan: str
    revision: int = Field(sa_type=BigInteger)


class WindowRow(Table, table=True):
    """Prompts of one account in one UTC day or UTC month. Nothing is ever reset: a new window is a new row.

    These are the rows that reservations and settlements lock, always in the order of the primary key.
    """

    __tablename__ = "windows"
    __table_args__ = (
        CheckConstraint("kind IN ('day', 'month')", name="kind"),
        CheckConstraint("used >= 0", name="used"),
        CheckConstraint("reserved >= 0", name="reserved"),
    )

    account_id: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    starts_on: date = Field(primary_key=True)
    used: int = 0
    reserved: int = 0


class ReservationRow(Table, table=True):
    """One prompt that was held, in which windows and under which plan. `outcome` is null while it is open."""

    __tablename__ = "reservations"
    __table_args__ = (
        CheckConstraint(
            "num_nulls(outcome, charged, settled_sequence, settled_at) IN (0, 4)",
            name="settled_whole",
        ),
    )

    account_id: UUID = Field(primary_key=True)
    request_id: UUID = Field(primary_key=True)
    token_id: UUID
    gateway: str
    day: date
    month: date
    turn_id: UUID
    call: int
    plan: str
    plans_version: int
    reserved_at: datetime = Field(sa_type=_UTC)
    outcome: str | None = None
    charged: bool | None = None
    settled_sequence: int | None = Field(default=None, sa_type=BigInteger)
    settled_at: datetime | None = Field(default=None, sa_type=_UTC)


class BlockedTokenRow(Table, table=True):
    """A service token that nothing is admitted with any more."""

    __tablename__ = "blocked_tokens"

    token_id: UUID = Field(primary_key=True)
    blocked_at: datetime = Field(sa_type=_UTC, sa_column_kwargs={"server_default": func.now()})


class SettlementConflictRow(Table, table=True):
    """A settlement without effect, kept for staff: a later one of a settled request, or one that nobody reserved."""

    __tablename__ = "settlement_conflicts"

    request_id: UUID = Field(primary_key=True)
    sequence: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    account_id: UUID
    outcome: str
    reason: str
    recorded_at: datetime = Field(sa_type=_UTC, sa_column_kwargs={"server_default": func.now()})
