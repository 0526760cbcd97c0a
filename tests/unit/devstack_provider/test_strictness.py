"""A strict provider refuses what a real one would, says why, and lets everything else through."""

from typing import Any

import pytest

from devstack.provider import Answer, Provider, ToolCall, scripts
from tests.unit.devstack_provider.callers import HEADERS, PATHS, Json, ask, post

OBJECT: Json = {"type": "object", "properties": {}}
USER: Json = {"role": "user", "content": "hi"}
LONG = "x" * 65


def call(call_id: object = "c1", name: str = "look", arguments: str = "{}") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: Json, **fields: object) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **fields}


def result(call_id: str = "c1") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": "r"}


def chat_tool(name: str = "look", **fields: object) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": OBJECT, **fields}}


def say(*content: Json, role: str = "user") -> Json:
    return {"role": role, "content": list(content)}


CHAT_FINE: list[Json] = [
    {"messages": [{"role": "system", "content": "be"}, USER, calling(call()), result(), USER]},
    {"messages": [USER, calling(call("a"), call("b")), result("b"), result("a")], "tools": [chat_tool()]},
    {"messages": [say({"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:"}})]},
    {"tools": [chat_tool(), chat_tool("b")], "tool_choice": {"type": "function", "function": {"name": "b"}}},
    {"stream": True, "stream_options": {"include_usage": True}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": OBJECT}}, "max_tokens": 5},
    {"messages": [USER, {"role": "assistant", "content": "a", "reasoning_content": "hm"}, USER]},
]
CHAT_WRONG: list[tuple[Json, str]] = [
    ({"messages": [USER, {"role": "system", "content": "late"}]}, "one message of instructions"),
    ({"messages": [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER]}, "one message of"),
    ({"messages": [{"role": "developer", "content": "a"}, USER]}, "'developer' is not allowed"),
    ({"messages": [{"role": "robot", "content": "a"}]}, "'robot' is not allowed"),
    ({"messages": []}, "one at least"),
    ({"messages": ["hi"]}, "list of objects"),
    ({"messages": [USER, result()]}, "answers no call"),
    ({"messages": [USER, calling(call()), USER, result()]}, "are not answered"),
    ({"messages": [USER, calling(call())]}, "at the end are not answered"),
    ({"messages": [USER, calling(call("a"), call("b")), result("a"), USER]}, "not answered: ['b']"),
    ({"messages": [USER, calling(call()), result(), result()]}, "answers no call"),
    ({"messages": [USER, calling(call("a"), call("a")), result("a")]}, "'a' comes twice"),
    ({"messages": [USER, calling(call(LONG)), result(LONG)]}, "1 to 64 characters"),
    ({"messages": [USER, calling(call(name="a.b")), result()]}, "'a.b' does not match"),
    ({"messages": [USER, calling(call(arguments="{")), result()]}, "JSON text of an object"),
    ({"messages": [USER, calling(call(arguments="[]")), result()]}, "JSON text of an object"),
    ({"messages": [USER, calling()]}, "one call at least"),
    ({"messages": [USER, {"role": "assistant", "content": None}]}, "required without tool_calls"),
    ({"messages": [say({"type": "input_text", "text": "x"})]}, "'input_text' is none of"),
    ({"messages": [say({"type": "image_url", "image_url": "data:"})]}, "image_url: required"),
    ({"messages": [say({"type": "image_url", "image_url": {}}, role="tool")]}, "'image_url' is none of"),
    ({"messages": [say()]}, "a string or a list of parts"),
    ({"messages": [{**USER, "id": "msg_1"}]}, "messages[0].id: unknown parameter"),
    ({"input": "hi"}, "input: unknown parameter"),
    ({"tools": []}, "one tool at least"),
    ({"tools": [chat_tool("mcp.search")]}, "does not match"),
    ({"tools": [chat_tool(LONG)]}, "does not match"),
    ({"tools": [chat_tool(), chat_tool()]}, "'look' comes twice"),
    ({"tools": [chat_tool(parameters={})]}, "JSON Schema of type object"),
    ({"tools": [{"type": "function", "name": "look", "parameters": OBJECT}]}, "tools[0].name: unknown"),
    ({"tools": [{"type": "namespace", "name": "look"}]}, "'namespace' is not allowed"),
    ({"tools": [chat_tool()], "tool_choice": {"type": "function", "function": {"name": "b"}}}, "'b' is not among"),
    ({"tools": [chat_tool()], "tool_choice": {"type": "function", "name": "look"}}, "None is not among"),
    ({"tools": [chat_tool()], "tool_choice": "any"}, "'any' is not allowed"),
    ({"tool_choice": "auto"}, "only allowed when tools"),
    ({"parallel_tool_calls": True}, "only allowed when tools"),
    ({"stream_options": {"include_usage": True}}, "only allowed with stream"),
    ({"max_tokens": 5, "max_completion_tokens": 5}, "together with"),
    ({"max_tokens": 0}, "max_tokens: expected a number"),
    ({"temperature": 3}, "temperature: expected a number"),
    ({"response_format": {"type": "grammar"}}, "'grammar' is not allowed"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "json_schema.name"),
    ({"model": ""}, "model: required"),
]

FUNCTION: Json = {"type": "function", "name": "look", "parameters": OBJECT, "strict": False}
CALLED: Json = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
OUTPUT: Json = {"type": "function_call_output", "call_id": "c1", "output": "r"}
PATCHED: Json = {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "x"}
PATCH_OUTPUT: Json = {
    "type": "custom_tool_call_output",
    "call_id": "c2",
    "output": [{"type": "input_text", "text": "r"}],
}
SEARCH: Json = {"type": "namespace", "name": "mcp__docs", "tools": [{**FUNCTION, "name": "search"}]}

RESPONSES_FINE: list[Json] = [
    {"input": [{**USER, "id": "msg_own"}, CALLED, PATCHED, PATCH_OUTPUT, OUTPUT, USER], "instructions": "be"},
    {
        "input": [
            say({"type": "input_image", "image_url": "data:"}),
            say({"type": "output_text", "text": "x"}, role="assistant"),
        ]
    },
    {"tools": [FUNCTION, SEARCH, {"type": "custom", "name": "apply_patch"}, {"type": "web_search"}]},
    {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "look"}},
    {"text": {"format": {"type": "json_schema", "name": "a", "schema": OBJECT}}, "max_output_tokens": 16},
    {"input": [{**CALLED, "namespace": "mcp__docs"}, OUTPUT], "stream": True, "previous_response_id": None},
]
RESPONSES_WRONG: list[tuple[Json, str]] = [
    ({"store": True}, "store: must be false"),
    ({"store": None}, "store: must be false"),
    ({"previous_response_id": "resp_1"}, "previous_response_id: nothing is stored"),
    ({"client_metadata": {}}, "client_metadata: unknown parameter"),
    ({"messages": []}, "messages: unknown parameter"),
    ({"input": []}, "one at least"),
    ({"input": [{"type": "thought"}]}, "'thought' is not allowed"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "'item_reference' is not allowed"),
    ({"input": [OUTPUT, CALLED]}, "no tool call of its kind found before it"),
    ({"input": [CALLED, {**OUTPUT, "type": "custom_tool_call_output"}]}, "no tool call of its kind"),
    ({"input": [CALLED, OUTPUT, OUTPUT]}, "no tool call of its kind"),
    ({"input": [CALLED, USER]}, "no output found for function_call c1"),
    ({"input": [CALLED, OUTPUT, CALLED, OUTPUT]}, "'c1' comes twice"),
    ({"input": [{**CALLED, "call_id": LONG}, {**OUTPUT, "call_id": LONG}]}, "1 to 64 characters"),
    ({"input": [{**CALLED, "arguments": {}}, OUTPUT]}, "JSON text of an object"),
    ({"input": [{**CALLED, "name": "a.b"}, OUTPUT]}, "'a.b' does not match"),
    ({"input": [{**PATCHED, "input": None}, PATCH_OUTPUT]}, "input: expected a string"),
    ({"input": [CALLED, {**OUTPUT, "output": [{"type": "text", "text": "x"}]}]}, "'text' is none of"),
    ({"input": [{**CALLED, "id": "fc_ours"}, OUTPUT]}, "item 'fc_ours' not found"),
    ({"input": [{**say({"type": "output_text", "text": "x"}, role="assistant"), "id": "msg_ours"}]}, "not found"),
    ({"input": [{**USER, "id": "item_1"}]}, "does not begin with 'msg'"),
    ({"input": [{**USER, "cache_control": {}}]}, "cache_control: unknown parameter"),
    ({"input": [say({"type": "text", "text": "x"})]}, "'text' is none of"),
    ({"input": [say({"type": "input_text", "text": "x"}, role="assistant")]}, "'input_text' is none of"),
    ({"input": [{"role": "tool", "content": "x"}]}, "'tool' is not allowed"),
    (
        {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "forged"}, CALLED, OUTPUT]},
        "not be verified",
    ),
    ({"input": [{"type": "reasoning", "summary": []}, CALLED, OUTPUT]}, "could not be verified"),
    ({"input": [{"type": "reasoning", "summary": []}, USER]}, "without its required following item"),
    ({"input": [USER, {"type": "compaction", "encrypted_content": "forged"}]}, "could not be verified"),
    ({"tools": [chat_tool()]}, "tools[0].function: unknown parameter"),
    ({"tools": [{**FUNCTION, "name": LONG}]}, "does not match"),
    ({"tools": [{**FUNCTION, "parameters": {"type": "array"}}]}, "JSON Schema of type object"),
    ({"tools": [{"type": "telepathy"}]}, "'telepathy' is not allowed"),
    ({"tools": [FUNCTION, FUNCTION]}, "'look' comes twice"),
    ({"tools": [{**SEARCH, "tools": [SEARCH]}]}, "tools[0].tools[0].type: 'namespace' is not allowed"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "b"}}, "'b' is not among"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "look"}}}, "None is not among"),
    ({"tool_choice": 7}, "7 is not allowed"),
    ({"max_output_tokens": 15}, "max_output_tokens: expected a number from 16"),
    ({"stream": True, "stream_options": {"include_usage": True}}, "include_usage: unknown parameter"),
    ({"stream_options": {"include_obfuscation": False}}, "only allowed with stream"),
    ({"include": ["everything"]}, "is not allowed"),
    ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
    ({"text": {"type": "json_object"}}, "text.type: unknown parameter"),
    ({"stop": "x"}, "stop: unknown parameter"),
]

USED: Json = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
USE: Json = say(USED, role="assistant")
ANSWERED: Json = {"type": "tool_result", "tool_use_id": "t1", "content": "r"}
WORD: Json = {"type": "text", "text": "x"}
TOOL: Json = {"name": "look", "input_schema": OBJECT}

ANTHROPIC_FINE: list[Json] = [
    {"messages": [USER, USE, say(ANSWERED, WORD)], "tools": [TOOL], "tool_choice": {"type": "tool", "name": "look"}},
    {"messages": [say(WORD, {"type": "image", "source": {"type": "url", "url": "https:"}})], "system": [WORD]},
    {"messages": [USER, say(WORD, USED, role="assistant"), say({**ANSWERED, "content": [WORD]})]},
    {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
]
ANTHROPIC_WRONG: list[tuple[Json, str]] = [
    ({"max_tokens": None}, "max_tokens: required"),
    ({"messages": []}, "at least one message"),
    ({"messages": [USER, USER]}, "must alternate"),
    ({"messages": [{"role": "system", "content": "x"}, USER]}, "must alternate: expected user"),
    ({"messages": [USER, {"role": "assistant", "content": "x"}]}, "the last one must be the user's"),
    ({"messages": [USER, USE, USER]}, "without tool_result blocks immediately after: ['t1']"),
    ({"messages": [USER, USE, say(WORD, ANSWERED)]}, "must come first"),
    ({"messages": [say(ANSWERED)]}, "unexpected tool_use_id"),
    ({"messages": [USER, USE, say(ANSWERED, ANSWERED)]}, "'t1' comes twice"),
    ({"messages": [USER, USE, say(ANSWERED), USE, say(ANSWERED)]}, "must be unique"),
    ({"messages": [{"role": "user", "content": " "}]}, "must be non-empty"),
    ({"messages": [say({"type": "text", "text": ""})]}, "must be non-empty"),
    ({"messages": [say({"type": "image_url"})]}, "'image_url' is none of"),
    ({"messages": [say({"type": "image", "source": {"type": "data"}})]}, "expected base64 or url"),
    ({"messages": [USER, say({**USED, "input": "{}"}, role="assistant"), say(ANSWERED)]}, "expected an object"),
    ({"messages": [USER, say({**USED, "id": "a b"}, role="assistant"), USER]}, "not allowed"),
    (
        {
            "messages": [
                USER,
                say({"type": "thinking", "thinking": "x", "signature": "s"}, WORD, role="assistant"),
                USER,
            ]
        },
        "sign",
    ),
    ({"messages": [USER, say({"type": "redacted_thinking", "data": "s"}, WORD, role="assistant"), USER]}, "signature"),
    ({"messages": [say({**WORD, "id": "x"})]}, "id: unknown parameter"),
    ({"tools": [chat_tool()]}, "function: unknown parameter"),
    ({"tools": [{"name": "look"}]}, "JSON Schema of type object"),
    ({"tools": [{**TOOL, "name": "a.b"}]}, "does not match"),
    ({"tools": [TOOL, TOOL]}, "must be unique"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "b"}}, "'b' is not among"),
    ({"tools": [TOOL], "tool_choice": "auto"}, "'auto' is not allowed"),
    ({"tool_choice": {"type": "auto"}}, "while providing tools"),
    ({"temperature": 1.5}, "temperature: expected a number from 0 to 1"),
    ({"stream_options": {}}, "stream_options: unknown parameter"),
    ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "1024 at least"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1024}, "must be greater"),
]

COMPLETIONS_FINE: list[Json] = [{"stream": True, "stream_options": {"include_usage": True}}, {"n": 2, "max_tokens": 5}]
COMPLETIONS_WRONG: list[tuple[Json, str]] = [
    ({"prompt": ["a", "b"]}, "prompt: expected a string"),
    ({"stream_options": {"include_usage": True}}, "only allowed with stream"),
    ({"messages": []}, "messages: unknown parameter"),
    ({"max_tokens": "5"}, "max_tokens: expected a number"),
]
FINE = {"chat": CHAT_FINE, "responses": RESPONSES_FINE, "anthropic": ANTHROPIC_FINE, "completions": COMPLETIONS_FINE}
WRONG = {
    "chat": CHAT_WRONG,
    "responses": RESPONSES_WRONG,
    "anthropic": ANTHROPIC_WRONG,
    "completions": COMPLETIONS_WRONG,
}


@pytest.mark.parametrize("wire", list(PATHS))
async def test_what_a_real_provider_takes_is_answered(wire: str) -> None:
    async with Provider(strict=True) as provider:
        for fields in [{}, *FINE[wire]]:
            assert (await ask(provider, wire, **fields)).status_code == 200, (fields, provider.complaints)
    assert provider.complaints == []


@pytest.mark.parametrize(
    ("wire", "fields", "complaint"),
    [(wire, fields, complaint) for wire, cases in WRONG.items() for fields, complaint in cases],
)
async def test_what_a_real_provider_refuses_is_refused_and_noted(wire: str, fields: Json, complaint: str) -> None:
    async with Provider(strict=True) as provider:
        response = await ask(provider, wire, **fields)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert complaint in response.json()["error"]["message"]
    (noted,) = [noted for noted in provider.complaints if complaint in noted] or [""]
    assert noted.startswith(f"request 1 ({wire}): ")


async def test_a_lenient_provider_answers_everything_and_notes_nothing() -> None:
    async with Provider() as provider:
        for wire, cases in WRONG.items():
            assert (await ask(provider, wire, **cases[0][0])).status_code == 200
    assert provider.complaints == []


async def test_a_refused_request_takes_no_script_from_the_queue() -> None:
    async with Provider(strict=True) as provider:
        provider.enqueue(scripts.answer("kept"))
        await ask(provider, "chat", nonsense=1)
        assert "kept" in (await ask(provider, "chat")).text
    assert [exchange.script for exchange in provider.exchanges] == ["refusal", "answer"]


async def test_a_body_that_is_no_object_is_refused() -> None:
    async with Provider(strict=True) as provider:
        assert (await post(provider, "chat", [])).status_code == 400
    assert provider.complaints == ["request 1 (chat): the body is not a JSON object"]


async def test_a_developer_is_allowed_where_the_template_knows_one() -> None:
    async with Provider(strict=True, allows_developer=True) as provider:
        await ask(provider, "chat", messages=[{"role": "developer", "content": "a"}, USER])
        await ask(provider, "chat", messages=[USER, {"role": "developer", "content": "a"}])
    assert provider.complaints == ["request 2 (chat): messages[1]: one message of instructions at most, and that first"]


async def test_a_thinking_model_wants_its_thoughts_back_with_the_calls() -> None:
    async with Provider(strict=True, wants_reasoning=True) as provider:
        await ask(provider, "chat", messages=[USER, calling(call(), reasoning_content="hm"), result()])
        assert provider.complaints == []
        await ask(provider, "chat", messages=[USER, calling(call()), result()])
    assert provider.complaints == [
        "request 2 (chat): messages[1].reasoning_content: has to be passed back with tool calls"
    ]


async def test_the_version_of_anthropic_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(HEADERS, "anthropic-version")
    async with Provider(strict=True) as provider:
        assert "header is required" in (await ask(provider, "anthropic")).text


@pytest.mark.parametrize("brand", [None, "Zephyr"])
async def test_states_and_ids_that_the_provider_issued_may_come_back_and_others_not(brand: str | None) -> None:
    content = Answer(text="so", reasoning="hm", reasoning_state="opaque", tool_calls=(ToolCall("look"),))
    async with Provider(brand=brand, strict=True, default=scripts.answer(like=content)) as provider:
        items = _unbranded((await ask(provider, "responses")).json()["output"])
        answered = {"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "r"}
        turn: list[Any] = [USER, *items, answered]
        assert (await ask(provider, "responses", input=turn)).status_code == 200
        blocks = _unbranded((await ask(provider, "anthropic")).json()["content"])
        results = say({"type": "tool_result", "tool_use_id": blocks[-1]["id"], "content": "r"})
        history = [USER, say(*blocks, role="assistant"), results]
        assert (await ask(provider, "anthropic", messages=history)).status_code == 200, provider.complaints
    async with Provider(strict=True) as other:
        assert (await ask(other, "responses", input=turn)).status_code == 400
        assert (await ask(other, "anthropic", messages=history)).status_code == 400


def _unbranded(parts: list[Json]) -> list[Json]:
    """Without the fields that no format has, which a client does not send back."""
    return [{name: part[name] for name in part if "Zephyr" not in name} for part in parts]
