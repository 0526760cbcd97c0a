"""What billing tells (who has which plan since when, extra prompts) and what it is asked: receipts."""

from datetime import datetime
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
