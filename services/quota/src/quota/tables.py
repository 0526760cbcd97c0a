"""The tables of schema `quota`. What the runtime role may do to each is granted by the migrations.

There are no foreign keys: every write goes through the few statements of `store`, and their checks would double the
locks that a reservation takes.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, DateTime, Index, Integer, MetaData, func, text
from sqlmodel import Field, SQLModel

# A SQLAlchemy type has no state of its own: one serves all columns.
_UTC = DateTime(timezone=True)
# Replicas of the release before do not know the newer columns; their rows get these.
_ZERO = {"server_default": text("0")}
_FALSE = {"server_default": text("false")}
_EMPTY = {"server_default": text("''")}
_AN_HOUR_ON = {"server_default": text("now() + interval '1 hour'")}


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
    """What holds for an account now. Its row is the account's lock: who changes anything of an account takes it first.

    `plan` and `revision` are the newest change that is in force (0: the default plan of first sight), `extra` the
    prompts left in live grants, and both have to be looked at again at `changes_at`. `version` grows with everything
    else that a reservation reads beside locked rows. `in_flight` are open reservations, continuations too, and at
    `rate_full_at` the bucket of requests is full again.
    """

    __tablename__ = "accounts"

    account_id: UUID = Field(primary_key=True)
    plan: str
    revision: int = Field(sa_type=BigInteger)
    version: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
    is_suspended: bool = Field(default=False, sa_column_kwargs=_FALSE)
    suspension_revision: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
    extra: int = Field(default=0, sa_column_kwargs=_ZERO)
    changes_at: datetime | None = Field(default=None, sa_type=_UTC)
    in_flight: int = Field(default=0, sa_column_kwargs=_ZERO)
    rate_full_at: datetime | None = Field(default=None, sa_type=_UTC)


class PlanChangeRow(Table, table=True):
    """A plan of an account from `effective_at` on. At any moment the newest revision that is effective holds."""

    __tablename__ = "plan_changes"

    account_id: UUID = Field(primary_key=True)
    revision: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    plan: str
    effective_at: datetime = Field(sa_type=_UTC)


class GrantRow(Table, table=True):
    """Extra prompts, to be drawn from `starts_at` until before `ends_at` once a window of the plan is spent.

    `taken` are those that were drawn and not given back.
    """

    __tablename__ = "grants"
    __table_args__ = (
        CheckConstraint("prompts > 0", name="prompts"),
        CheckConstraint("taken >= 0", name="taken"),
        Index("grants_account_id_ends_at_idx", "account_id", "ends_at"),
    )

    grant_id: UUID = Field(primary_key=True)
    account_id: UUID
    prompts: int
    taken: int = Field(default=0, sa_column_kwargs=_ZERO)
    starts_at: datetime = Field(sa_type=_UTC)
    ends_at: datetime = Field(sa_type=_UTC)


class WindowRow(Table, table=True):
    """Prompts of one account in one UTC day or UTC month. Nothing is ever reset: a new window is a new row.

    `drawn` of those used or reserved came from grants, so they leave the plan's limit alone. Locked after the row of
    the account, always in the order of the primary key.
    """

    __tablename__ = "windows"
    __table_args__ = (
        CheckConstraint("kind IN ('day', 'month')", name="kind"),
        CheckConstraint("used >= 0", name="used"),
        CheckConstraint("reserved >= 0", name="reserved"),
        CheckConstraint("drawn >= 0", name="drawn"),
    )

    account_id: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    starts_on: date = Field(primary_key=True)
    used: int = 0
    reserved: int = 0
    drawn: int = Field(default=0, sa_column_kwargs=_ZERO)


class ReservationRow(Table, table=True):
    """One request that was admitted, in which windows, under which plan and out of which grant (null: the plan's own).

    `outcome` is null while it is open. An open one whose lease has run out is swept. Each holds or held one prompt,
    except those with `answers`: they continued a turn, and answered that call of it. Of them `ended_as` says how they
    ended. A replica of the release before does not know them; it must not end one, as it would give a prompt back.
    """

    __tablename__ = "reservations"
    __table_args__ = (
        CheckConstraint(
            "num_nulls(outcome, charged, settled_sequence, settled_at) IN (0, 4)",
            name="settled_whole",
        ),
        CheckConstraint("answers IS NULL OR outcome IS NULL OR ended_as IS NOT NULL", name="continuation"),
        Index("reservations_open_idx", "lease_until", postgresql_where=text("outcome IS NULL")),
        Index(
            "reservations_settled_sequence_idx",
            "settled_sequence",
            postgresql_where=text("settled_sequence IS NOT NULL"),
        ),
        Index("reservations_day_account_id_idx", "day", "account_id"),
        Index(
            "reservations_answering_idx",
            "turn_id",
            "account_id",
            postgresql_where=text("answers IS NOT NULL AND outcome IS NULL"),
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
    lease_until: datetime = Field(sa_type=_UTC, sa_column_kwargs=_AN_HOUR_ON)
    grant_id: UUID | None = None
    alias: str = Field(default="", sa_column_kwargs=_EMPTY)
    endpoint: str = Field(default="", sa_column_kwargs=_EMPTY)
    is_stream: bool = Field(default=False, sa_column_kwargs=_FALSE)
    trace_id: str | None = None
    outcome: str | None = None
    charged: bool | None = None
    settled_sequence: int | None = Field(default=None, sa_type=BigInteger)
    settled_at: datetime | None = Field(default=None, sa_type=_UTC)
    answers: int | None = None
    ended_as: str | None = None


class TurnRow(Table, table=True):
    """A turn that was continued: made by its second call, forgotten some days after it can no longer be continued.

    `calls` is how many there are, the opener included. `answered` are the calls whose tool results are on their way to
    the model or were delivered: one mention for each continuation that does so. Locked after the row of the account.
    """

    __tablename__ = "turns"
    __table_args__ = (Index("turns_opened_at_idx", "opened_at"),)

    turn_id: UUID = Field(primary_key=True)
    account_id: UUID = Field(primary_key=True)
    opened_at: datetime = Field(sa_type=_UTC)
    calls: int
    answered: list[int] = Field(sa_type=ARRAY(Integer))


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
    ended_as: str | None = None
