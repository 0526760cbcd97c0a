"""Whether a request may go on, and where to: quota and router, asked at the same time.

The router needs the plan, which only quota knows for sure. The plan of the account's last request is a good guess; when
quota says otherwise, the router is asked again. What quota has granted, or may have granted, the leases are told of.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis import failpoints, telemetry
from chassis.watched import Watched
from contracts.plans import PlanCatalogue
from contracts.quota import Continued, Denied, Granted, Lease, Reserve, Window
from contracts.router import Choose, Chosen, Unroutable
from gateway.domain import Caller, binding_window, spelled_duration, whole_seconds
from gateway.errors import AccountSuspended, AllowanceSpent, AuthenticationFailed, GatewayError, SpeedExceeded
from gateway.features import Reading
from gateway.leases import Leases
from gateway.peers import PeerAway, Peers
from gateway.remembered import Plans, Served

MAX_REMEMBERED_PLANS = 50_000
# A prompt is in flight until quota has folded its settlement, a moment after its client has seen the end. A client that
# keeps to its limit of requests at once would run into that moment, and so would one that sends the results of its
# tools again after a failure. So a place is waited for, this often and long.
PLACE_PAUSES_SECONDS = (0.1, 0.2, 0.4)
WORTH_WAITING = ("too_many_in_flight", "turn_busy")
UNLIMITED = "unlimited"
# Agents on the AI SDK (opencode, Kilo Code) know no `x-should-retry`: they would sleep as long as `retry-after` says,
# until tomorrow, before they tell anybody. This header they read first; a few tries later they say what is wrong.
_SAID_AT_ONCE = {"retry-after-ms": "1000"}


last_plans = telemetry.meter.create_counter(
    "smartroute.last_plans",
    unit="{request}",
    description="Requests that went by an earlier plan: the router was silent",
)


@dataclass(frozen=True, slots=True)
class Admission:
    """A granted request. `chosen` is None when the router could not say where it should go."""

    granted: Granted
    chosen: Chosen | Unroutable | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request wants. `continues` is the turn that it proves to belong to, `reading` what it is routed by."""

    request_id: UUID
    alias: str
    endpoint: str
    is_stream: bool
    reading: Reading
    continues: Continued | None = None

    def choose(self, *, plan: str, served_by: str | None) -> Choose:
        """The ask for its targets. What it belongs to, the closest first: its turn, its session."""
        reading, continues = self.reading, self.continues
        session = () if reading.session is None else (reading.session,)
        return Choose(
            request_id=self.request_id,
            plan=plan,
            alias=self.alias,
            affinity=session if continues is None else (str(continues.turn_id), *session),
            session=reading.session,
            features=reading.features,
            lock=reading.lock,
            served_by=served_by,
            is_stream=self.is_stream,
            may_leave_state=reading.may_leave_state,
        )

    def reserve(self, caller: Caller, *, gateway: str) -> Reserve:
        """The ask for its prompt."""
        return Reserve(
            request_id=self.request_id,
            account_id=caller.account_id,
            token_id=caller.token_id,
            gateway=gateway,
            alias=self.alias,
            endpoint=self.endpoint,
            is_stream=self.is_stream,
            continues=self.continues,
        )


@dataclass(frozen=True, slots=True)
class _Asking:
    """An ask under way. `patient_until` is of the loop's clock."""

    ask: Choose
    task: asyncio.Task[Chosen | Unroutable | None]
    patient_until: float


class Desk:
    """Admits requests. One per process. `served` is told who answered a turn."""

    def __init__(
        self,
        peers: Peers,
        plans: Watched[PlanCatalogue],
        leases: Leases,
        *,
        instance: str,
        last_plan_after_seconds: float,
    ) -> None:
        self.served = Served()
        self._peers = peers
        self._plans = plans
        self._leases = leases
        self._instance = instance
        self._last_plan_after_seconds = last_plan_after_seconds
        self._plan_of: OrderedDict[UUID, str] = OrderedDict()
        self._last_plans = Plans()
        self._late: set[asyncio.Task[Chosen | Unroutable | None]] = set()

    async def admit(self, caller: Caller, wish: Wish) -> Admission | Denied:
        """Quota's word and the router's. Raises `PeerAway` when quota has none: what it may hold then is given up.

        Not to be cancelled: a reservation that nobody waits for would never be settled.
        """
        guess = self._plan_of.get(caller.account_id, self._plans.value.default_plan)
        asking = self._ask(wish, plan=guess)
        try:
            reply = await self._reserve(wish.reserve(caller, gateway=self._instance))
        except PeerAway:
            asking.task.cancel()
            raise
        self._remember(caller.account_id, reply.plan)
        if isinstance(reply, Denied):
            self._let_go(asking)
            return reply
        if reply.plan != guess:
            self._let_go(asking)
            asking = self._ask(wish, plan=reply.plan)
        return Admission(reply, await self._answer(asking))

    async def _reserve(self, reserve: Reserve) -> Granted | Denied:
        """Raises `PeerAway`. The lease is renewed from the moment that it is granted."""
        lease = Lease(account_id=reserve.account_id, request_id=reserve.request_id)
        for pause_seconds in (*PLACE_PAUSES_SECONDS, None):
            try:
                reply, is_second = await self._peers.reserve(_waiting(reserve) if pause_seconds else reserve)
            except PeerAway as exc:
                if not exc.is_undelivered:
                    self._leases.abandon(lease)
                raise
            if isinstance(reply, Granted):
                failpoints.reach("gateway.reserved")
                self._leases.hold(lease, seconds=reply.lease_seconds)
                break
            if is_second:
                # The second ask can overtake the first, which may still be granted by a slower replica, for nobody.
                # What is abandoned is not asked for again.
                self._leases.abandon(lease)
                break
            if reply.reason not in WORTH_WAITING or pause_seconds is None:
                break
            await asyncio.sleep(pause_seconds)
        return reply

    def effective_alias(self, plan: str, asked: str) -> str:
        """What would be served, by our own copy of the catalogue; the asked alias when it does not know the plan."""
        try:
            return self._plans.value.effective_alias(plan=plan, asked=asked)
        except KeyError:
            return asked

    def _ask(self, wish: Wish, *, plan: str) -> _Asking:
        served_by = wish.reading.served_by
        if served_by is None and wish.continues is not None:
            served_by = self.served.target_of(wish.continues.turn_id)
        ask = wish.choose(plan=plan, served_by=served_by)
        patient_until = asyncio.get_running_loop().time() + self._last_plan_after_seconds
        return _Asking(ask, asyncio.create_task(self._choose(ask), name="choose"), patient_until)

    async def _choose(self, ask: Choose) -> Chosen | Unroutable | None:
        try:
            reply = await self._peers.choose(ask)
        except PeerAway:
            return None
        if isinstance(reply, Unroutable):
            return reply
        if not reply.candidates:
            return None
        self._last_plans.keep(ask, reply)
        return reply

    async def _answer(self, asking: _Asking) -> Chosen | Unroutable | None:
        """The router's, or when it is late or away and there is an earlier one to go by, that. A late one is kept."""
        ask, task = asking.ask, asking.task
        if not task.done():
            left = asking.patient_until - asyncio.get_running_loop().time()
            await asyncio.wait([task], timeout=max(left, 0.0))
        # An earlier plan is looked for only when it is needed: the router nearly always answers in time.
        kept = None if task.done() else self._last_plans.find(ask)
        if kept is None:
            reply = await task
            kept = self._last_plans.find(ask) if reply is None else None
            if kept is None:
                return reply
        else:
            self._let_go(asking)
        last_plans.add(1)
        return kept

    def _let_go(self, asking: _Asking) -> None:
        """Nobody waits for the router's answer; it comes all the same, and is kept as its last plan."""
        if not asking.task.done():
            self._late.add(asking.task)
            asking.task.add_done_callback(self._late.discard)

    def _remember(self, account_id: UUID, plan: str) -> None:
        self._plan_of[account_id] = plan
        self._plan_of.move_to_end(account_id)
        if len(self._plan_of) > MAX_REMEMBERED_PLANS:
            self._plan_of.popitem(last=False)


def _waiting(reserve: Reserve) -> Reserve:
    """The ask of somebody who will ask again."""
    if reserve.continues is None:
        return reserve
    return reserve.model_copy(update={"continues": reserve.continues.model_copy(update={"waits": True})})


def allowance_headers(reply: Granted | Denied, *, now: datetime) -> dict[str, str]:
    """The headers on what is left (design.md §6), of the window with the fewest prompts left.

    `x-ratelimit-reset-requests` is a duration in OpenAI's spelling (`6h12m3s`). An account without any limit has no
    `x-ratelimit-*` headers, because clients read numbers there.
    """
    headers = {
        "x-smartroute-daily-remaining": _remaining(reply.daily),
        "x-smartroute-monthly-remaining": _remaining(reply.monthly),
    }
    window = binding_window((reply.daily, reply.monthly))
    if window is not None:
        headers["x-ratelimit-limit-requests"] = str(window.limit)
        headers["x-ratelimit-remaining-requests"] = str(window.remaining)
        headers["x-ratelimit-reset-requests"] = spelled_duration((window.resets_at - now).total_seconds())
    if isinstance(reply, Granted):
        turn = reply.turn
        headers["x-smartroute-turn"] = f"{turn.turn_id}; call={turn.call}; calls={turn.calls}"
    return headers


def refusal(denied: Denied, *, now: datetime) -> GatewayError:
    """What the customer is told. A revoked token is told nothing of its account; all others see what is left."""
    match denied.reason:
        case "daily_spent" | "monthly_spent":
            return _spent(denied, now=now)
        case "too_many_in_flight" | "too_many_a_minute":
            return _too_fast(denied, now=now)
        case "turn_busy":
            return _too_early(denied, now=now)
        case "account_suspended":
            return AccountSuspended(headers=allowance_headers(denied, now=now))
        case "token_blocked":
            return AuthenticationFailed()


def _spent(denied: Denied, *, now: datetime) -> AllowanceSpent:
    """The 429 for a window that is used up. The SDKs are told not to retry, and people when it will be open again."""
    name, window = ("daily", denied.daily) if denied.reason == "daily_spent" else ("monthly", denied.monthly)
    return AllowanceSpent(
        f"The {name} allowance of {window.limit} prompts of the plan `{denied.plan}` is spent. "
        f"It resets at {window.resets_at:%Y-%m-%d %H:%M:%S} UTC.",
        headers={
            **allowance_headers(denied, now=now),
            "retry-after": str(whole_seconds((window.resets_at - now).total_seconds())),
            "x-should-retry": "false",
            **_SAID_AT_ONCE,
        },
    )


def _too_fast(denied: Denied, *, now: datetime) -> SpeedExceeded:
    """The 429 for the plan's speed. The SDKs retry it by themselves after the time given."""
    seconds = whole_seconds(denied.retry_after_seconds or 1.0)
    limit = f"{denied.speed_limit} requests" if denied.speed_limit != 1 else "1 request"
    speed = f"{limit} at once" if denied.reason == "too_many_in_flight" else f"{limit} a minute"
    return SpeedExceeded(
        f"The speed of the plan `{denied.plan}` is {speed}. Nothing was charged; try again in {seconds} s.",
        headers={**allowance_headers(denied, now=now), "retry-after": str(seconds)},
    )


def _too_early(denied: Denied, *, now: datetime) -> SpeedExceeded:
    """The 429 for one who would rather wait than open a turn."""
    seconds = whole_seconds(denied.retry_after_seconds or 1.0)
    return SpeedExceeded(
        f"Another request with the same tool results is being answered. Nothing was charged; try again in {seconds} s.",
        headers={**allowance_headers(denied, now=now), "retry-after": str(seconds)},
    )


def _remaining(window: Window) -> str:
    return UNLIMITED if window.remaining is None else str(window.remaining)
