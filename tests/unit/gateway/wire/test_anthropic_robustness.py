"""Answers of the Messages API, however they come: cut anywhere, broken off, made of anything; no brand gets through."""

import itertools
import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.anthropic.decode import from_message
from gateway.wire.anthropic.provider import DIALECT
from gateway.wire.anthropic.stream import MessagesDecoder
from gateway.wire.canonical import CallBegun, CallDelta, Counted, Delta, Finished, TextDelta
from gateway.wire.crossing import Crossing
from gateway.wire.lane import UnusableAnswer
from gateway.wire.usage import Usage
from tests.unit.gateway.wire.anthropic_events import (
    BRAND,
    MESSAGE_START,
    PING,
    USAGE,
    call,
    delta,
    ending,
    event,
    start,
    text,
    thoughts,
)


class Recorder:
    """An encoder that writes down what it is given."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    def feed(self, delta: Delta) -> bytes:
        self.deltas.append(delta)
        return repr(delta).encode() + b"\n"

    def finish(self) -> bytes:
        return b"end"

    def fail(self, code: str, message: str) -> bytes:
        return code.encode() + message.encode()

    def heartbeat(self) -> bytes:
        return b""


def crossing() -> Crossing:
    return Crossing(
        DIALECT.decoder(), Recorder(), read_whole=DIALECT.read_whole, write_whole=lambda deltas: repr(deltas).encode()
    )


def whole_stream() -> bytes:
    smile = delta(2, "text_delta", text="?").decode().replace("?", "Grüße 🙂").encode()
    return (
        MESSAGE_START
        + thoughts(0)
        + PING
        + (start(2, type="text") + smile).replace(b"\n", b"\r\n")
        + call(3, "f", '{"a":', "1}")
        + ending("tool_use", output_tokens=9)
    )


@given(st.lists(st.integers(0, len(whole_stream())), max_size=30))
def test_any_split_of_the_providers_bytes_says_the_same(cuts: list[int]) -> None:
    raw = whole_stream()
    expected = crossing()
    whole = expected.feed(raw)
    answer = crossing()
    places = [0, *sorted(cuts), len(raw)]
    assert b"".join(answer.feed(raw[begin:end]) for begin, end in itertools.pairwise(places)) == whole
    for read_one in (expected, answer):
        assert (read_one.is_done, read_one.failure, read_one.finish_reason) == (True, None, "tool_calls")
        assert read_one.has_content
        assert read_one.usage == Usage(115, 100, 9, 0, is_plausible=True)
    assert BRAND.encode() not in whole


def test_an_error_event_after_content_is_a_failure_and_the_content_is_kept() -> None:
    answer = crossing()
    sent = answer.feed(text(0, "Hi") + event("error", error={"type": "overloaded_error", "message": BRAND}))
    assert (sent, answer.failure) == (repr(TextDelta("Hi")).encode() + b"\n", "error_event")


def test_a_stream_that_breaks_off_is_noticed() -> None:
    answer = crossing()
    answer.feed(MESSAGE_START + text(0, "Hi"))
    answer.end()
    assert answer.failure == "truncated"


_figures = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
_odd: st.SearchStrategy[Any] = st.one_of(st.none(), st.booleans(), _figures, st.text(max_size=5), st.just([]))
_words = st.sampled_from(["Hi", "{", "c2ln", "end_turn", "tool_use", "text", "thinking", "redacted_thinking"])
_kinds = st.sampled_from(["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "odd"])
_block = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use"])},
    optional={name: _words for name in ("text", "thinking", "signature", "data", "name")}
    | {"input": st.one_of(_odd, st.dictionaries(st.text(max_size=3), _odd, max_size=2))},
)
_delta = st.fixed_dictionaries(
    {"type": _kinds},
    optional={name: _words for name in ("text", "thinking", "signature", "partial_json", "stop_reason")},
)
_usage = st.fixed_dictionaries({}, optional=dict.fromkeys(USAGE, _figures))
_likely = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["content_block_start", "content_block_delta", "content_block_stop", "message_start", "message_delta"]
        )
    },
    optional={
        "index": st.integers(0, 2),
        "content_block": _block,
        "delta": _delta,
        "usage": _usage,
        "message": st.fixed_dictionaries({}, optional={"usage": _usage, "content": st.lists(_block, max_size=2)}),
    },
)
_json = st.one_of(_likely, st.dictionaries(st.sampled_from(["type", "index", "delta", "usage", "error"]), _odd), _odd)
_payloads = st.one_of(_json.map(lambda value: json.dumps(value).encode()), st.binary(max_size=20))


@given(st.lists(_payloads, max_size=12))
def test_no_payload_makes_a_decoder_fall_over_and_what_it_says_is_in_order(raw: list[bytes]) -> None:
    decoder = MessagesDecoder()
    deltas = [told for payload in raw for told in decoder.feed(payload)]
    begun = [told.place for told in deltas if isinstance(told, CallBegun)]
    assert begun == list(range(len(begun)))
    for place, told in enumerate(deltas):
        if isinstance(told, CallDelta):
            assert CallBegun in {type(before) for before in deltas[:place]}
            assert told.place in begun
        elif isinstance(told, Finished):
            assert all(isinstance(after, Counted) for after in deltas[place + 1 :])


@given(st.lists(_block, max_size=6), _words, _usage)
def test_every_message_of_known_blocks_can_be_read(blocks: list[Any], stop_reason: str, usage: Any) -> None:
    body = json.dumps({"type": "message", "content": blocks, "stop_reason": stop_reason, "usage": usage}).encode()
    deltas = from_message(body)
    assert [type(told) for told in deltas[-2:]] == [Finished, Counted]
    arguments = [told.arguments for told in deltas if isinstance(told, CallDelta)]
    assert all(isinstance(json.loads(text), dict) for text in arguments)


@given(_payloads)
def test_no_body_makes_the_reader_of_whole_answers_fall_over(raw: bytes) -> None:
    with suppress(UnusableAnswer):
        assert any(isinstance(told, Finished) for told in from_message(raw))
