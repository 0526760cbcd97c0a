"""What billing tells (plans, extra prompts) and what it is asked: receipts, activity, subscriptions and payments."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from contracts import streams
from contracts.endpoint import Event, Message, Rpc, unread_as
from contracts.failures import Failure
from contracts.gateway import RouteTaken, Timings, TokenUsage, WindowAfter
from contracts.outcomes import Outcome


class SubscriptionChanged(Message):
    """An account has `plan` from `effective_at` on, which may be in the future.

    `revision` grows by one per change of the account. At any moment the newest revision that is effective holds.
    """

    account_id: UUID
    plan: str
    revision: int
    effective_at: datetime


SUBSCRIPTION_CHANGED: Event[SubscriptionChanged] = Event(
    subject="billing.v1.subscription_changed",
    stream=streams.SUBSCRIPTIONS.name,
    payload=SubscriptionChanged,
    description="The plan of an account changed.",
)


class PromptsGranted(Message):
    """`prompts` more for an account, to be used from `starts_at` until before `ends_at`.

    They are drawn when a window of the plan is spent, those that end first at first. The same `grant_id` is one grant.
    """

    grant_id: UUID
    account_id: UUID
    prompts: Annotated[int, Field(ge=1)]
    starts_at: datetime
    ends_at: datetime


PROMPTS_GRANTED: Event[PromptsGranted] = Event(
    subject="billing.v1.prompts_granted",
    stream=streams.SUBSCRIPTIONS.name,
    payload=PromptsGranted,
    description="An account was granted extra prompts.",
)


class ReadReceipt(Message):
    """Ask how a request ended. Only its own account is told."""

    account_id: UUID
    request_id: UUID


class Receipt(Message):
    """The ledger line of a request as its customer may see it: nothing of providers, targets or cost.

    `ledger_sequence` and `ledger_hash` are its place in the account's chain. `credited_prompts` were given back by a
    later credit note.
    """

    outcome: Literal["receipt"] = "receipt"
    request_id: UUID
    account_id: UUID
    turn_id: UUID
    call: int
    result: Outcome
    prompts: int
    credited_prompts: int = 0
    plan: str
    plans_version: int
    alias_asked: str
    alias_served: str
    endpoint: str
    is_stream: bool
    started_at: datetime
    ended_at: datetime
    timings: Timings
    tokens: TokenUsage
    daily: WindowAfter | None
    monthly: WindowAfter | None
    error_code: str | None
    trace_id: str | None
    ledger_sequence: int
    ledger_hash: str
    recorded_at: datetime
    route: Annotated[RouteTaken | None, unread_as(None)] = None


class NoReceipt(Message):
    """The account has no ledger line of that request (yet): unknown and foreign requests look the same."""

    outcome: Literal["no_receipt"] = "no_receipt"
    request_id: UUID


ReceiptReply = Receipt | NoReceipt | Failure

READ_RECEIPT: Rpc[ReadReceipt, ReceiptReply] = Rpc(
    subject="billing.v1.receipt",
    request=ReadReceipt,
    reply=TypeAdapter(Annotated[ReceiptReply, Field(discriminator="outcome")]),
    description="How a request ended, from its ledger line.",
    asked_by=("gateway",),
)


class ReadActivity(Message):
    """Ask what an account did: sums of the UTC days from `since` on, and its latest requests.

    `before` is the `ledger_sequence` that the requests have to be below, to read on from where a page ended.
    """

    account_id: UUID
    since: date
    before: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[int, Field(ge=0, le=100)] = 20


class DayActivity(Message):
    """The requests of one UTC day that ended in one way, and the prompts that they cost, corrections included."""

    day: date
    result: Outcome
    requests: int
    prompts: int


class Activity(Message):
    """What an account did, latest request first. `more_before` asks for the next page; None: there is none."""

    outcome: Literal["activity"] = "activity"
    account_id: UUID
    days: tuple[DayActivity, ...]
    requests: tuple[Receipt, ...]
    more_before: int | None = None


ActivityReply = Activity | Failure

READ_ACTIVITY: Rpc[ReadActivity, ActivityReply] = Rpc(
    subject="billing.v1.activity",
    request=ReadActivity,
    reply=TypeAdapter(Annotated[ActivityReply, Field(discriminator="outcome")]),
    description="What an account did: days by outcome, and its latest requests.",
    asked_by=("gateway",),
)


class Upgrade(Message):
    """A customer's wish to be on another plan. `pending` until staff or a payment decides, or the customer withdraws.

    `payment_url` is where the customer pays for a pending one; None where staff decides.
    """

    upgrade_id: UUID
    plan: str
    state: Literal["pending", "approved", "declined", "withdrawn"]
    requested_at: datetime
    decided_at: datetime | None = None
    reason: str = ""
    payment_url: str | None = None


class UpcomingPlan(Message):
    """A change of plan that is to come."""

    plan: str
    effective_at: datetime


class ReadSubscription(Message):
    """Ask which plan an account has, and what is to become of it."""

    account_id: UUID


class SubscriptionStanding(Message):
    """The plan that holds now, changes to come, and the newest upgrade that was asked for.

    `payment` says who decides on upgrades: staff, or a payment at Stripe.
    """

    outcome: Literal["standing"] = "standing"
    account_id: UUID
    plan: str
    since: datetime
    upcoming: tuple[UpcomingPlan, ...] = ()
    upgrade: Upgrade | None = None
    payment: Literal["staff", "stripe"] = "staff"


class NoSubscription(Message):
    """Billing has not (yet) heard of the account."""

    outcome: Literal["no_subscription"] = "no_subscription"
    account_id: UUID


SubscriptionReply = SubscriptionStanding | NoSubscription | Failure

READ_SUBSCRIPTION: Rpc[ReadSubscription, SubscriptionReply] = Rpc(
    subject="billing.v1.subscription",
    request=ReadSubscription,
    reply=TypeAdapter(Annotated[SubscriptionReply, Field(discriminator="outcome")]),
    description="Which plan an account has, and what is to become of it.",
    asked_by=("gateway",),
)


class RequestUpgrade(Message):
    """A customer asks for a larger plan. The same `upgrade_id` is one wish; a new one replaces one that is pending.

    `return_url` is where a payment page sends the customer back to; `email` is what it asks for otherwise.
    """

    upgrade_id: UUID
    account_id: UUID
    plan: str
    return_url: str
    email: str | None = None


class UpgradeRequested(Message):
    """The wish is recorded; with `payment_url` it is fulfilled by paying there."""

    outcome: Literal["requested"] = "requested"
    upgrade: Upgrade


class UpgradeRefused(Message):
    """The wish cannot be fulfilled: no such plan, not above the present one, not for sale here, or no account yet."""

    outcome: Literal["refused"] = "refused"
    reason: Literal["unknown_plan", "not_larger", "not_for_sale", "unknown_account", "payment_unavailable"]


RequestUpgradeReply = UpgradeRequested | UpgradeRefused | Failure

REQUEST_UPGRADE: Rpc[RequestUpgrade, RequestUpgradeReply] = Rpc(
    subject="billing.v1.request_upgrade",
    request=RequestUpgrade,
    reply=TypeAdapter(Annotated[RequestUpgradeReply, Field(discriminator="outcome")]),
    description="A customer asks for a larger plan.",
    asked_by=("gateway",),
)


class WithdrawUpgrade(Message):
    """A customer does not want it any more. One that is decided stays as it is."""

    upgrade_id: UUID
    account_id: UUID


class UpgradeWithdrawn(Message):
    """The wish as it is now; None: the account has no such wish."""

    outcome: Literal["withdrawn"] = "withdrawn"
    upgrade: Upgrade | None


WithdrawUpgradeReply = UpgradeWithdrawn | Failure

WITHDRAW_UPGRADE: Rpc[WithdrawUpgrade, WithdrawUpgradeReply] = Rpc(
    subject="billing.v1.withdraw_upgrade",
    request=WithdrawUpgrade,
    reply=TypeAdapter(Annotated[WithdrawUpgradeReply, Field(discriminator="outcome")]),
    description="A customer takes back the wish for a larger plan.",
    asked_by=("gateway",),
)


class PaymentNotice(Message):
    """What a payment provider posted to us, as it came: `body` is the text that `signature` was made over."""

    provider: Literal["stripe"]
    body: str
    signature: str


class NoticeTaken(Message):
    """The notice is genuine, and what it says is recorded; the same one again changes nothing."""

    outcome: Literal["taken"] = "taken"


class NoticeRefused(Message):
    """The notice is not what it claims to be, or nobody expects notices of that provider."""

    outcome: Literal["refused"] = "refused"
    reason: Literal["bad_signature", "unreadable", "not_expected"]


PaymentNoticeReply = NoticeTaken | NoticeRefused | Failure

TAKE_PAYMENT_NOTICE: Rpc[PaymentNotice, PaymentNoticeReply] = Rpc(
    subject="billing.v1.payment_notice",
    request=PaymentNotice,
    reply=TypeAdapter(Annotated[PaymentNoticeReply, Field(discriminator="outcome")]),
    description="A payment provider told the public endpoint of a payment.",
    asked_by=("gateway",),
)
