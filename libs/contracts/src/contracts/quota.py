"""What the quota service is asked: prompts of an account, in UTC days and UTC months."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from contracts.endpoint import Message, Rpc
from contracts.failures import Failure


class Window(Message):
    """One UTC day or UTC month of an account.

    `used` counts finished prompts and those that are held open now (`reserved` of them), so that
    `used + remaining == limit`. `granted` of the limit are extra prompts: those of grants that can still be drawn, and
    those that were drawn in this window. An unlimited plan has no limit and no remaining.
    """

    limit: int | None
    granted: int = 0
    used: int
    reserved: int
    remaining: int | None
    starts_on: date
    resets_at: datetime


class Turn(Message):
    """The prompt that a request rides on: the `call`-th of at most `calls` requests."""

    turn_id: UUID
    call: int
    calls: int


class Continued(Message):
    """What a request continues: the turn, and the call of it whose tool calls the request answers.

    The gateway has verified the ids of the tool calls; whether the turn is still open is quota's to say.

    `waits`: while another request with the same answer is open, the asker rather waits than opens a turn (`turn_busy`).
    It is a client that tries again, before the end of its last try is known to quota.
    """

    turn_id: UUID
    answers: int
    waits: bool = False


class Reserve(Message):
    """Hold one prompt. Idempotent by account and `request_id`: asked again, it answers as before.

    A request that continues an open turn holds none: it rides on the prompt of the turn's first call. It is granted as
    the turn's next call when that first call was charged or is still open, the turn is younger and has fewer calls than
    the plan says, and no other call that was answered, or is being answered, continued from the same one. Otherwise it
    opens a turn of its own and holds a prompt like any other.

    `alias`, `endpoint` and `is_stream` are kept with the reservation, for the record of a request whose gateway dies.
    """

    request_id: UUID
    account_id: UUID
    token_id: UUID
    gateway: str
    alias: str = ""
    endpoint: str = ""
    is_stream: bool = False
    continues: Continued | None = None


class Granted(Message):
    """The prompt is held until the request is settled, as long as its lease is renewed in time."""

    outcome: Literal["granted"] = "granted"
    plan: str
    plans_version: int
    turn: Turn
    lease_seconds: float = 60.0
    daily: Window
    monthly: Window


class Denied(Message):
    """No prompt was taken.

    `too_many_in_flight` and `too_many_a_minute` are limits of the plan's speed, `speed_limit` is the one that was met,
    and `retry_after_seconds` says when another try makes sense. A spent window is named before a speed. `turn_busy` is
    said only to those that wait: another request is open that gives the same answer.
    """

    outcome: Literal["denied"] = "denied"
    reason: Literal[
        "daily_spent",
        "monthly_spent",
        "token_blocked",
        "account_suspended",
        "too_many_in_flight",
        "too_many_a_minute",
        "turn_busy",
    ]
    plan: str
    plans_version: int
    speed_limit: int | None = None
    retry_after_seconds: float | None = None
    daily: Window
    monthly: Window


ReserveReply = Granted | Denied | Failure

RESERVE: Rpc[Reserve, ReserveReply] = Rpc(
    subject="quota.v1.reserve",
    request=Reserve,
    reply=TypeAdapter(Annotated[ReserveReply, Field(discriminator="outcome")]),
    description="Hold one prompt of an account in its day and its month, or say why not.",
    asked_by=("gateway",),
)


class ReadUsage(Message):
    """Ask for both windows of an account."""

    account_id: UUID


class Usage(Message):
    """Both windows as they are now. An account that quota never heard of has the default plan, unused."""

    outcome: Literal["usage"] = "usage"
    plan: str
    alias: str
    plans_version: int
    daily: Window
    monthly: Window


UsageReply = Usage | Failure

READ_USAGE: Rpc[ReadUsage, UsageReply] = Rpc(
    subject="quota.v1.usage",
    request=ReadUsage,
    reply=TypeAdapter(Annotated[UsageReply, Field(discriminator="outcome")]),
    description="The plan and both windows of an account.",
    asked_by=("gateway",),
)


class BlockToken(Message):
    """Admit nothing more with this token, on any replica, from the moment this is answered.

    Without its account (older senders) a reservation that is being decided at that very moment may still be granted.
    """

    token_id: UUID
    account_id: UUID | None = None


class TokenBlocked(Message):
    outcome: Literal["blocked"] = "blocked"
    token_id: UUID


BlockTokenReply = TokenBlocked | Failure

BLOCK_TOKEN: Rpc[BlockToken, BlockTokenReply] = Rpc(
    subject="quota.v1.block_token",
    request=BlockToken,
    reply=TypeAdapter(Annotated[BlockTokenReply, Field(discriminator="outcome")]),
    description="Block a service token inside the reservation itself.",
    asked_by=("gateway",),
)


class Lease(Message):
    """One held prompt."""

    account_id: UUID
    request_id: UUID


class Renew(Message):
    """Keep what `gateway` holds open: all its open requests at once, or in portions.

    `abandoned` are reservations that nobody knows the answer to (a time-out, a refused start): their lease ends now, so
    that the prompt is back at once. Only known ones are touched, and none that is settled.
    """

    gateway: str
    open: tuple[Lease, ...] = ()
    abandoned: tuple[Lease, ...] = ()


class Renewed(Message):
    """Leases run for `lease_seconds` from now. `gone` are open ones that are settled already, or were never held."""

    outcome: Literal["renewed"] = "renewed"
    lease_seconds: float
    gone: tuple[UUID, ...] = ()


RenewReply = Renewed | Failure

RENEW: Rpc[Renew, RenewReply] = Rpc(
    subject="quota.v1.renew",
    request=Renew,
    reply=TypeAdapter(Annotated[RenewReply, Field(discriminator="outcome")]),
    description="Keep the leases of a gateway's open requests, and end those of abandoned ones.",
    asked_by=("gateway",),
)


class SuspendAccount(Message):
    """Admit nothing more for this account (or admit again), on any replica, from the moment this is answered.

    `revision` grows by one per change of the account: an older one than the known changes nothing.
    """

    account_id: UUID
    is_suspended: bool
    revision: int


class AccountSuspension(Message):
    """What holds now, by the newest revision."""

    outcome: Literal["suspension"] = "suspension"
    account_id: UUID
    is_suspended: bool
    revision: int


SuspendAccountReply = AccountSuspension | Failure

SUSPEND_ACCOUNT: Rpc[SuspendAccount, SuspendAccountReply] = Rpc(
    subject="quota.v1.suspend_account",
    request=SuspendAccount,
    reply=TypeAdapter(Annotated[SuspendAccountReply, Field(discriminator="outcome")]),
    description="Suspend or resume an account inside the reservation itself.",
    asked_by=("gateway",),
)


class ReadBooks(Message):
    """Quota's books of one UTC day and of its month, by account, as they were after the settlement at
    `through_sequence` of the REQUESTS stream.

    Accounts come in the order of their ids, at most `limit` at a time, those after `after`. With `account_id` only
    that one.
    """

    day: date
    through_sequence: int
    account_id: UUID | None = None
    after: UUID | None = None
    limit: int = Field(default=500, ge=1, le=1000)


class AccountBooks(Message):
    """Prompts of one account.

    `*_used` are the windows' counters of charged prompts, taken back to `through_sequence`; `day_charged` and
    `day_settled` are counted from the reservations themselves, likewise. `*_reserved` and `day_open` are as of now: the
    windows' counters of held prompts, and the open reservations of that day. `month_days_*` are sums over the month's
    day windows. `overdue` are open reservations (of any day) whose lease ended more than a minute ago.
    """

    account_id: UUID
    day_used: int
    day_reserved: int
    day_charged: int
    day_settled: int
    day_open: int
    month_used: int
    month_reserved: int
    month_days_used: int
    month_days_reserved: int
    overdue: int


class Books(Message):
    """One page. `next` is the `after` of the next one, null at the end."""

    outcome: Literal["books"] = "books"
    accounts: tuple[AccountBooks, ...]
    next: UUID | None


BooksReply = Books | Failure

READ_BOOKS: Rpc[ReadBooks, BooksReply] = Rpc(
    subject="quota.v1.books",
    request=ReadBooks,
    reply=TypeAdapter(Annotated[BooksReply, Field(discriminator="outcome")]),
    description="Quota's windows and reservations of a day, for whoever checks the books.",
    asked_by=("billing",),
)
