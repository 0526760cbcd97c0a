"""What a request for an answer leaves in traces and metrics: names and numbers, never content."""

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from chassis import attributes, telemetry
from contracts.gateway import RequestSettled
from contracts.outcomes import Outcome
from gateway.domain import Caller, End
from gateway.edge import CLIENT_DISCONNECTED
from gateway.errors import (
    AccountSuspended,
    AllowanceSpent,
    AuthenticationFailed,
    GatewayError,
    ServiceUnavailable,
    SpeedExceeded,
    TokenForbidden,
    UpstreamBroken,
    UpstreamTimedOut,
)
from gateway.held import Held, tokens_of
from gateway.wire.chat.models import known_finish_reason

ALIAS = "smartroute.alias"
ENDPOINT = "smartroute.endpoint"
NO_ALIAS = "none"
# Beside the outcomes: a part of ours was away, and nothing was held.
NOT_ADMITTED = "not_admitted"
PROVIDER = "smartroute"

requests = telemetry.meter.create_counter(
    "smartroute.requests", unit="{request}", description="Requests by outcome (docs: outcomes), alias and endpoint"
)
operation_duration = telemetry.meter.create_histogram(
    "gen_ai.client.operation.duration", unit="s", description="Time of the model's answer, all attempts together"
)
first_chunk = telemetry.meter.create_histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    unit="s",
    description="Time from the first attempt to the first content that left",
)
added_duration = telemetry.meter.create_histogram(
    "smartroute.added.duration",
    unit="s",
    description="Time of an answer that was ours: up to its first call, and from its last byte until it was settled",
)
cut_answers = telemetry.meter.create_counter(
    "smartroute.answers.cut", unit="{answer}", description="Answers that had begun and ended with an error of ours"
)
token_usage = telemetry.meter.create_histogram(
    "gen_ai.client.token.usage", unit="{token}", description="Tokens of one request, as the provider counted them"
)


def count(outcome: str, *, alias: str, endpoint: str) -> None:
    """Count one request that is over."""
    requests.add(1, {attributes.OUTCOME: outcome, ALIAS: alias, ENDPOINT: endpoint})


def count_rejected(error: GatewayError, *, alias: str, endpoint: str) -> None:
    """Count one request that was not admitted."""
    match error:
        case AuthenticationFailed() | TokenForbidden() | AccountSuspended():
            outcome: str = Outcome.REJECTED_AUTH
        case AllowanceSpent():
            outcome = Outcome.REJECTED_QUOTA
        case SpeedExceeded():
            outcome = Outcome.REJECTED_SPEED
        case ServiceUnavailable():
            outcome = NOT_ADMITTED
        case _:
            outcome = Outcome.REJECTED_REQUEST
    count(outcome, alias=alias, endpoint=endpoint)


def operation_of(held: Held) -> str:
    """What the model is asked to do, in OpenTelemetry's words (semantic conventions, `gen_ai.operation.name`)."""
    return "text_completion" if held.asked.request.endpoint == "completions" else "chat"


def labels_of(held: Held) -> dict[str, AttributeValue]:
    """The labels of the gen_ai metrics: one set per alias and kind of operation."""
    return {
        attributes.GEN_AI_OPERATION: operation_of(held),
        attributes.GEN_AI_PROVIDER: PROVIDER,
        attributes.GEN_AI_REQUEST_MODEL: held.alias,
    }


def record_answer(span: Span, held: Held, *, labels: dict[str, AttributeValue], seconds: float) -> None:
    """The model's part of a request that is over: its span and its metrics. `seconds` since the first attempt."""
    relay = held.relay
    error_type = CLIENT_DISCONNECTED if held.end is End.CLIENT_GONE else held.error.code if held.error else None
    operation_duration.record(seconds, labels if error_type is None else labels | {attributes.ERROR_TYPE: error_type})
    tokens = tokens_of(relay.usage)
    if tokens.source == "provider":
        token_usage.record(tokens.input, labels | {attributes.GEN_AI_TOKEN_TYPE: "input"})
        token_usage.record(tokens.output, labels | {attributes.GEN_AI_TOKEN_TYPE: "output"})
    waited = relay.first_content_at - held.admitted_at if relay.first_content_at is not None else None
    if waited is not None and held.asked.request.is_stream:  # what is not streamed has no first chunk
        first_chunk.record(waited, labels)
    if not span.is_recording():
        return
    span.set_attribute(attributes.GEN_AI_REQUEST_STREAM, held.asked.request.is_stream)
    if waited is not None:
        span.set_attribute(attributes.GEN_AI_FIRST_CHUNK, waited)
    if tokens.source == "provider":
        span.set_attribute(attributes.GEN_AI_INPUT_TOKENS, tokens.input)
        span.set_attribute(attributes.GEN_AI_OUTPUT_TOKENS, tokens.output)
    if relay.finish_reason is not None:
        span.set_attribute(attributes.GEN_AI_FINISH_REASONS, [known_finish_reason(relay.finish_reason)])
    if error_type is not None:
        telemetry.mark_failed(span, error_type)


def record_our_part(held: Held, *, now: float) -> None:
    """What a settled request says of us: how long its answer took beside the model, and whether it was broken off.

    The time in which the client sent its body is not ours.
    """
    context = held.asked.context
    if held.end is End.ANSWERED and held.answered_at is not None:
        before = held.admitted_at - context.started - context.body_seconds
        added_duration.record(before + now - held.answered_at)
    # One that had not begun is a 5xx, and one that its provider broke off is not ours.
    if (
        held.relay.has_begun
        and held.error is not None
        and not isinstance(held.error, UpstreamBroken | UpstreamTimedOut)
    ):
        cut_answers.add(1, {attributes.ERROR_TYPE: held.error.code})


def describe_server(span: Span, settled: RequestSettled) -> None:
    """Who asked, what was decided and how it ended, on the SERVER span."""
    if not span.is_recording():
        return
    span.set_attributes(
        {
            attributes.ACCOUNT_ID: str(settled.account_id),
            attributes.TOKEN_ID: str(settled.token_id),
            attributes.PLAN: settled.plan,
            attributes.ALIAS_ASKED: settled.alias_asked,
            attributes.ALIAS_SERVED: settled.alias_served,
            attributes.ADMISSION: "granted",
            attributes.OUTCOME: settled.outcome,
            attributes.ATTEMPTS: settled.attempts,
        }
    )


def describe_denied(span: Span, caller: Caller, *, reason: str, plan: str) -> None:
    """Who was not admitted, and why, on the SERVER span."""
    if span.is_recording():
        span.set_attributes(
            {
                attributes.ACCOUNT_ID: str(caller.account_id),
                attributes.TOKEN_ID: str(caller.token_id),
                attributes.PLAN: plan,
                attributes.ADMISSION: reason,
            }
        )
