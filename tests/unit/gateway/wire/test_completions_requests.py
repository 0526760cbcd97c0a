"""Completion requests: what is refused, what a completions target gets, what others get."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from gateway.wire.canonical import Message, Prompt, Sampling, Text
from gateway.wire.completions.decode import from_completions_request, to_prompt
from gateway.wire.completions.lanes import open_completions_lane
from gateway.wire.completions.passthrough import CompletionsPassage
from gateway.wire.completions.provider import CompletionsDecoder, from_completion
from gateway.wire.crossing import Crossing, Dialect, Written
from gateway.wire.lane import Identity, Lane, ProviderFormat, Sealer, Target, Unservable, UnusableRequest

IDENTITY = Identity(UUID(int=1), "smart-route-mini", 7)
PROMPT = "Once upon a time"


class NoState:
    """A sealer that is never used: nobody thinks here."""

    def seal(self, state: str) -> str:
        raise AssertionError(state)

    def unseal(self, sealed: str) -> str | None:
        raise AssertionError(sealed)


def write_canonical(prompt: Prompt, target: Target, *, is_stream: bool, sealer: Sealer) -> Written:
    """Another format in its simplest form: the prompt is shown."""
    return Written(repr((prompt, target.model, is_stream)).encode(), ignored=("seed",))


DIALECTS: Mapping[ProviderFormat, Dialect] = {
    "chat": Dialect("/other", write_canonical, CompletionsDecoder, from_completion, headers={"x": "y"})
}


def mint(place: int) -> str:
    return f"call_{place}"


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "smart-route", "prompt": PROMPT, **fields}).encode()


def lane(raw: bytes, target: Target) -> Lane:
    return open_completions_lane(from_completions_request(raw), target, IDENTITY, mint, NoState(), dialects=DIALECTS)


def sent(raw: bytes, target: Target | None = None) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(lane(raw, target or Target("theirs", "completions")).body)
    return decoded


def test_a_request_says_of_itself_what_admits_it() -> None:
    request = from_completions_request(
        body(stream=True, stream_options={"include_usage": True}, user="u", max_tokens=5)
    )
    assert (request.endpoint, request.model, request.is_stream, request.wants_usage) == (
        "completions",
        "smart-route",
        True,
        True,
    )
    assert (request.answered_calls, request.session_key, request.ignored) == ((), None, ("user",))
    assert set(request.fields) == {"prompt", "max_tokens"}


def test_the_model_is_replaced_and_the_prompt_passes() -> None:
    assert sent(body()) == {"model": "theirs", "prompt": PROMPT}
    assert sent(body(prompt=[PROMPT])) == {"model": "theirs", "prompt": PROMPT}
    assert sent(body(prompt="")) == {"model": "theirs", "prompt": ""}
    assert lane(body(), Target("t", "completions")).path == "/completions"


@pytest.mark.parametrize(
    "fields",
    [
        {"suffix": "The end.", "echo": True, "max_tokens": 5, "logprobs": 3},
        {"temperature": 0.5, "top_p": 1, "seed": 7, "stop": ["a"], "logit_bias": {"50256": -100}},
        {"presence_penalty": -2, "frequency_penalty": 2.0, "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1},
    ],
)
def test_the_documented_fields_are_passed_on_to_a_completions_target(fields: dict[str, Any]) -> None:
    assert sent(body(**fields)) == {"model": "theirs", "prompt": PROMPT, **fields}


def test_a_stream_always_asks_the_provider_for_usage() -> None:
    assert sent(body(stream=True)) == sent(body()) | {"stream": True, "stream_options": {"include_usage": True}}


def test_what_would_identify_people_or_steer_a_provider_stays_here_and_is_named() -> None:
    raw = body(user="u", safety_identifier="s", models=["x"], api_base="http://x", n=1, best_of=1, suffix=None)
    assert sent(raw) == sent(body())
    assert from_completions_request(raw).ignored == ("user", "safety_identifier", "models", "api_base")
    assert from_completions_request(body(**{"a\r\nb": 1, "x" * 65: 1})).ignored == ()


@pytest.mark.parametrize(("fields", "tokens"), [({}, 100), ({"max_tokens": 500}, 100), ({"max_tokens": 50}, 50)])
def test_a_targets_cap_lowers_what_the_client_asked(fields: dict[str, Any], tokens: int) -> None:
    assert sent(body(**fields), Target("t", "completions", max_output_tokens=100))["max_tokens"] == tokens


def test_a_target_can_drop_and_rename_fields_and_what_is_dropped_is_named() -> None:
    target = Target("t", "completions", drop=("seed", "absent"), rename={"max_tokens": "n_predict"})
    opened = lane(body(seed=1, max_tokens=9), target)
    assert json.loads(opened.body) == {"model": "t", "prompt": PROMPT, "n_predict": 9}
    assert opened.ignored == ("seed",)


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b'{"model": "m", "prompt": "\xff"}', "invalid_json", None),
        (b'{"model": "m", "prompt": ["\\ud800"]}', "invalid_json", None),
        (b'{"a":' + b"[" * 65 + b"]" * 65 + b"}", "invalid_json", None),
        (b"[]", "invalid_value", None),
        (b'{"prompt": "x"}', "missing_required_parameter", "model"),
        (b'{"model": "m"}', "missing_required_parameter", "prompt"),
        (body(prompt=None), "invalid_value", "prompt"),
        (body(prompt=7), "invalid_value", "prompt"),
        (body(prompt=[]), "unsupported_value", "prompt"),
        (body(prompt=["a", "b"]), "unsupported_value", "prompt"),
        (body(prompt=[1]), "unsupported_value", "prompt"),
        (body(prompt=[1, 2, 3]), "unsupported_value", "prompt"),
        (body(prompt=[[1, 2]]), "unsupported_value", "prompt"),
        (body(n=2), "unsupported_value", "n"),
        (body(best_of=3), "unsupported_value", "best_of"),
        (body(max_tokens=0), "invalid_value", "max_tokens"),
        (body(temperature=3), "invalid_value", "temperature"),
        (body(stop=["a"] * 5), "invalid_value", "stop"),
        (body(logprobs=True), "invalid_value", "logprobs"),
        (body(echo="yes"), "invalid_value", "echo"),
        (body(suffix=["x"]), "invalid_value", "suffix"),
    ],
)
def test_a_request_that_cannot_be_served_says_where_and_why(raw: bytes, code: str, param: str | None) -> None:
    with pytest.raises(UnusableRequest) as caught:
        from_completions_request(raw)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.message


def test_for_another_format_the_prompt_is_one_message_of_the_user() -> None:
    raw = body(temperature=0.5, top_p=0.9, presence_penalty=1, frequency_penalty=2, seed=3, stop="END", max_tokens=9)
    assert to_prompt(from_completions_request(raw)) == Prompt(
        (Message("user", (Text(PROMPT),)),), max_output_tokens=9, sampling=Sampling(0.5, 0.9, 1, 2, 3, ("END",))
    )
    assert to_prompt(from_completions_request(body(stop=["a", "", "b"]))).sampling.stop == ("a", "b")


def test_a_target_of_another_format_is_reached_across_the_canonical_model() -> None:
    request = body(stream=True, logprobs=1, logit_bias={}, top_k=3, seed=1, user="u")
    opened = lane(request, Target("theirs", "chat"))
    expected = to_prompt(from_completions_request(request))
    assert opened.body == repr((expected, "theirs", True)).encode()
    assert (opened.path, opened.headers, opened.ignored) == (
        "/other",
        {"x": "y"},
        ("seed", "logprobs", "logit_bias", "top_k"),
    )
    assert isinstance(opened.answer, Crossing)
    assert isinstance(lane(body(), Target("t", "completions")).answer, CompletionsPassage)


def test_only_a_completions_target_fills_in_a_middle() -> None:
    with pytest.raises(Unservable) as caught:
        lane(body(suffix="The end."), Target("t", "chat"))
    assert caught.value.param == "suffix"
    assert lane(body(suffix=""), Target("t", "chat")).path == "/other"


def test_an_echo_is_wanted_only_by_who_asks_for_it() -> None:
    assert [from_completions_request(body(echo=echo)).echo for echo in (True, False, None)] == [PROMPT, "", ""]
