"""What the gateway tells: how requests ended, accounts that opened, how upstream targets did."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts import streams
from contracts.endpoint import Event, Message, Signal, unread_as
from contracts.outcomes import Outcome
from contracts.router import RequestClass, Route


class TokenUsage(Message):
    """Tokens of one request. `source` says who counted; zero is a value, `none` means nobody said."""

    input: int = 0
    cached_input: int = 0
    output: int = 0
    reasoning: int = 0
    source: Literal["provider", "none"] = "none"


class Timings(Message):
    """Milliseconds since the request arrived."""

    admitted_ms: float | None = None
    first_content_ms: float | None = None
    total_ms: float


class Cost(Message):
    """What the provider charges for a request, for staff only: a decimal number, in the currency of its prices."""

    amount: Decimal
    currency: str


class WindowAfter(Message):
    """A window as the request left it: as it was when its prompt was held, with this request's own result.

    Prompts of others that were held then count as used. Limits are null for an unlimited plan.
    """

    limit: int | None
    used: int
    remaining: int | None
    resets_at: datetime


class RouteTaken(Message):
    """Which way a request went, in words that name no provider. `target` of `of` is the place of who answered last in
    the order of the plan; `hedges` are calls beside a silent first one."""

    route: Route
    target: int | None
    of: int
    hedges: int = 0


class RequestSettled(Message):
    """The end of one request. The first one of a request in stream order wins.

    It is told by the gateway that served it, or by quota (`expired`) when the lease of its prompt ran out.

    `day` and `month` are the windows that the prompt was held in, so quota and ledger agree across midnight.
    `target` is internal and never shown to a customer. No prompt or answer text is ever in here.

    `ended_as` is how a `continuation` ended, by the outcome that it would have had as a first call: one that
    would not have been charged leaves what it answered free to be answered again.
    """

    request_id: UUID
    account_id: UUID
    token_id: UUID
    turn_id: UUID
    call: int
    outcome: Outcome
    plan: str
    plans_version: int
    alias_asked: str
    alias_served: str
    endpoint: str
    is_stream: bool
    day: date
    month: date
    started_at: datetime
    ended_at: datetime
    timings: Timings
    tokens: TokenUsage
    target: str | None
    attempts: int
    error_code: str | None
    trace_id: str | None
    daily: WindowAfter | None = None
    monthly: WindowAfter | None = None
    cost: Cost | None = None
    settled_by: str = ""
    ended_as: Outcome | None = None
    route: Annotated[RouteTaken | None, unread_as(None)] = None

    @property
    def prompts(self) -> int:
        """What this request costs: one prompt or none."""
        return 1 if self.outcome.is_charged else 0


REQUEST_SETTLED: Event[RequestSettled] = Event(
    subject="gateway.v1.request_settled",
    stream=streams.REQUESTS.name,
    payload=RequestSettled,
    description="The log of truth: how each admitted request ended. The first one of a request wins, for everyone.",
    also_told_by=("quota",),
)


class AccountOpened(Message):
    """A customer exists. Billing opens the default plan for it unless `plan` names another one."""

    account_id: UUID
    name: str
    plan: str | None = None
    opened_at: datetime


ACCOUNT_OPENED: Event[AccountOpened] = Event(
    subject="gateway.v1.account_opened",
    stream=streams.ACCOUNTS.name,
    payload=AccountOpened,
    description="An account was opened.",
)


class TokenRevoked(Message):
    """Forget what is cached of this token. A hint: quota refuses it in any case."""

    token_id: UUID


TOKEN_REVOKED: Signal[TokenRevoked] = Signal(
    subject="gateway.v1.token_revoked",
    payload=TokenRevoked,
    description="A service token was revoked; gateways drop it from their caches.",
    heard_by=("gateway",),
)


QualityFault = Literal["invalid_arguments", "invalid_schema", "empty", "truncated", "filtered", "broken", "resubmitted"]
"""What is objectively wrong with an answer: arguments of a tool call that are no JSON, structured output that is not,
nothing said, cut off by its length or a filter, broken off, asked again within a minute."""


class AttemptFinished(Message):
    """How one call of an upstream target went, as far as the target is to blame for it.

    `affinity` are the keys that the request was chosen by, and the turn that it belongs to. `request_class` and `fault`
    are what outcomes are learnt from: an answer without a fault is a good one; None for `request_class`: nothing is
    learnt from it.
    """

    target: str
    result: Literal["ok", "connect_failed", "timed_out", "http_error", "rate_limited", "refused_key", "broken"]
    status: int | None = None
    retry_after_seconds: float | None = None
    first_byte_ms: float | None = None
    affinity: tuple[str, ...] = ()
    request_class: Annotated[RequestClass | None, unread_as(None)] = None
    fault: Annotated[QualityFault | None, unread_as("broken")] = None


class FirstByte(Message):
    """A target began to answer after `seconds`, or was given up after as long without a word (`is_censored`).

    `bucket` is what the router called this kind of request.
    """

    target: str
    bucket: int
    seconds: float
    is_censored: bool = False


class TargetLoad(Message):
    """The calls of one target that a gateway has open: all, those without a first byte, and the age in seconds of the
    oldest of these by bucket. `started` were begun since the report before."""

    target: str
    in_flight: int
    waiting: int
    oldest_seconds: dict[int, float] = Field(default_factory=dict)
    started: int = 0


class AttemptsFinished(Message):
    """What one gateway saw of upstream targets in the last moments: attempts that ended, first bytes, and its load now.

    `loads` has every target with open calls, and those that had some in the report before; a gateway with open calls
    reports at least once a second. None: a gateway that does not tell them.
    """

    gateway: str
    attempts: tuple[AttemptFinished, ...]
    first_bytes: tuple[FirstByte, ...] = ()
    loads: tuple[TargetLoad, ...] | None = None


ATTEMPTS_FINISHED: Signal[AttemptsFinished] = Signal(
    subject="gateway.v1.attempts_finished",
    payload=AttemptsFinished,
    description="Upstream calls as they go, batched; every router replica folds those of all gateways.",
    heard_by=("router",),
)
