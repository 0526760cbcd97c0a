"""Responses requests: what is refused, what is ignored by name, what a request says of itself."""

import json
from typing import Any

import pytest

from gateway.wire.canonical import JsonSchema, Message, Sampling, Text
from gateway.wire.lane import UnusableRequest
from gateway.wire.responses.decode import (
    MAX_ITEMS,
    SUMMARY_REQUEST,
    from_responses_request,
    lost_in_crossing,
    to_prompt,
    with_history,
    with_items,
)
from gateway.wire.responses.history import answered_calls

CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
USER = {"role": "user", "content": "Hi"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "smart-route", "input": "Hi", **fields}).encode()


def refusal(raw: bytes) -> tuple[str, str | None]:
    with pytest.raises(UnusableRequest) as caught:
        from_responses_request(raw)
    return caught.value.code, caught.value.param


def test_a_string_is_one_message_of_the_user() -> None:
    request = from_responses_request(body())
    assert request.input_items == (
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    )
    prompt, _ = to_prompt(request)
    assert prompt.items == (Message("user", (Text("Hi"),)),)
    assert (prompt.tools, prompt.tool_choice, prompt.has_parallel_calls, prompt.output) == ((), None, None, "text")


def test_a_request_says_what_it_is() -> None:
    request = from_responses_request(
        body(stream=True, store=False, prompt_cache_key="session", include=["reasoning.encrypted_content"], user=None)
    )
    assert (request.endpoint, request.model, request.is_stream) == ("responses", "smart-route", True)
    assert (request.stores, request.session_key, request.wants_sealed) == (False, "session", True)
    assert set(request.fields) == {"model", "input", "stream", "store", "prompt_cache_key", "include"}
    plain = from_responses_request(body())
    assert (plain.is_stream, plain.stores, plain.session_key, plain.wants_sealed) == (False, True, None, False)
    assert (plain.previous_response_id, plain.compacts, plain.answered_calls, plain.ignored) == (None, False, (), ())


def test_null_is_as_good_as_absent() -> None:
    request = from_responses_request(body(instructions=None, tools=None, conversation=None, metadata=None, text=None))
    assert request.raw == {"model": "smart-route", "input": "Hi"}


def test_instructions_come_first_and_sampling_is_translated() -> None:
    asked = body(
        instructions="Be brief.",
        temperature=0.5,
        top_p=1,
        stop="END",
        seed=7,
        max_output_tokens=100,
        reasoning={"effort": "high", "summary": "auto"},
        text={"verbosity": "low", "format": {"type": "json_object"}},
    )
    prompt, _ = to_prompt(from_responses_request(asked))
    assert prompt.items[0] == Message("system", (Text("Be brief."),))
    assert prompt.sampling == Sampling(temperature=0.5, top_p=1, seed=7, stop=("END",))
    assert (prompt.max_output_tokens, prompt.reasoning_effort) == (100, "high")
    assert (prompt.verbosity, prompt.output) == ("low", "json_object")


def test_a_schema_for_the_answer_is_kept_whole() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/x"}}}
    text = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}
    prompt, _ = to_prompt(from_responses_request(body(text=text)))
    assert prompt.output == JsonSchema("answer", schema, None, True)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": ""}, "invalid_value", "model"),
        ({"model": None}, "missing_required_parameter", "model"),
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": []}, "invalid_value", "input"),
        ({"input": 5}, "invalid_value", "input"),
        ({"input": ["Hi"]}, "invalid_value", "input[0]"),
        ({"input": [USER] * (MAX_ITEMS + 1)}, "invalid_value", "input"),
        ({"background": True}, "unsupported_value", "background"),
        ({"conversation": "conv_1"}, "unsupported_parameter", "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "unsupported_parameter", "prompt"),
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"max_output_tokens": 0}, "invalid_value", "max_output_tokens"),
        ({"truncation": "sometimes"}, "unsupported_value", "truncation"),
        ({"text": {"format": {"type": "xml"}}}, "unsupported_value", "text.format.type"),
        (
            {"text": {"format": {"type": "json_schema", "name": "a"}}},
            "missing_required_parameter",
            "text.format.schema",
        ),
        ({"metadata": {str(n): "x" for n in range(17)}}, "invalid_value", "metadata"),
        ({"metadata": {"a": 1}}, "invalid_value", "metadata[...]"),
        ({"metadata": {"a" * 65: "x"}}, "invalid_value", "metadata"),
        ({"tools": [{"name": "f"}]}, "missing_required_parameter", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
        ({"tool_choice": "sometimes"}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "g"}, "tools": [FUNCTION]}, "invalid_value", "tool_choice"),
        ({"include": "all"}, "invalid_value", "include"),
        ({"previous_response_id": ""}, "invalid_value", "previous_response_id"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    assert refusal(body(**fields)) == (code, param)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"model": NaN}', b"[" * 9000, b'{"a":1e999}'])
def test_a_body_that_is_no_object_is_refused(raw: bytes) -> None:
    code, param = refusal(raw)
    assert code in ("invalid_json", "invalid_value", "missing_required_parameter")
    assert param in (None, "model")


def test_a_body_has_a_greatest_depth() -> None:
    deep = '{"model": "m", "input": "Hi", "a": ' + "[" * 63 + "]" * 63 + "}"
    assert from_responses_request(deep.encode()).ignored == ("a",)
    assert refusal(deep.replace("[]", "[[]]").encode()) == ("invalid_json", None)


def test_a_refusal_quotes_no_value() -> None:
    secret = "ssecret"
    for fields in (
        {"truncation": secret},
        {"metadata": {secret * 20: "x"}},
        {"input": [{"role": secret, "content": "x"}]},
        {"input": [{"role": "user", "content": [{"type": secret}]}]},
        {"tool_choice": {"type": "function", "name": secret}},
    ):
        with pytest.raises(UnusableRequest) as caught:
            from_responses_request(body(**fields))
        assert secret not in caught.value.message
        assert secret not in str(caught.value.param)


def test_what_has_no_effect_is_named() -> None:
    request = from_responses_request(
        body(
            service_tier="flex",
            user="u",
            safety_identifier="s",
            client_metadata={"turn_id": "1"},
            stream_options={"include_obfuscation": True},
            metadata={"kept": "yes"},
            prompt_cache_key="kept",
            api_base="http://elsewhere",
            top_k=5,
            **{"not printable\n": 1},
        )
    )
    assert sorted(request.ignored) == [
        "api_base",
        "client_metadata",
        "safety_identifier",
        "service_tier",
        "stream_options",
        "user",
    ]


def test_what_only_a_target_of_this_format_may_know_is_named_for_the_others() -> None:
    request = from_responses_request(
        body(
            input=[USER, {"type": "web_search_call", "id": "ws_1", "action": {"query": "x"}}, USER],
            truncation="auto",
            max_tool_calls=3,
            top_logprobs=2,
            include=["reasoning.encrypted_content", "file_search_call.results", "message.output_text.logprobs"],
            tools=[FUNCTION, {"type": "web_search"}, {"type": "web_search"}, {"type": "mcp", "server_label": "x"}],
            tool_choice={"type": "web_search_preview"},
            reasoning={"effort": "colossal"},
        )
    )
    assert request.ignored == ()
    assert sorted(lost_in_crossing(request)) == [
        "include.file_search_call.results",
        "include.message.output_text.logprobs",
        "input.web_search_call",
        "max_tool_calls",
        "reasoning.effort",
        "tool_choice",
        "tools.mcp",
        "tools.web_search",
        "top_logprobs",
        "truncation",
    ]
    prompt, _ = to_prompt(request)
    assert (prompt.reasoning_effort, prompt.tool_choice, [tool.name for tool in prompt.tools]) == (None, "auto", ["f"])


def test_what_is_the_default_anyway_is_not_named() -> None:
    request = from_responses_request(
        body(
            truncation="disabled",
            service_tier="auto",
            stream_options={},
            background=False,
            text={},
            include=[],
            top_logprobs=0,
        )
    )
    assert (request.ignored, lost_in_crossing(request)) == ((), ())


# --- which calls are answered


def test_results_after_the_last_output_of_the_assistant_answer_its_calls() -> None:
    second = [{**CALL, "call_id": "call_2"}, {**OUTPUT, "call_id": "call_2"}]
    both = [USER, CALL, second[0], OUTPUT, second[1]]
    assert from_responses_request(body(input=both)).answered_calls == ("call_1", "call_2")
    one_by_one = [USER, CALL, OUTPUT, *second]
    assert from_responses_request(body(input=one_by_one)).answered_calls == ("call_2",)


@pytest.mark.parametrize(
    "items",
    [
        [USER],
        [USER, CALL, OUTPUT, USER],
        [USER, CALL, USER, OUTPUT],
        [USER, CALL, OUTPUT, {"role": "developer", "content": "x"}],
        [USER, CALL, OUTPUT, {"role": "assistant", "content": "x"}],
        [USER, CALL, OUTPUT, {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}],
        [CALL, OUTPUT, {"type": "ghost_snapshot"}],
    ],
)
def test_anything_beside_results_answers_no_call(items: list[dict[str, Any]]) -> None:
    assert from_responses_request(body(input=items)).answered_calls == ()


@pytest.mark.parametrize(
    ("call", "output", "answered"),
    [
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
            ("c",),
        ),
        (
            {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"], "env": {}}},
            {"type": "local_shell_call_output", "id": "c", "output": "x"},
            ("c",),
        ),
        (
            {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"query": "x"}},
            {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": []},
            ("c",),
        ),
        (
            {"type": "tool_search_call", "execution": "server", "arguments": {"query": "x"}},
            {"type": "tool_search_output", "execution": "server", "tools": []},
            (),
        ),
    ],
)
def test_every_kind_of_result_counts_if_it_names_its_call(
    call: dict[str, Any], output: dict[str, Any], answered: tuple[str, ...]
) -> None:
    assert from_responses_request(body(input=[USER, call, output])).answered_calls == answered


def test_results_alone_answer_the_calls_of_the_previous_response_only() -> None:
    with_previous = body(input=[OUTPUT], previous_response_id="resp_1")
    assert from_responses_request(with_previous).answered_calls == ("call_1",)
    assert refusal(body(input=[OUTPUT])) == ("invalid_value", "input[0].call_id")
    assert answered_calls([OUTPUT]) == ()


# --- history


def test_a_previous_response_comes_before_the_own_input_without_its_instructions() -> None:
    request = from_responses_request(body(input=[OUTPUT], previous_response_id="resp_1", instructions="New."))
    whole = with_history(request, [USER], [CALL])
    assert whole.input_items == (USER, CALL, OUTPUT)
    assert (whole.answered_calls, whole.previous_response_id) == (("call_1",), "resp_1")
    assert whole.raw["input"] == [USER, CALL, OUTPUT]
    assert "previous_response_id" not in whole.raw
    assert whole.echo["previous_response_id"] == "resp_1"
    prompt, _ = to_prompt(whole)
    assert [type(item).__name__ for item in prompt.items] == ["Message", "Message", "ToolCall", "ToolResult"]


def test_a_previous_response_alone_is_enough_input() -> None:
    request = from_responses_request(json.dumps({"model": "m", "previous_response_id": "resp_1"}).encode())
    prompt, _ = to_prompt(with_history(request, [USER], [{"type": "message", "role": "assistant", "content": "x"}]))
    assert len(prompt.items) == 2


def test_the_place_of_a_fault_is_one_in_the_own_input() -> None:
    request = from_responses_request(body(input=[USER, OUTPUT], previous_response_id="resp_1"))
    with pytest.raises(UnusableRequest) as caught:
        to_prompt(with_history(request, [USER], []))
    assert caught.value.param == "input[1].call_id"
    request = from_responses_request(body(input=[USER], previous_response_id="resp_1"))
    with pytest.raises(UnusableRequest) as caught:
        to_prompt(with_history(request, [USER], [CALL]))
    assert caught.value.param == "previous_response_id"


def test_history_and_input_together_have_a_limit() -> None:
    request = from_responses_request(body(previous_response_id="resp_1"))
    with pytest.raises(UnusableRequest):
        with_history(request, [USER] * MAX_ITEMS, [])


def test_references_are_replaced_by_what_is_stored() -> None:
    items = [USER, {"type": "item_reference", "id": "fc_1"}, OUTPUT]
    request = from_responses_request(body(input=items))
    assert (request.references, request.answered_calls) == (("fc_1",), ())
    with pytest.raises(UnusableRequest) as caught:
        to_prompt(request)
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "input[1]")
    assert with_items(request, {}).references == ("fc_1",)
    whole = with_items(request, {"fc_1": CALL})
    assert (whole.references, whole.answered_calls, whole.raw["input"]) == ((), ("call_1",), [USER, CALL, OUTPUT])
    assert len(to_prompt(whole)[0].items) == 3


def test_a_reference_needs_no_type() -> None:
    assert from_responses_request(body(input=[USER, {"id": "msg_1"}])).references == ("msg_1",)


# --- compaction


def test_a_trigger_at_the_end_asks_for_a_summary_and_no_call() -> None:
    items = [USER, CALL, OUTPUT, {"type": "compaction_trigger"}]
    request = from_responses_request(body(input=items, tools=[FUNCTION], tool_choice="auto"))
    assert request.compacts
    prompt, _ = to_prompt(request)
    assert prompt.items[-1] == Message("user", (Text(SUMMARY_REQUEST),))
    assert (prompt.tool_choice, len(prompt.tools)) == ("none", 1)
    assert refusal(body(input=[{"type": "compaction_trigger"}, USER])) == ("invalid_value", "input[0]")


def test_a_summary_of_ours_comes_back_as_a_message() -> None:
    request = from_responses_request(body(input=[{"type": "compaction", "encrypted_content": "sealed"}, USER]))
    prompt, _ = to_prompt(request, unseal_compaction={"sealed": "They said hello."}.get)
    first = prompt.items[0]
    assert isinstance(first, Message)
    assert isinstance(first.parts[0], Text)
    assert first.role == "user"
    assert "They said hello." in first.parts[0].text
    with pytest.raises(UnusableRequest) as caught:
        to_prompt(request, unseal_compaction=lambda sealed: None)
    assert caught.value.param == "input[0].encrypted_content"
