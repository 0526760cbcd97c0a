"""The scripts of a provider that behaves: answers, streamed or not as the request asks, and honest HTTP errors."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from devstack.provider.answers import Answer, ToolCall
from devstack.provider.conversation import last_prompt
from devstack.provider.formats import anthropic, chat
from devstack.provider.http import LAST_FRAME, Request, framed, head, whole
from devstack.provider.identity import Identity
from devstack.provider.payload import JsonObject, encode
from devstack.provider.script import Pause, Script, Steps, Write
from devstack.provider.writing import body_of, events_of

_JSON = ("Content-Type", "application/json")
_SSE = [("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache")]

# The type and code in the body of each HTTP error, as OpenAI names them.
_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "context_length_exceeded", "This model's maximum context length is 8192 tokens."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("insufficient_quota", "insufficient_balance", "Insufficient balance."),
    403: ("invalid_request_error", "unsupported_country", "This region is not supported."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    408: ("timeout", "request_timeout", "The request took too long to arrive."),
    409: ("conflict", "conflict", "The resource is being changed."),
    413: ("invalid_request_error", "request_too_large", "The request is too large."),
    422: ("invalid_request_error", "unprocessable", "A parameter could not be processed."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
    500: ("server_error", None, "The server had an error."),
    502: ("server_error", None, "Bad gateway."),
    503: ("server_error", "overloaded", "The engine is currently overloaded."),
    504: ("server_error", None, "The engine did not answer in time."),
}


def answer(
    text: str | None = "Hello from the provider.",
    *,
    tool_calls: Sequence[ToolCall] = (),
    interval_seconds: float = 0.0,
    delay_seconds: float = 0.0,
    like: Answer | None = None,
) -> Script:
    """An ordinary answer. `delay_seconds` passes before the headers, `interval_seconds` between the events of a stream.

    For all that `Answer` can say besides, pass one as `like` (the text and calls are then its own).
    """
    content = like or Answer(text=text if not tool_calls or text else None, tool_calls=tuple(tool_calls))

    def play(request: Request, identity: Identity) -> Steps:
        yield from _delay(delay_seconds)
        if request.is_streamed:
            yield from stream(events_of(content, request, identity), identity, interval_seconds=interval_seconds)
        else:
            yield Write(whole(200, [_JSON, *identity.headers()], body_of(content, request, identity)))

    return Script("answer", play)


def empty() -> Script:
    """A finished answer with neither content nor tool call."""
    return replace(answer(like=Answer(text="")), name="empty")


def chunks(count: int, *, interval_seconds: float = 0.0, delay_seconds: float = 0.0) -> Script:
    """A text of exactly `count` content deltas (not counting the first, which has the role), `word0 word1 …`."""
    text = " ".join(f"word{number}" for number in range(count))
    script = answer(text, interval_seconds=interval_seconds, delay_seconds=delay_seconds)
    return replace(script, name="chunks")


def echo() -> Script:
    """Says the last user message again: what `python -m devstack.provider` does."""

    def play(request: Request, identity: Identity) -> Steps:
        yield from answer(f"You said: {last_prompt(request) or 'nothing'}").play(request, identity)

    return Script("echo", play)


def http_error(
    status: int,
    *,
    retry_after: int | str | None = None,
    message: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Script:
    """An HTTP error with the body that its format has; `retry_after` in seconds, or an HTTP date."""

    def play(request: Request, identity: Identity) -> Steps:
        sent = [_JSON, *identity.headers(), *headers]
        if retry_after is not None:
            sent.append(("Retry-After", str(retry_after)))
        yield Write(whole(status, sent, encode(error_body(request, identity, status, message=message))))

    return Script(f"http_error_{status}", play)


def refusal(reason: str) -> Script:
    """What a provider answers to a request that is wrong."""

    def play(request: Request, identity: Identity) -> Steps:
        kind = "invalid_request_error"
        if request.format == "anthropic":
            body = anthropic.error_body(identity, reason, kind=kind)
        else:
            body = chat.error_body(identity, reason, kind=kind, code=None)
        yield Write(whole(400, [_JSON, *identity.headers()], encode(body)))

    return Script("refusal", play)


def raw(
    status: int, body: bytes, *, headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),)
) -> Script:
    """Any status with any body, sent whole, with the headers of the identity besides."""

    def play(_: Request, identity: Identity) -> Steps:
        yield Write(whole(status, [*headers, *identity.headers()], body))

    return Script("raw", play)


def error_body(request: Request, identity: Identity, status: int, *, message: str | None = None) -> JsonObject:
    """What the body of an error with this status says in the format of the request, in this provider's words."""
    kind, code, text = _ERRORS.get(status, ("server_error", None, "Something went wrong."))
    if request.format == "anthropic":
        kind, text = anthropic.error_words(status, text)
        return anthropic.error_body(identity, message or text, kind=kind)
    return chat.error_body(identity, message or text, kind=kind, code=code)


def stream_head(identity: Identity) -> bytes:
    """The headers of an event stream."""
    return head(200, [*_SSE, ("Transfer-Encoding", "chunked"), *identity.headers()])


def stream(pieces: Iterable[bytes], identity: Identity, *, interval_seconds: float = 0.0) -> Steps:
    """Headers, then every piece (one at least) in a write of its own, the last one with the end of the body."""
    yield Write(stream_head(identity))
    *earlier, last = pieces
    for piece in earlier:
        yield Write(framed(piece))
        yield from _delay(interval_seconds)
    yield Write(framed(last) + LAST_FRAME)  # in one: a client may leave as soon as it has seen `[DONE]`


def _delay(seconds: float) -> Steps:
    if seconds:
        yield Pause(seconds)
