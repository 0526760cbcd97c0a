"""The scripts of a provider that misbehaves: silence, broken connections, errors in odd places, malformed streams.

Where a fault needs an answer to spoil, it is the one given; streams are spoilt at the level of bytes. Every fault works
in every format; what the others call `[DONE]` is the event that ends a stream (`response.completed`, `message_stop`).
"""

import gzip
import math
from collections.abc import Callable

from devstack.provider.answers import Answer, Usage
from devstack.provider.formats import WRITERS
from devstack.provider.formats.chat import DONE, usage_payload
from devstack.provider.http import LAST_FRAME, Request, framed, head, whole
from devstack.provider.identity import Identity
from devstack.provider.payload import JsonObject, encode, sse
from devstack.provider.script import Close, Hang, Pause, Reset, Script, Step, Steps, Write
from devstack.provider.scripts import answer, error_body, stream, stream_head
from devstack.provider.writing import body_of, events_of

_ANSWER = Answer()
_JSON = ("Content-Type", "application/json")
_CHUNKED = ("chat", "completions")


# --- silence and broken connections


def hang_before_headers() -> Script:
    """Takes the request and never answers."""
    return _connection_fault("hang_before_headers", Hang())


def reset_before_headers() -> Script:
    """Drops the connection (RST) instead of answering."""
    return _connection_fault("reset_before_headers", Reset())


def close_before_headers() -> Script:
    """Closes the connection in good order instead of answering."""
    return _connection_fault("close_before_headers", Close())


def hang_midway(*, events: int = 3) -> Script:
    """Falls silent after so many events (0 = after the headers); not streamed: after half of the body."""
    return _cut("hang_midway", events, Hang())


def reset_midway(*, events: int = 3) -> Script:
    """Drops the connection (RST) after so many events; not streamed: after half of the body."""
    return _cut("reset_midway", events, Reset())


def close_midway(*, events: int = 3) -> Script:
    """Closes in the middle of the body, its end mark not sent; not streamed: after half of the body."""
    return _cut("close_midway", events, Close())


def end_without_done(*, events: int | None = None) -> Script:
    """A body that ends well-formed but without `[DONE]`; with `events`, also without finish reason and usage."""

    def play(request: Request, identity: Identity) -> Steps:
        *pieces, _ = events_of(_ANSWER, request, identity)
        yield from stream(pieces if events is None else pieces[:events], identity)

    return Script("end_without_done", play)


def slow_drip(text: str = "slowly", *, bytes_at_once: int = 7, interval_seconds: float = 0.005) -> Script:
    """An answer in tiny writes, the headers included."""
    script = answer(text)

    def play(request: Request, identity: Identity) -> Steps:
        data = b"".join(step.data for step in script.play(request, identity) if isinstance(step, Write))
        for start in range(0, len(data), bytes_at_once):
            yield Write(data[start : start + bytes_at_once])
            yield Pause(interval_seconds)

    return Script("slow_drip", play)


# --- errors where none belong, and wrong kinds of answer


def error_with_ok(text: str = "The engine is currently overloaded.") -> Script:
    """Status 200 with an error body, a JSON one even when a stream was asked for."""

    def play(request: Request, identity: Identity) -> Steps:
        body = encode(error_body(request, identity, 503, message=text))
        yield Write(whole(200, [_JSON, *identity.headers()], body))

    return Script("error_with_ok", play)


def error_in_stream(*, events: int = 3, is_named: bool = False) -> Script:
    """An error object after so many ordinary events, then `[DONE]`; `is_named` puts `event: error` before it.

    In Responses it is `response.failed`, or a bare `error` event if `is_named`; in Messages it always has its name.
    """

    def play(request: Request, identity: Identity) -> Steps:
        errors = WRITERS[request.format].error_events(identity, "The server had an error.", is_named=is_named)
        yield from stream([*events_of(_ANSWER, request, identity)[:events], *errors], identity)

    return Script("error_in_stream", play)


def redirect(location: str, *, status: int = 307) -> Script:
    """A redirect to `location`."""

    def play(_: Request, identity: Identity) -> Steps:
        yield Write(whole(status, [("Location", location), *identity.headers()], b""))

    return Script("redirect", play)


def html_page(status: int = 200) -> Script:
    """What a proxy in front of a provider answers: a web page."""

    def play(_: Request, identity: Identity) -> Steps:
        page = f"<html><head><title>{identity.message('Just a moment...')}</title></head></html>".encode()
        yield Write(whole(status, [("Content-Type", "text/html"), *identity.headers()], page))

    return Script("html_page", play)


def not_http() -> Script:
    """Bytes that are no HTTP at all, then the end."""

    def play(_: Request, identity: Identity) -> Steps:
        yield Write(f"220 {identity.brand or 'mail'} ready\r\n".encode())
        yield Close()

    return Script("not_http", play)


def gzipped(text: str = "compressed") -> Script:
    """An answer with `Content-Encoding: gzip`, although nobody asked; streams are flushed event by event."""

    def play(request: Request, identity: Identity) -> Steps:
        encoding = ("Content-Encoding", "gzip")
        content = Answer(text=text)
        if not request.is_streamed:
            body = gzip.compress(body_of(content, request, identity))
            yield Write(whole(200, [_JSON, encoding, *identity.headers()], body))
            return
        headers = [
            ("Content-Type", "text/event-stream"),
            encoding,
            ("Transfer-Encoding", "chunked"),
            *identity.headers(),
        ]
        yield Write(head(200, headers))
        for event in events_of(content, request, identity):
            yield Write(framed(gzip.compress(event)))  # members of one gzip file may follow each other
        yield Write(LAST_FRAME)

    return Script("gzipped", play)


# --- usage


def usage_lie(usage: Usage) -> Script:
    """An answer that reports these counts, asked or not."""
    return Script("usage_lie", answer(like=Answer(usage=usage, is_usage_forced=True)).play)


def negative_usage() -> Script:
    """Counts below zero."""
    return usage_lie(Usage(prompt_tokens=-5, completion_tokens=-9, total_tokens=-14))


def huge_usage() -> Script:
    """Counts that fit no 64-bit column."""
    return usage_lie(Usage(prompt_tokens=2**70, completion_tokens=2**70, total_tokens=2**71))


def no_usage() -> Script:
    """Never any usage."""
    return Script("no_usage", answer(like=Answer(usage_reports=0)).play)


def duplicate_usage() -> Script:
    """The usage event twice."""
    return Script("duplicate_usage", answer(like=Answer(usage_reports=2, is_usage_forced=True)).play)


def usage_in_every_chunk() -> Script:
    """Usage that grows with every event, as some providers send it; the last one counts. Only in OpenAI's chunks."""

    def play(request: Request, identity: Identity) -> Steps:
        if request.format not in _CHUNKED:
            yield from answer(like=_ANSWER).play(request, identity)
            return
        events = [event for event in events_of(_ANSWER, request, identity) if event != DONE]
        pieces = [
            event[:-3] + b',"usage":' + encode(usage_payload(Usage(12, place, 12 + place), identity)) + b"}\n\n"
            for place, event in enumerate(events)
            if b'"choices":[]' not in event
        ]
        yield from stream([*pieces, DONE], identity)

    return Script("usage_in_every_chunk", play)


# --- malformed and merely unusual streams


def split_utf8(text: str = "Grüße, 世界 🙂") -> Script:
    """A stream written in pieces that cut letters, fields and line ends anywhere: one byte per write."""
    return _rewritten("split_utf8", Answer(text=text), lambda data: [data[i : i + 1] for i in range(len(data))])


def one_write(text: str = "all at once") -> Script:
    """The whole stream in one write."""
    return _rewritten("one_write", Answer(text=text), lambda data: [data])


def crlf(text: str = "two bytes end a line") -> Script:
    """Lines that end in CRLF."""
    return _rewritten("crlf", Answer(text=text), lambda data: [data.replace(b"\n", b"\r\n")])


def comments(text: str = "kept alive") -> Script:
    """Comment lines, empty events, ids and retry fields among the data, and no space after `data:`."""

    def play(request: Request, identity: Identity) -> Steps:
        pieces = [b": keep-alive\n\n"]
        for place, event in enumerate(events_of(Answer(text=text), request, identity)):
            pieces += [b":\n\nid: %d\nretry: 3000\n" % place + event.replace(b"data: ", b"data:", 1), b"\n\n"]
        yield from stream(pieces, identity)

    return Script("comments", play)


def data_after_done() -> Script:
    """More content after `[DONE]`, which nobody must see."""

    def play(request: Request, identity: Identity) -> Steps:
        late = events_of(Answer(text="AFTER-DONE"), request, identity)
        yield from stream([*events_of(_ANSWER, request, identity), *late], identity)

    return Script("data_after_done", play)


def giant_line(*, megabytes: float = 8.0) -> Script:
    """One event of so many megabytes (10^6 bytes), in writes of 64 KiB."""
    size = math.ceil(megabytes * 1_000_000)
    return _rewritten(
        "giant_line",
        Answer(text="x" * size, pieces=1),
        lambda data: [data[start : start + 65_536] for start in range(0, len(data), 65_536)],
    )


def invalid_json(*, events: int = 3) -> Script:
    """After so many events one whose data is cut off; not streamed: half of the body, with its own length."""

    def play(request: Request, identity: Identity) -> Steps:
        if not request.is_streamed:
            body = body_of(_ANSWER, request, identity)
            yield Write(whole(200, [_JSON, *identity.headers()], body[: len(body) // 2]))
            return
        pieces = events_of(_ANSWER, request, identity)
        pieces.insert(events, WRITERS[request.format].BROKEN)
        yield from stream(pieces, identity)

    return Script("invalid_json", play)


def odd_payload(payload: JsonObject) -> Script:
    """Valid JSON of a wrong shape, as body or as the only event before `[DONE]`."""

    def play(request: Request, identity: Identity) -> Steps:
        if request.is_streamed:
            yield from stream([sse(payload), *([DONE] if request.format in _CHUNKED else [])], identity)
        else:
            yield Write(whole(200, [_JSON, *identity.headers()], encode(payload)))

    return Script("odd_payload", play)


def _connection_fault(name: str, step: Step) -> Script:
    def play(_: Request, __: Identity) -> Steps:
        yield step

    return Script(name, play)


def _rewritten(name: str, content: Answer, rewrite: Callable[[bytes], list[bytes]]) -> Script:
    """The stream of `content`, joined, and cut or changed by `rewrite`; not streamed: an ordinary answer."""

    def play(request: Request, identity: Identity) -> Steps:
        if request.is_streamed:
            yield from stream(rewrite(b"".join(events_of(content, request, identity))), identity)
        else:
            yield from answer(like=content).play(request, identity)

    return Script(name, play)


def _cut(name: str, events: int, last: Step) -> Script:
    def play(request: Request, identity: Identity) -> Steps:
        if request.is_streamed:
            yield Write(stream_head(identity))
            for event in events_of(_ANSWER, request, identity)[:events]:
                yield Write(framed(event))
        else:
            data = whole(200, [_JSON, *identity.headers()], body_of(_ANSWER, request, identity))
            yield Write(data[: len(data) - 100])
        yield last

    return Script(name, play)
