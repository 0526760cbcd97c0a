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
    `used + remaining == limit`. An unlimited plan has no limit and no remaining.
    """

    limit: int | None
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


class Reserve(Message):
    """Hold one prompt. Idempotent by account and `request_id`: asked again, it answers as before."""

    request_id: UUID
    account_id: UUID
    token_id: UUID
    gateway: str


class Granted(Message):
    """The prompt is held until the request is settled."""

    outcome: Literal["granted"] = "granted"
    plan: str
    plans_version: int
    turn: Turn
    daily: Window
    monthly: Window


class Denied(Message):
    """No prompt was taken. The windows are null where the refusal has nothing to do with them."""

    outcome: Literal["denied"] = "denied"
    reason: Literal["daily_spent", "monthly_spent", "token_blocked"]
    plan: str
    plans_version: int
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
    """Admit nothing more with this token, on any replica, from the moment this is answered."""

    token_id: UUID


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
