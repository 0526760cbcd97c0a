"""What billing tells: who has which plan since when."""

from datetime import datetime
from uuid import UUID

from contracts import streams
from contracts.endpoint import Event, Message


class SubscriptionChanged(Message):
    """An account has `plan` from `effective_at` on. `revision` grows by one per change of the account: newest wins."""

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
