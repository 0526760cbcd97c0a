"""The tables of schema `billing`. What the runtime role may do to each is granted by the migrations.

`ledger`, `closes` and `settlement_conflicts` only grow: the runtime role has no UPDATE, DELETE or TRUNCATE there.
`subscription_changes` and `grants` are history and outbox in one: only `published_at` may change, once.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Identity,
    Index,
    MetaData,
    Numeric,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

# A SQLAlchemy type has no state of its own: one serves all columns.
_UTC = DateTime(timezone=True)
_MILLISECONDS = Numeric(18, 3)
_MONEY = Numeric(24, 10)


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
    """The newest revision of each account's plan, which may be in force only later; also the account's lock."""

    __tablename__ = "subscriptions"

    account_id: UUID = Field(primary_key=True)
    name: str
    plan: str
    revision: int
    effective_at: datetime = Field(sa_type=_UTC)


class SubscriptionChangeRow(Table, table=True):
    """Every plan that an account ever had or will have: at any moment the newest effective revision holds.

    `published_at` is null until the event is in its stream.
    """

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


class GrantRow(Table, table=True):
    """Extra prompts of an account, to be used from `starts_at` until before `ends_at`. Told like a change of plan."""

    __tablename__ = "grants"
    __table_args__ = (
        CheckConstraint("prompts > 0", name="prompts"),
        CheckConstraint("ends_at > starts_at", name="span"),
        Index("grants_account_id_recorded_at_idx", "account_id", "recorded_at"),
        Index("grants_outbox_idx", "recorded_at", postgresql_where=text("published_at IS NULL")),
    )

    grant_id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="billing.subscriptions.account_id")
    prompts: int
    starts_at: datetime = Field(sa_type=_UTC)
    ends_at: datetime = Field(sa_type=_UTC)
    actor: str
    reason: str
    recorded_at: datetime = Field(sa_type=_UTC, sa_column_kwargs={"server_default": func.now()})
    published_at: datetime | None = Field(default=None, sa_type=_UTC)


class UpgradeRow(Table, table=True):
    """A wish for a larger plan and what became of it; an account has one pending at most. None is ever thrown away.

    `payment_reference` is the payment page that was made for it, `payment_amount` what was asked there, in the smallest
    unit of `payment_currency`. `payment_subscription` pays for `payment_plan` until `payment_ended_at`, as told at
    `payment_told_at`.
    """

    __tablename__ = "upgrades"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'approved', 'declined', 'withdrawn')", name="state"),
        CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name="decided"),
        Index("upgrades_account_id_requested_at_idx", "account_id", "requested_at"),
        Index("upgrades_requested_at_idx", "requested_at"),
        Index("upgrades_pending_idx", "account_id", unique=True, postgresql_where=text("state = 'pending'")),
        Index(
            "upgrades_payment_reference_idx",
            "payment_reference",
            unique=True,
            postgresql_where=text("payment_reference IS NOT NULL"),
        ),
        Index(
            "upgrades_payment_subscription_idx",
            "payment_subscription",
            unique=True,
            postgresql_where=text("payment_subscription IS NOT NULL"),
        ),
    )

    upgrade_id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="billing.subscriptions.account_id")
    plan: str
    state: str
    requested_at: datetime = Field(sa_type=_UTC)
    decided_at: datetime | None = Field(sa_type=_UTC)
    actor: str
    reason: str
    payment_reference: str | None
    payment_url: str | None
    payment_amount: int | None = Field(sa_type=BigInteger)
    payment_currency: str | None
    payment_subscription: str | None
    payment_plan: str | None
    payment_told_at: datetime | None = Field(sa_type=_UTC)
    payment_ended_at: datetime | None = Field(sa_type=_UTC)


class PaymentEventRow(Table, table=True):
    """What a payment provider told us, each once, and what it did here. Nothing of the payer is kept.

    `subject` is the payment page or the subscription that it is about.
    """

    __tablename__ = "payment_events"
    __table_args__ = (
        Index("payment_events_received_at_idx", "received_at"),
        Index("payment_events_subject_idx", "subject"),
    )

    provider: str = Field(primary_key=True)
    event_id: str = Field(primary_key=True)
    kind: str
    subject: str
    told_at: datetime = Field(sa_type=_UTC)
    received_at: datetime = Field(sa_type=_UTC, sa_column_kwargs={"server_default": func.now()})
    effect: str
    note: str
    upgrade_id: UUID | None = Field(foreign_key="billing.upgrades.upgrade_id")


class LedgerRow(Table, table=True):
    """One line, for ever: the end of a request, or what was put right about it later (`kind`).

    `sequence`, `previous_hash` and `hash` are its place in the chain of its account, `revision` its place among the
    lines of its request (0: the first settlement), `corrects` the line it names, `posted_on` the daily close that
    covers it. `day` and `month` are the windows that the prompt was held in. `route` says which way the request went:
    it is no part of what is hashed, and null where nobody told it.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint("kind IN ('settlement', 'reversal', 'credit_note', 'correction')", name="kind"),
        CheckConstraint(
            "CASE kind WHEN 'settlement' THEN prompts IN (0, 1) WHEN 'reversal' THEN prompts IN (0, -1)"
            " WHEN 'credit_note' THEN prompts <> 0 ELSE true END",
            name="prompts",
        ),
        CheckConstraint(
            "(kind = 'settlement') = (corrects IS NULL) AND (kind = 'settlement' OR (author <> '' AND reason <> ''))",
            name="corrects",
        ),
        CheckConstraint("(cost IS NULL) = (cost_currency IS NULL)", name="cost"),
        UniqueConstraint("account_id", "sequence"),
        UniqueConstraint("request_id", "revision"),
        # The days of an account are summed from it without a look at the lines.
        Index("ledger_activity_idx", "account_id", "day", postgresql_include=["outcome", "kind", "prompts"]),
        Index("ledger_day_id_idx", "day", "id"),
        # Lines are written in this order: an index of ranges is a few pages, and as quick.
        Index("ledger_posted_on_idx", "posted_on", postgresql_using="brin"),
        Index("ledger_stream_sequence_idx", "stream_sequence", postgresql_using="brin"),
        Index("ledger_reversals_idx", "id", postgresql_where=text("kind = 'reversal'")),
    )

    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=(Identity(always=True),))
    request_id: UUID
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
    kind: str
    sequence: int = Field(sa_type=BigInteger)
    previous_hash: str
    hash: str
    revision: int
    corrects: int | None = Field(sa_type=BigInteger, foreign_key="billing.ledger.id")
    author: str
    reason: str
    posted_on: date
    settled_by: str
    started_at: datetime | None = Field(sa_type=_UTC)
    admitted_ms: Decimal | None = Field(sa_type=_MILLISECONDS)
    first_content_ms: Decimal | None = Field(sa_type=_MILLISECONDS)
    total_ms: Decimal | None = Field(sa_type=_MILLISECONDS)
    daily_limit: int | None = Field(sa_type=BigInteger)
    daily_used: int | None = Field(sa_type=BigInteger)
    daily_remaining: int | None = Field(sa_type=BigInteger)
    daily_resets_at: datetime | None = Field(sa_type=_UTC)
    monthly_limit: int | None = Field(sa_type=BigInteger)
    monthly_used: int | None = Field(sa_type=BigInteger)
    monthly_remaining: int | None = Field(sa_type=BigInteger)
    monthly_resets_at: datetime | None = Field(sa_type=_UTC)
    cost: Decimal | None = Field(sa_type=_MONEY)
    cost_currency: str | None
    route: dict[str, Any] | None = Field(sa_type=JSONB)


class LedgerHeadRow(Table, table=True):
    """The last line of each account: what the next one goes on from, and the lock under which lines are appended."""

    __tablename__ = "ledger_heads"

    account_id: UUID = Field(primary_key=True)
    sequence: int = Field(sa_type=BigInteger)
    hash: str


class CloseRow(Table, table=True):
    """One UTC day of the ledger, closed for ever: what its lines add up to, chained to the day before, and signed."""

    __tablename__ = "closes"

    day: date = Field(primary_key=True)
    lines: int = Field(sa_type=BigInteger)
    totals: dict[str, Any] = Field(sa_type=JSONB)
    lines_digest: str
    previous_digest: str
    digest: str
    signature: str
    key_id: str
    closed_at: datetime = Field(sa_type=_UTC)


class SettlementConflictRow(Table, table=True):
    """A settlement of a request that had its line already: kept whole for staff, without effect by itself."""

    __tablename__ = "settlement_conflicts"

    request_id: UUID = Field(primary_key=True)
    stream_sequence: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    payload: dict[str, Any] = Field(sa_type=JSONB)
    recorded_at: datetime = Field(sa_type=_UTC, sa_column_kwargs={"server_default": func.now()})


class VerifiedHeadRow(Table, table=True):
    """Up to where the chain of an account was whole when it was last compared. A chain never gets shorter than this."""

    __tablename__ = "verified_heads"

    account_id: UUID = Field(primary_key=True)
    sequence: int = Field(sa_type=BigInteger)
    hash: str


class ReconciliationRow(Table, table=True):
    """One comparison of the books: what was compared, and every difference. The last one is where the next goes on.

    `asked_by` is `minute` for those that billing makes by itself. `found` counts the differences; `differences` keeps
    the first ones.
    """

    __tablename__ = "reconciliations"
    __table_args__ = (
        CheckConstraint("result IN ('equal', 'different', 'not_comparable')", name="result"),
        Index("reconciliations_finished_at_idx", "finished_at"),
    )

    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=(Identity(always=True),))
    asked_by: str
    day: date | None
    account_id: UUID | None
    started_at: datetime = Field(sa_type=_UTC)
    finished_at: datetime = Field(sa_type=_UTC)
    from_sequence: int = Field(sa_type=BigInteger)
    through_sequence: int = Field(sa_type=BigInteger)
    result: str
    found: int
    differences: list[dict[str, Any]] = Field(sa_type=JSONB)
    notes: list[str] = Field(sa_type=JSONB)
    figures: dict[str, Any] = Field(sa_type=JSONB)
