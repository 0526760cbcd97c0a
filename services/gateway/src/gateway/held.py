"""An admitted request and its record: what was asked, what was granted, how it ended, what is settled."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.types import Receive, Send

from chassis import telemetry
from contracts.gateway import RequestSettled, RouteTaken, Timings, TokenUsage
from contracts.outcomes import Outcome
from contracts.quota import Granted
from contracts.router import Chosen, Unroutable
from gateway.claims import Claim
from gateway.client import ClientResponse
from gateway.domain import Caller, End, cost_of, outcome_of, window_after
from gateway.errors import GatewayError
from gateway.http import RequestContext
from gateway.relay import Relay
from gateway.repeats import Question
from gateway.routes import taken
from gateway.wire.lane import ClientRequest
from gateway.wire.usage import Usage


class Keep(Protocol):
    """What is done with a good answer before it is settled, and undone if it could not be recorded. Raises nothing."""

    async def keep(self, held: "Held") -> None: ...

    async def forget(self, held: "Held") -> None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is understood: who, what, and where the answer goes.

    `claim` is that of its Idempotency-Key. `keep` has a good answer before it is settled.
    """

    context: RequestContext
    caller: Caller
    request: ClientRequest
    receive: Receive
    send: Send
    claim: Claim | None = None
    keep: Keep | None = None


@dataclass(slots=True)
class Held:
    """A request whose prompt is held. `end` and `error` say how it ended. `admitted_at`, and `answered_at` when its
    last call is over, are of `time.perf_counter()`.

    `chosen` is None when the router could not say where it should go. `question` is what it asks, if asking it again
    soon would say something of the answer.
    """

    asked: Asked
    granted: Granted
    chosen: Chosen | Unroutable | None
    alias: str
    headers: dict[str, str]
    admitted_at: float
    relay: Relay
    response: ClientResponse
    end: End = End.FAILED
    error: GatewayError | None = None
    answered_at: float | None = None
    question: Question | None = None

    @property
    def outcome(self) -> Outcome:
        """How it ends, as far as is known now."""
        return self._outcome_as(self.granted.turn.call)

    @property
    def ended_as(self) -> Outcome | None:
        """How a continuation ends, as if it were the first call of a turn."""
        return self._outcome_as(1) if self.granted.turn.call > 1 else None

    @property
    def route(self) -> RouteTaken | None:
        """The way that it went, as far as there was one."""
        if not isinstance(self.chosen, Chosen):
            return None
        return taken(self.chosen, place=self.relay.place, hedges=self.relay.hedges)

    def _outcome_as(self, call: int) -> Outcome:
        relay = self.relay
        return outcome_of(self.end, call=call, has_begun=relay.has_begun, has_content=relay.has_content)


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
        endpoint=asked.request.endpoint,
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
        ended_as=held.ended_as,
        route=held.route,
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
