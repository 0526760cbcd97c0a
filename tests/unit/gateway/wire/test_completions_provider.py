"""Completions as a provider's format: conversations as text, and text as an answer."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.canonical import (
    Counted,
    Delta,
    File,
    Finished,
    Image,
    Item,
    JsonSchema,
    Message,
    Prompt,
    Reasoning,
    Sampling,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.wire.completions.models import MAX_STOPS
from gateway.wire.completions.provider import DEFAULT_MAX_TOKENS, DIALECT, NEXT_TURN, CompletionsDecoder
from gateway.wire.crossing import Crossing, Written
from gateway.wire.lane import Target, Unservable, UnusableAnswer
from gateway.wire.usage import Usage

BRAND = "AcmeAI"
HI: tuple[Item, ...] = (Message("user", (Text("Hi"),)),)


class NoState:
    """A sealer that is never used: this format has no state."""

    def seal(self, state: str) -> str:
        raise AssertionError(state)

    def unseal(self, sealed: str) -> str | None:
        raise AssertionError(sealed)


def write(prompt: Prompt, target: Target | None = None, *, is_stream: bool = False) -> Written:
    return DIALECT.write_request(prompt, target or Target("theirs"), is_stream=is_stream, sealer=NoState())


def body(prompt: Prompt, target: Target | None = None, *, is_stream: bool = False) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(write(prompt, target, is_stream=is_stream).body)
    return sent


def test_a_conversation_is_a_transcript_that_the_assistant_goes_on_with() -> None:
    items = (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("Hi"), Text("there"))),
        Reasoning("hm", "sealed"),
        Message("assistant", (Text("Hello."),)),
        Message("developer", (Text("Be kind."),)),
        Message("user", (Text("Bye"),)),
    )
    assert body(Prompt(items)) == {
        "model": "theirs",
        "prompt": "Be brief.\n\nBe kind.\n\nUser: Hi\nthere\n\nAssistant: Hello.\n\nUser: Bye\n\nAssistant:",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "stop": [NEXT_TURN],
    }
    assert DIALECT.path == "/completions"


def test_a_stream_asks_for_usage() -> None:
    assert body(Prompt(HI), is_stream=True) == body(Prompt(HI)) | {
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_sampling_passes_and_what_has_no_place_is_named() -> None:
    sampling = Sampling(0.5, 0.9, 1, 2, 3, ("END",))
    written = write(Prompt(HI, sampling=sampling, reasoning_effort="low", verbosity="high"))
    sent = json.loads(written.body)
    assert sent["stop"] == ["END", NEXT_TURN]
    assert {name: sent[name] for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 1,
        "frequency_penalty": 2,
        "seed": 3,
    }
    assert written.ignored == ("reasoning_effort", "verbosity")


def test_no_provider_gets_more_stops_than_it_takes() -> None:
    stops = tuple("abcd")
    assert body(Prompt(HI, sampling=Sampling(stop=stops)))["stop"] == list(stops)
    assert len(stops) == MAX_STOPS


@pytest.mark.parametrize(
    ("asked", "cap", "sent"),
    [(None, None, DEFAULT_MAX_TOKENS), (9, None, 9), (None, 100, 100), (500, 100, 100), (9, 100, 9)],
)
def test_the_lower_cap_counts(asked: int | None, cap: int | None, sent: int) -> None:
    assert body(Prompt(HI, max_output_tokens=asked), Target("t", max_output_tokens=cap))["max_tokens"] == sent


def test_a_target_can_drop_and_rename_fields() -> None:
    target = Target("t", drop=("seed", "top_p"), rename={"max_tokens": "n_predict"})
    written = write(Prompt(HI, sampling=Sampling(seed=1)), target)
    assert json.loads(written.body).keys() == {"model", "prompt", "n_predict", "stop"}
    assert written.ignored == ("seed",)


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (Prompt(HI, tools=(Tool("f"),)), "tools"),
        (Prompt((*HI, ToolCall("c", "f", "{}"))), "messages"),
        (Prompt((*HI, ToolResult("c", (Text("x"),)))), "messages"),
        (Prompt((Message("user", (Image("https://x.example/a.png"),)),)), "messages"),
        (Prompt((Message("user", (File("data:application/pdf;base64,"),)),)), "messages"),
        (Prompt(HI, output="json_object"), "response_format"),
        (Prompt(HI, output=JsonSchema("a", {})), "response_format"),
    ],
)
def test_what_text_cannot_say_goes_to_another_target(prompt: Prompt, param: str) -> None:
    with pytest.raises(Unservable) as caught:
        write(prompt)
    assert caught.value.param == param


def event(text: str | None, **more: Any) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": more.pop("finish_reason", None), BRAND: BRAND}
    return b"data: " + json.dumps({"id": BRAND, "model": BRAND, "choices": [choice], **more}).encode() + b"\n\n"


def read(*texts: str, finish_reason: str | None = "stop") -> list[Delta]:
    decoder = CompletionsDecoder()
    events = [*(event(text) for text in texts), event("", finish_reason=finish_reason)]
    return [delta for raw in events for delta in decoder.feed(raw[6:-2])]


def test_text_is_told_without_the_space_around_it() -> None:
    assert read(" ", "\n Hel", "lo \n", "\n you", "\n") == [
        TextDelta("Hel"),
        TextDelta("lo"),
        TextDelta(" \n\n you"),
        Finished("stop"),
    ]
    assert read(finish_reason="length") == [Finished("length")]


def test_figures_may_follow_the_end_and_text_may_not() -> None:
    decoder = CompletionsDecoder()
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    raw = [event("Hi", finish_reason=f"{BRAND}_end"), event("ghost", finish_reason="length"), event(None, usage=usage)]
    deltas = [delta for one in raw for delta in decoder.feed(one[6:-2])]
    assert deltas == [TextDelta("Hi"), Finished("stop"), Counted(Usage(3, 0, 2, 0, is_plausible=True))]
    assert decoder.events == 3


@pytest.mark.parametrize(
    ("payload", "failure"),
    [
        (b"{", "malformed"),
        (b"\xff", "malformed"),
        (b"[" * 5000, "malformed"),
        (b'{"error": "x"}', "error_event"),
        (event("x", finish_reason="abort")[6:-2], "failed_finish"),
    ],
)
def test_a_provider_that_fails_is_noticed_and_heard_no_more(payload: bytes, failure: str) -> None:
    decoder = CompletionsDecoder()
    assert decoder.feed(payload) == []
    assert decoder.failure == failure
    assert decoder.feed(event("Hi")[6:-2]) == []


def whole(text: str | None, **more: Any) -> bytes:
    return event(text, **more)[6:-2]


def test_a_whole_completion_says_the_same_as_a_stream() -> None:
    raw = whole(" Hello. \n", finish_reason="length", usage={"prompt_tokens": 3, "completion_tokens": 2})
    deltas = DIALECT.read_whole(raw)
    assert deltas == [TextDelta("Hello."), Finished("length"), Counted(Usage(3, 0, 2, 0, is_plausible=True))]
    assert DIALECT.read_whole(whole(None)) == [Finished("stop")]
    assert BRAND not in repr(deltas)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"<html>", "malformed"),
        (b"{}", "no_choice"),
        (whole("x", error={}), "error_body"),
        (whole("x", finish_reason="error"), "failed_finish"),
    ],
)
def test_what_is_no_answer_is_a_failure(raw: bytes, reason: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        DIALECT.read_whole(raw)
    assert caught.value.reason == reason


class Recorder:
    """An encoder that writes down what it is given."""

    def feed(self, delta: Delta) -> bytes:
        return repr(delta).encode()

    def finish(self) -> bytes:
        return b"end"

    def fail(self, code: str, message: str) -> bytes:
        return code.encode() + message.encode()

    def heartbeat(self) -> bytes:
        return b""


def crossing() -> Crossing:
    return Crossing(DIALECT.decoder(), Recorder(), read_whole=DIALECT.read_whole, write_whole=lambda deltas: b"")


STREAM = event(" Hel") + event("lo").replace(b"\n", b"\r\n") + event(" \n") + event("", finish_reason="stop")
STREAM += b'data: {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\ndata: [DONE]\n\n'


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_split_of_the_providers_bytes_says_the_same(cuts: list[int]) -> None:
    answer = crossing()
    places = [0, *sorted(cuts), len(STREAM)]
    sent = b"".join(answer.feed(STREAM[begin:end]) for begin, end in itertools.pairwise(places))
    assert sent == crossing().feed(STREAM)
    assert BRAND.encode() not in sent
    assert (answer.is_done, answer.failure, answer.finish_reason) == (True, None, "stop")
    assert (answer.has_content, answer.usage) == (True, Usage(3, 0, 2, 0, is_plausible=True))


@given(st.lists(st.text(alphabet="ab \n\t", max_size=4), max_size=8))
def test_the_text_is_the_same_however_it_is_cut(pieces: list[str]) -> None:
    told = "".join(delta.text for delta in read(*pieces) if isinstance(delta, TextDelta))
    assert told == "".join(pieces).strip()


_odd = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just([]), st.just({}))
_choices = st.fixed_dictionaries(
    {}, optional={"index": st.integers(0, 1), "text": _odd, "finish_reason": _odd, "logprobs": _odd}
)
_chunks = st.fixed_dictionaries(
    {}, optional={"choices": st.one_of(_odd, st.lists(_choices, max_size=2)), "usage": _odd, "error": _odd}
)
_payloads = st.one_of(
    _chunks.map(lambda value: json.dumps(value).encode()), _odd.map(json.dumps).map(str.encode), st.binary(max_size=20)
)


@given(st.lists(_payloads, max_size=8))
def test_no_payload_makes_a_decoder_fall_over(raw: list[bytes]) -> None:
    decoder = CompletionsDecoder()
    deltas = [delta for payload in raw for delta in decoder.feed(payload)]
    assert sum(isinstance(delta, Finished) for delta in deltas) <= 1


@given(_payloads)
def test_no_body_makes_the_reader_of_whole_answers_fall_over(raw: bytes) -> None:
    try:
        deltas = DIALECT.read_whole(raw)
    except UnusableAnswer:
        return
    assert any(isinstance(delta, Finished) for delta in deltas)
