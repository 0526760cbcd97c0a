"""`GET /receipts/{request_id}`: how a request ended and why it was charged or not, from its ledger line.

A receipt is there within two seconds of the end of a request. Until then whoever asks for it waits here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from chassis.bus import Bus, PeerUnavailable, ask
from chassis.database import StoreAway
from contracts.billing import READ_RECEIPT, NoReceipt, Receipt
from contracts.billing import ReadReceipt as ReadReceiptRequest
from contracts.failures import Failure
from contracts.gateway import RouteTaken, Timings, TokenUsage, WindowAfter
from contracts.outcomes import Outcome
from contracts.plans import PlanCatalogue
from contracts.router import Placement, RequestClass, Rule, Tier
from gateway.auth import USAGE_READ, require_scope
from gateway.domain import Caller
from gateway.errors import ReceiptNotFound, ServiceUnavailable
from gateway.handlers.caller import Dependency
from gateway.store import ClaimStore
from gateway.tables import Replay

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.4
# The clocks of two gateways, and the way of a settlement, beside the time that an answer may take.
SLACK = timedelta(seconds=60)


class ReceiptTurn(BaseModel):
    """The prompt that the request rode on."""

    id: UUID
    call: int = Field(description="Its place among the calls of the turn; the first one pays")
    calls: int | None = Field(description="How many calls a turn may have under the plan; null: the plan is no more")


class ReceiptWindows(BaseModel):
    """Both windows as this request left them: as they were when its prompt was held, with its own result."""

    daily: WindowAfter | None
    monthly: WindowAfter | None


class ReceiptLedger(BaseModel):
    """The place of the line in the account's chain of ledger lines."""

    sequence: int
    hash: str
    recorded_at: datetime


class ReceiptRoute(BaseModel):
    """Which way the request went and why. It explains; what was charged does not depend on it."""

    profiles_version: int = Field(description="The version of the routing profiles that decided")
    request_class: RequestClass = Field(
        serialization_alias="class", description="What the request was taken to be about; `unknown`: nobody looked"
    )
    tier: Tier = Field(description="`light` for the cheaper models, `strong` for the others")
    rule: Rule = Field(
        description="What decided the tier. `provider_state` and `tool_loop`: what had begun goes on where it was. "
        "`capability`: only this tier has models that can take the request. `single_tier`: there is only one. "
        "`budget`: the share of the strong tier is none or all. `session`: the tier of the session is kept. "
        "`class_outcomes`: how requests of this class went before. `difficulty`: how hard the prompt seemed. "
        "`balance`: nothing was known of the prompt, so the share of the strong tier decided. "
        "`last_plan`: as such a request went before, because the router was silent"
    )
    placement: Placement = Field(
        description="How the first target of the tier was found. `order`: the one that is configured first. "
        "`pinned`: the one that served before. `probe`: one that had failed is tried again. "
        "`affinity`: the place of the session, where prompts are cached. `cost`: the lowest of waiting and price"
    )
    target: int | None = Field(
        description="Which of the `of` targets answered, 1 for the first choice; null when none did"
    )
    of: int = Field(description="How many targets the request could go to, one after the other")
    considered: int = Field(description="How many targets those were chosen from")
    hedges: int = Field(description="Calls beside a first one that was silent for long")


class ReceiptReport(BaseModel):
    """How one request ended. A replay has the figures of the request whose answer it was sent, but for what it cost."""

    object: Literal["receipt"] = "receipt"
    request_id: UUID
    outcome: Outcome = Field(description="One of the published table of outcomes")
    charged: bool
    prompts: int = Field(description="What it cost")
    credited_prompts: int = Field(description="Given back later by a credit note")
    reason: str = Field(description="Why it is charged or not, for people")
    plan: str
    plans_version: int
    model_asked: str
    model_served: str
    endpoint: str
    stream: bool
    turn: ReceiptTurn
    started_at: datetime
    ended_at: datetime
    timings: Timings | None = Field(description="Milliseconds since the request arrived; null for a replay")
    tokens: TokenUsage
    windows: ReceiptWindows | None = Field(description="Null for a replay, which touches none")
    error_code: str | None
    trace_id: str | None
    ledger: ReceiptLedger | None = Field(description="Null for a replay, which has no line of its own")
    replay_of: UUID | None = Field(description="The request whose stored answer this one was sent")
    route: ReceiptRoute | None = Field(
        description="Null when it was not routed, or nobody told how; a replay has that of its first request"
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A receipt; with `replay`, that of the request whose answer was sent again."""

    receipt: Receipt
    replay: Replay | None = None


ReadReceipt = Callable[[UUID, UUID], Awaitable[Found]]


def build_read_receipt(
    bus: Bus, claims: ClaimStore, *, timeout_seconds: float, wait_seconds: float, longest_seconds: float
) -> ReadReceipt:
    """Finds an account's receipt; it asks again and again for `wait_seconds` as long as it can be on its way.

    That is so for requests that may have ended just now: those that began within the last `longest_seconds`, which
    their id tells. What is built raises `ReceiptNotFound` and `ServiceUnavailable`.
    """

    async def asked(account_id: UUID, request_id: UUID) -> Receipt | None:
        return await _ask_billing(bus, account_id, request_id, timeout_seconds=timeout_seconds)

    async def read(account_id: UUID, request_id: UUID) -> Found:
        loop = asyncio.get_running_loop()
        may_come = is_recent(request_id, now=datetime.now(UTC), longest_seconds=longest_seconds)
        deadline = loop.time() + (wait_seconds if may_come else 0.0)
        receipt = await asked(account_id, request_id)
        if receipt is not None:
            return Found(receipt)
        # A replay is noted before it is answered, so looking once is enough.
        replay = await _find_replay(claims, account_id, request_id)
        wanted = replay.replay_of if replay is not None else request_id
        if replay is not None:
            receipt = await asked(account_id, wanted)
        pause = FIRST_PAUSE_SECONDS
        while receipt is None and loop.time() + pause <= deadline:
            await asyncio.sleep(pause)
            receipt = await asked(account_id, wanted)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        if receipt is None:
            raise ReceiptNotFound
        return Found(receipt, replay)

    return read


async def _ask_billing(bus: Bus, account_id: UUID, request_id: UUID, *, timeout_seconds: float) -> Receipt | None:
    request = ReadReceiptRequest(account_id=account_id, request_id=request_id)
    try:
        reply = await ask(bus, READ_RECEIPT, request, timeout_seconds=timeout_seconds)
    except PeerUnavailable as exc:
        raise ServiceUnavailable from exc
    match reply:
        case Receipt():
            return reply
        case NoReceipt():
            return None
        case Failure():
            raise ServiceUnavailable


async def _find_replay(claims: ClaimStore, account_id: UUID, request_id: UUID) -> Replay | None:
    try:
        return await claims.find_replay(account_id, request_id)
    except StoreAway as exc:
        raise ServiceUnavailable from exc


def is_recent(request_id: UUID, *, now: datetime, longest_seconds: float) -> bool:
    """Whether a request of that id can have ended in the last moments: ids are UUIDv7, which begin with their time
    (RFC 9562 §5.7)."""
    if request_id.version != 7:
        return False
    age = now - datetime.fromtimestamp((request_id.int >> 80) / 1000, UTC)
    return -SLACK <= age <= timedelta(seconds=longest_seconds) + SLACK


def build_receipts(
    caller: Dependency, read: ReadReceipt, plans: Callable[[], PlanCatalogue], *, prefix: str
) -> APIRouter:
    """`plans` gives the catalogue as it is now."""
    api = APIRouter(prefix=prefix, tags=["receipts"])

    @api.get("/receipts/{request_id}", operation_id="read_receipt", summary="Read how a request ended")
    async def read_receipt(
        who: Annotated[Caller, Depends(caller)],
        request_id: Annotated[
            str, Path(description="`x-request-id` of the response", examples=["019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"])
        ],
    ) -> ReceiptReport:
        """Of a request of your own account, within two seconds of its end. Needs the scope `usage:read`; costs nothing.

        Unknown, foreign and malformed ids are the same 404 `receipt_not_found`, and so are requests that were rejected
        before a prompt was held: they have no receipt.
        """
        require_scope(who, USAGE_READ)
        wanted = parse_request_id(request_id)
        return report(await read(who.account_id, wanted), plans(), request_id=wanted)

    return api


def parse_request_id(text: str) -> UUID:
    """Raises `ReceiptNotFound`: what is no id in its usual spelling names no request."""
    try:
        request_id = UUID(text)
    except ValueError:
        raise ReceiptNotFound from None
    if str(request_id) != text.lower():
        raise ReceiptNotFound
    return request_id


def report(found: Found, plans: PlanCatalogue, *, request_id: UUID) -> ReceiptReport:
    """A receipt as its customer reads it."""
    plan = plans.plan(found.receipt.plan)
    settled, replay = (
        _of_line(found.receipt, calls=plan.turns.calls_per_turn if plan is not None else None),
        found.replay,
    )
    if replay is None:
        return settled
    return settled.model_copy(
        update={
            "request_id": request_id,
            "outcome": Outcome.REPLAY,
            "charged": False,
            "prompts": 0,
            "credited_prompts": 0,
            "reason": Outcome.REPLAY.reason,
            "started_at": replay.replayed_at,
            "ended_at": replay.replayed_at,
            "timings": None,
            "tokens": TokenUsage(),
            "windows": None,
            "trace_id": replay.trace_id,
            "ledger": None,
            "replay_of": replay.replay_of,
        }
    )


def _of_line(receipt: Receipt, *, calls: int | None) -> ReceiptReport:
    return ReceiptReport(
        request_id=receipt.request_id,
        outcome=receipt.result,
        charged=receipt.prompts > 0,
        prompts=receipt.prompts,
        credited_prompts=receipt.credited_prompts,
        reason=receipt.result.reason,
        plan=receipt.plan,
        plans_version=receipt.plans_version,
        model_asked=receipt.alias_asked,
        model_served=receipt.alias_served,
        endpoint=receipt.endpoint,
        stream=receipt.is_stream,
        turn=ReceiptTurn(id=receipt.turn_id, call=receipt.call, calls=calls),
        started_at=receipt.started_at,
        ended_at=receipt.ended_at,
        timings=receipt.timings,
        tokens=receipt.tokens,
        windows=ReceiptWindows(daily=receipt.daily, monthly=receipt.monthly),
        error_code=receipt.error_code,
        trace_id=receipt.trace_id,
        ledger=ReceiptLedger(
            sequence=receipt.ledger_sequence, hash=receipt.ledger_hash, recorded_at=receipt.recorded_at
        ),
        replay_of=None,
        route=None if receipt.route is None else _route(receipt.route),
    )


def _route(taken: RouteTaken) -> ReceiptRoute:
    return ReceiptRoute(
        profiles_version=taken.route.profiles_version,
        request_class=taken.route.request_class,
        tier=taken.route.tier,
        rule=taken.route.rule,
        placement=taken.route.placement,
        target=taken.target,
        of=taken.of,
        considered=taken.route.considered,
        hedges=taken.hedges,
    )
