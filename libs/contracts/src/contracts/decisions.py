"""What the router records of its decisions, for staff, and what a replica that starts is told by one that runs."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from contracts import streams
from contracts.endpoint import Event, Message, Rpc
from contracts.failures import Failure
from contracts.router import Choose, Route, Rule, Tier

Exclusion = Literal[
    "tools", "images", "schema", "parallel_calls", "context", "output", "region", "rate", "failing", "locked", "tier"
]
"""Why a target was not among the candidates."""


class TargetSeen(Message):
    """A target as a decision saw it: what its cost was made of.

    `latency_seconds` is what a first byte takes, or has been waited for; `success` a moving average; `price` that of
    the request in `currency`, None when a price is not known. `tiers` are those of the profile that it is in; none in a
    profile that names an order. `is_over_rate`: its provider's limit of calls a minute was used up.
    """

    target: str
    tiers: tuple[Tier, ...] = ()
    latency_seconds: float
    waiting: int
    in_flight: int
    success: float
    starts_last_minute: int = 0
    is_failing: bool = False
    is_over_rate: bool = False
    may_probe: bool = False
    price: float | None = None
    currency: str | None = None
    cost: float | None = None
    excluded: Exclusion | None = None


class Decision(Message):
    """One decision with all that it was made from, and no text: enough to explain it, and to decide it again.

    `theta` is the threshold of the profile at that moment, `estimate` what was held against it. `session_tier` and
    `pinned` are what the replica remembered of the session and of the turn. `budget` is the strong share that the
    profile was held to; None: it has not both tiers.
    """

    ask: Choose
    decided_at: datetime
    decided_by: str
    alias: str
    plans_version: int
    profiles_version: int
    route: Route | None
    order: tuple[str, ...]
    seen: tuple[TargetSeen, ...]
    theta: float
    estimate: float | None = None
    estimated_by: Rule = "balance"
    session_tier: Tier | None = None
    pinned: str | None = None
    is_panic: bool = False
    budget: float | None = None


class RequestsRouted(Message):
    """Decisions of one replica in the last moments."""

    decisions: tuple[Decision, ...]


REQUESTS_ROUTED: Event[RequestsRouted] = Event(
    subject="router.v1.requests_routed",
    stream=streams.DECISIONS.name,
    payload=RequestsRouted,
    description="Why requests went where they went, for staff: names, scores and health, no text. Kept for days.",
    is_for_staff=True,
)


class TakeOver(Message):
    """A replica that starts asks one that runs for what it has learnt. Who only looks at targets needs no pins."""

    instance: str
    with_pins: bool = True


class KnownPin(Message):
    """What was served last by which target, `age_seconds` ago."""

    key: str
    target: str
    age_seconds: float


class KnownTarget(Message):
    """What a replica has learnt of one target, and its load.

    Times are seconds from now; `quantiles` are bucket, median and 95th percentile in seconds, and how many they are of.
    `is_probing`: one request is out to try it again.
    """

    target: str
    success: float
    attempts: int
    failures_in_a_row: int
    set_aside_for_seconds: float | None
    period_seconds: float
    latency_seconds: float | None
    latency_age_seconds: float
    in_flight: int = 0
    waiting: int = 0
    starts_last_minute: int = 0
    quantiles: tuple[tuple[int, float, float, int], ...] = ()
    is_probing: bool = False


class KnownShare(Message):
    """How a replica spends a strong budget: its threshold now, its decisions by tier since it has the profile."""

    alias: str
    budget: float
    theta: float
    light: int
    strong: int


class Knowledge(Message):
    """All that a replica has learnt and a restart would lose. `pins`: the newest; `shares`: of both tiers."""

    outcome: Literal["knowledge"] = "knowledge"
    profiles_version: int
    targets: tuple[KnownTarget, ...]
    pins: tuple[KnownPin, ...]
    thetas: dict[str, float]
    shares: tuple[KnownShare, ...] = ()
    told_by: str = ""


TakeOverReply = Knowledge | Failure

TAKE_OVER: Rpc[TakeOver, TakeOverReply] = Rpc(
    subject="router.v1.take_over",
    request=TakeOver,
    reply=TypeAdapter(Annotated[TakeOverReply, Field(discriminator="outcome")]),
    description="What a running replica has learnt of targets and sessions, for one that starts.",
    asked_by=("router",),
)
