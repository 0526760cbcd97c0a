"""An admitted request and its record: what was asked, what was granted, how it ended, what is settled."""

from dataclasses import dataclass
from datetime import datetime

from starlette.types import Receive, Send

from chassis import telemetry
from contracts.gateway import RequestSettled, Timings, TokenUsage
from contracts.outcomes import Outcome
from contracts.quota import Granted
from contracts.router import Chosen
from gateway.claims import Claim
from gateway.client import ClientResponse
from gateway.domain import Caller, End, cost_of, outcome_of, window_after
from gateway.errors import GatewayError
from gateway.http import RequestContext
from gateway.relay import Relay
from gateway.wire.chat.decode import ChatRequest
from gateway.wire.usage import Usage

ENDPOINT = "chat/completions"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is understood: who, what, and where the answer goes. `claim` is that of its Idempotency-Key."""

    context: RequestContext
    caller: Caller
    request: ChatRequest
    receive: Receive
    send: Send
    claim: Claim | None = None


@dataclass(slots=True)
class Held:
    """A request whose prompt is held. `end` and `error` say how it ended; `admitted_at` is of `time.perf_counter()`."""

    asked: Asked
    granted: Granted
    chosen: Chosen | None
    alias: str
    headers: dict[str, str]
    admitted_at: float
    relay: Relay
    response: ClientResponse
    end: End = End.FAILED
    error: GatewayError | None = None

    @property
    def outcome(self) -> Outcome:
        """How it ends, as far as is known now."""
        relay = self.relay
        return outcome_of(
            self.end, call=self.granted.turn.call, has_begun=relay.has_begun, has_content=relay.has_content
        )


def settled_of(held: Held, *, instance: str, now: datetime, clock: float) -> RequestSettled:
    """The settlement of a request that is over. `clock` is `time.perf_counter()` now."""
    asked, granted, relay = held.asked, held.granted, held.relay
    call = granted.turn.call
    # A later call of a turn holds no prompt of its own that could come back.
    is_given_back = call == 1 and not held.outcome.is_charged
    tokens = tokens_of(relay.usage)
    return RequestSettled(
        request_id=asked.context.request_id,
        account_id=asked.caller.account_id,
        token_id=asked.caller.token_id,
        turn_id=granted.turn.turn_id,
        call=call,
        outcome=held.outcome,
        plan=granted.plan,
        plans_version=granted.plans_version,
        alias_asked=asked.request.model,
        alias_served=held.alias,
        endpoint=ENDPOINT,
        is_stream=asked.request.is_stream,
        day=granted.daily.starts_on,
        month=granted.monthly.starts_on,
        started_at=asked.context.started_at,
        ended_at=now,
        timings=_timings(held, clock),
        tokens=tokens,
        target=relay.target,
        attempts=relay.attempts,
        error_code=held.error.code if held.error is not None else None,
        trace_id=telemetry.trace_id(),
        daily=window_after(granted.daily, is_given_back=is_given_back),
        monthly=window_after(granted.monthly, is_given_back=is_given_back),
        cost=cost_of(tokens, relay.prices),
        settled_by=instance,
    )


def tokens_of(usage: Usage | None) -> TokenUsage:
    """The provider's count as the contract has it."""
    if usage is None:
        return TokenUsage()
    return TokenUsage(
        input=usage.input,
        cached_input=usage.cached_input,
        output=usage.output,
        reasoning=usage.reasoning,
        source="provider",
    )


def _timings(held: Held, clock: float) -> Timings:
    started = held.asked.context.started
    first = held.relay.first_content_at
    return Timings(
        admitted_ms=round((held.admitted_at - started) * 1000, 3),
        first_content_ms=round((first - started) * 1000, 3) if first is not None else None,
        total_ms=round((clock - started) * 1000, 3),
    )
