"""What outcomes and errors mean for a reader: words to what `contracts.outcomes` and `gateway.errors` define.

A code without words, or words without a code, fail a test.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.outcomes import Outcome
from gateway.errors import catalogue, codes_of
from gateway.portal.documentation.markdown import inline


@dataclass(frozen=True, slots=True)
class OutcomeMeaning:
    """A row of the table of outcomes. The text is HTML."""

    outcome: Outcome
    when: str


@dataclass(frozen=True, slots=True)
class ErrorMeaning:
    """A row of the table of errors. Both texts are HTML."""

    status: int
    code: str
    kind: str
    when: str
    advice: str


WHEN_OUTCOME = {
    Outcome.COMPLETED: "The model finished. Stopping at a length limit and declining to answer count as finishing.",
    Outcome.CONTINUATION: "A request that brings tool results to an open turn, however it ends.",
    Outcome.REPLAY: "The same `Idempotency-Key` and body again.",
    Outcome.EMPTY: "The model finished without content and without a tool call.",
    Outcome.CLIENT_GONE_EARLY: "You left before the first content. The model is stopped.",
    Outcome.CLIENT_GONE_LATE: "You left after content had begun. The model is stopped.",
    Outcome.UPSTREAM_UNAVAILABLE: "Every model that could be called failed before the first content.",
    Outcome.UPSTREAM_BROKEN: "A model failed after content had begun.",
    Outcome.GATEWAY_SHUTDOWN: "Our server was replaced, and the answer took longer than it could wait.",
    Outcome.EXPIRED: "Our server was lost with the request. Its prompt is given back when its hold runs out.",
    Outcome.REJECTED_REQUEST: "The request is not understood, no model behind the alias can take it, or the model "
    "refuses it.",
    Outcome.REJECTED_QUOTA: "The prompts of the day or the month are spent.",
    Outcome.REJECTED_SPEED: "More requests at once or a minute than the plan allows.",
    Outcome.REJECTED_AUTH: "The token is not valid or lacks a scope, or the account is suspended.",
}

_AGAIN = "Send it again."
_CHANGE = "Change the request."

WHEN_ERROR = {
    "invalid_http": (
        "What came on the connection is not HTTP; the connection is closed.",
        "Look at the client or a proxy.",
    ),
    "invalid_json": ("The body is not JSON in UTF-8, or nested too deeply.", _CHANGE),
    "invalid_value": ("A parameter has a value that is not allowed; `param` names it.", _CHANGE),
    "missing_required_parameter": ("`param` is required.", _CHANGE),
    "request_refused": ("The model cannot take this request; `param` names what it is about, if known.", _CHANGE),
    "unsupported_parameter": ("`param` is not supported here; the message says what to use.", _CHANGE),
    "unsupported_value": (
        "This value of `param` is not supported, or not by this model: nothing behind its alias can take it.",
        "Change the value, or ask for another alias.",
    ),
    "previous_response_not_found": (
        "`previous_response_id` names no stored response of your account, or one that has expired.",
        "Send the whole input instead.",
    ),
    "conversation_lost": (
        "The conversation is in the middle of its tool calls, or carries the model's own state, and the model that it "
        "belongs to is not there any more. `x-should-retry` is `false`.",
        "Begin a new conversation.",
    ),
    "context_length_exceeded": ("The input is longer than the model's context window.", "Send less input."),
    "invalid_api_key": (
        "The token is missing, malformed, unknown, expired or revoked. One text for all of them.",
        "Check the token, or make a new one.",
    ),
    "insufficient_permissions": ("The token lacks a scope; the message names it.", "Use a token with that scope."),
    "account_suspended": ("The account is suspended; no token of it is admitted.", "Ask support."),
    "not_found": ("There is nothing at this path.", "Check the base URL."),
    "model_not_found": ("`model` is no alias; the message lists them.", "Choose one of the list."),
    "receipt_not_found": (
        "Your account has no receipt of that id: unknown, foreign, malformed, or refused before a prompt was held.",
        "If the request has just ended, ask again.",
    ),
    "response_not_found": (
        "Your account has no stored response of that id: unknown, foreign, malformed, deleted or expired.",
        "Send the whole input instead.",
    ),
    "method_not_allowed": ("The path exists, with other methods.", "See the header `Allow`."),
    "request_timeout": ("You stopped in the middle of the headers or the body; the connection is closed.", _AGAIN),
    "idempotency_conflict": (
        "The `Idempotency-Key` is that of a request that is being answered, or of one whose answer is not kept "
        "(`x-should-retry` is `false`).",
        "In the first case after `Retry-After`.",
    ),
    "request_too_large": ("The body is over the limit that the message names.", "Send less."),
    "idempotency_key_reused": ("The `Idempotency-Key` was used with another body.", "Use another key."),
    "upgrade_required": ("A WebSocket was asked for; responses are posted.", "Use HTTP."),
    "insufficient_quota": (
        "The prompts of the day or the month are spent; `Retry-After` says when there are new ones, `x-should-retry` "
        "is `false`.",
        "After the reset, or with a larger plan.",
    ),
    "rate_limit_exceeded": (
        "More requests at once or a minute than the speed of the plan, which the message names. There are prompts "
        "left. Also for tool results that another request of yours is being answered for.",
        "After `Retry-After`.",
    ),
    "headers_too_large": ("The headers are too large or too many.", "Send fewer headers."),
    "internal_error": ("A fault of ours.", _AGAIN),
    "upstream_unavailable": (
        "No model could answer, before anything of the answer had left. In the middle of tool calls: not the one that "
        "made them, and another one must not.",
        _AGAIN,
    ),
    "upstream_broken": (
        "The model failed in the middle of its answer. In a stream: the last event, without `[DONE]` after it.",
        _AGAIN,
    ),
    "service_unavailable": ("A part of ours is away, and nothing was admitted.", "After `Retry-After`."),
    "gateway_stopping": ("The server that answered was replaced before the answer was complete.", _AGAIN),
    "not_recorded": (
        "The answer could be recorded nowhere, so it is withheld, or its stream ends with this event and no `[DONE]`. "
        "The receipt says whether it was charged after all.",
        _AGAIN,
    ),
    "upstream_timeout": ("No model began to answer in time, or the answer took too long.", _AGAIN),
}


def outcome_meanings() -> list[OutcomeMeaning]:
    return [OutcomeMeaning(outcome, inline(when)) for outcome, when in WHEN_OUTCOME.items()]


def error_meanings() -> Iterator[ErrorMeaning]:
    """Every error that a customer can be told of, by status. Raises `KeyError` for one without words."""
    for error in catalogue():
        for code in codes_of(error):
            when, advice = WHEN_ERROR[code]
            yield ErrorMeaning(error.status, code, error.kind, inline(when), inline(advice))
