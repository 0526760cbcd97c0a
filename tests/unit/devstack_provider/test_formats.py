"""The provider in every wire format: the same answer by the path that was called, read by the real SDK."""

import json
from typing import Any

import pytest
from openai.types.responses import ResponseCompletedEvent, ToolParam

from devstack.provider import Answer, Provider, ToolCall, Usage, scripts
from tests.unit.devstack_provider.callers import PATHS, ask, events, sdk, spoken

BRAND = "Zephyr"
FORMATS = list(PATHS)
FULL = Answer(
    text="Both, then.",
    reasoning="Which one?",
    reasoning_state="opaque",
    tool_calls=(ToolCall("look", '{"at": "ü"}'), ToolCall("look", "{}", id="call_own")),
    usage=Usage(20, 9, 29, cached_tokens=5, reasoning_tokens=3),
)
LOOK: ToolParam = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    "strict": False,
}


@pytest.mark.parametrize("wire", FORMATS)
async def test_one_provider_says_the_same_in_every_format_whole_and_streamed(wire: str) -> None:
    async with Provider(default=scripts.answer("One and the same.")) as provider:
        whole = await ask(provider, wire)
        streamed = await ask(provider, wire, stream=True)
        assert [exchange.request.format for exchange in provider.exchanges] == [wire, wire]
    assert "One and the same." in whole.text
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert spoken(wire, events(streamed)) == "One and the same."


async def test_the_sdk_reads_a_whole_response_with_all_its_items() -> None:
    async with Provider(default=scripts.answer(like=FULL)) as provider, sdk(provider) as api:
        response = await api.responses.create(
            model="m", input="hi", store=False, include=["reasoning.encrypted_content"], tools=[LOOK]
        )
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
    reasoning, _, first, second = response.output
    assert reasoning.type == "reasoning"
    assert (reasoning.summary[0].text, reasoning.encrypted_content) == ("Which one?", "opaque")
    assert (response.output_text, response.status) == ("Both, then.", "completed")
    assert first.type == second.type == "function_call"
    assert (json.loads(first.arguments), second.call_id) == ({"at": "ü"}, "call_own")
    assert response.usage is not None
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (20, 9, 29)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (5, 3)


async def test_the_streaming_helper_of_the_sdk_puts_the_same_response_together() -> None:
    async with Provider(default=scripts.answer(like=FULL)) as provider, sdk(provider) as api:
        include: Any = ["reasoning.encrypted_content"]
        async with api.responses.stream(model="m", input="hi", store=False, include=include, tools=[LOOK]) as stream:
            seen = [event async for event in stream]
            final = await stream.get_final_response()
        whole = await api.responses.create(model="m", input="hi", store=False, include=include, tools=[LOOK])
    assert [event.type for event in seen[:3]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert isinstance(seen[-1], ResponseCompletedEvent)
    assert [getattr(event, "sequence_number", None) for event in seen] == list(range(len(seen)))
    assert final.output_text == whole.output_text == "Both, then."
    assert [item.type for item in final.output] == [item.type for item in whole.output]
    assert final.usage == whole.usage


async def test_every_item_of_a_response_is_opened_filled_and_closed_in_order() -> None:
    content = Answer(text="a b", refusal="no", reasoning="hm", tool_calls=(ToolCall("f", "{}"),))
    async with Provider(default=scripts.answer(like=content)) as provider:
        streamed = events(await ask(provider, "responses", stream=True))
    part = ["response.content_part.added", "response.output_text.delta", "response.output_text.delta"]
    part += ["response.output_text.done", "response.content_part.done"]
    refusal = ["response.content_part.added", "response.refusal.delta", "response.refusal.done"]
    summary = "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta"
    summary_end = "response.reasoning_summary_text.done", "response.reasoning_summary_part.done"
    call = "response.function_call_arguments.delta", "response.function_call_arguments.delta"
    added, done = "response.output_item.added", "response.output_item.done"
    assert [event["type"] for event in streamed] == [
        *("response.created", "response.in_progress"),
        *(added, *summary, *summary_end, done),
        *(added, *part, *refusal, "response.content_part.done", done),
        *(added, *call, "response.function_call_arguments.done", done),
        "response.completed",
    ]
    assert [event["sequence_number"] for event in streamed] == list(range(len(streamed)))
    opened = {event["output_index"]: event["item"]["id"] for event in streamed if event["type"] == added}
    assert {event["item_id"] == opened[event["output_index"]] for event in streamed if "item_id" in event} == {True}
    closed = [event["item"] for event in streamed if event["type"] == done]
    assert [item["id"] for item in closed] == list(opened.values())
    assert streamed[-1]["response"]["output"] == closed


async def test_a_call_is_of_the_kind_and_namespace_of_the_offered_tool() -> None:
    tools = [
        {"type": "custom", "name": "apply_patch"},
        {"type": "namespace", "name": "mcp__docs", "tools": [{"type": "function", "name": "search"}]},
        {"type": "local_shell"},
    ]
    calls = (
        ToolCall("apply_patch", "*** Begin"),
        ToolCall("search", "{}"),
        ToolCall("local_shell", '{"command":"ls"}'),
    )
    async with Provider(default=scripts.answer(like=Answer(text=None, tool_calls=calls))) as provider:
        patch, search, shell = (await ask(provider, "responses", tools=tools)).json()["output"]
        streamed = events(await ask(provider, "responses", tools=tools, stream=True))
    assert (patch["type"], patch["input"]) == ("custom_tool_call", "*** Begin")
    assert (search["type"], search["name"], search["namespace"]) == ("function_call", "search", "mcp__docs")
    assert (shell["type"], shell["action"]["command"]) == ("local_shell_call", ["bash", "-lc", "ls"])
    inputs = [event["delta"] for event in streamed if event["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(inputs) == "*** Begin"


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_a_response_that_was_cut_is_incomplete_with_its_reason(finish: str, reason: str) -> None:
    async with Provider(default=scripts.answer(like=Answer(finish_reason=finish))) as provider:
        streamed = events(await ask(provider, "responses", stream=True))
    assert streamed[-1]["type"] == "response.incomplete"
    response = streamed[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["output"][0]["status"] == "incomplete"


async def test_encrypted_reasoning_comes_only_when_included_and_whole_only_when_done() -> None:
    content = Answer(reasoning="hm", reasoning_state="opaque")
    async with Provider(default=scripts.answer(like=content)) as provider:
        unasked = (await ask(provider, "responses", include=[])).json()["output"][0]
        streamed = events(await ask(provider, "responses", stream=True))
    assert "encrypted_content" not in unasked
    items = [event["item"] for event in streamed if event.get("item", {}).get("type") == "reasoning"]
    assert [item["encrypted_content"] for item in items] == ["opa", "opaque"]


async def test_the_sdk_reads_plain_completions_whole_and_streamed() -> None:
    async with Provider(default=scripts.answer("Once upon")) as provider, sdk(provider) as api:
        whole = await api.completions.create(model="m", prompt="hi")
        options: Any = {"include_usage": True}
        stream = await api.completions.create(model="m", prompt="hi", stream=True, stream_options=options)
        chunks = [chunk async for chunk in stream]
    assert (whole.choices[0].text, whole.choices[0].finish_reason, whole.object) == (
        "Once upon",
        "stop",
        "text_completion",
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "Once upon"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [19]


async def test_a_message_of_anthropic_has_its_blocks_and_counts() -> None:
    async with Provider(default=scripts.answer(like=FULL)) as provider:
        message = (await ask(provider, "anthropic")).json()
    thinking, text, first, second = message["content"]
    assert thinking == {"type": "thinking", "thinking": "Which one?", "signature": "opaque"}
    assert text == {"type": "text", "text": "Both, then."}
    assert (first["type"], first["name"], first["input"]) == ("tool_use", "look", {"at": "ü"})
    assert (second["id"], message["stop_reason"]) == ("call_own", "tool_use")
    usage = message["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (15, 5, 9)


async def test_the_events_of_anthropic_build_up_the_same_message() -> None:
    async with Provider(default=scripts.answer(like=FULL)) as provider:
        whole = (await ask(provider, "anthropic")).json()
        response = await ask(provider, "anthropic", stream=True)
    streamed = events(response)
    names = [line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event: ")]
    assert names == [event["type"] for event in streamed]
    assert (names[0], names[-2], names[-1]) == ("message_start", "message_delta", "message_stop")
    built = [_built(streamed, index) for index in range(len(whole["content"]))]
    assert [{**block, "id": ""} for block in built] == [{**block, "id": ""} for block in whole["content"]]
    assert streamed[-2]["delta"]["stop_reason"] == "tool_use"
    assert (streamed[0]["message"]["usage"]["input_tokens"], streamed[-2]["usage"]["output_tokens"]) == (15, 9)


def _built(streamed: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """The block at this index, from its start and its deltas."""
    own = [event for event in streamed if event.get("index") == index]
    block, arguments = dict(own[0]["content_block"]), ""
    for event in own[1:-1]:
        delta = event["delta"]
        arguments += delta.get("partial_json", "")
        for field in ("text", "thinking", "signature"):
            if field in delta:
                block[field] += delta[field]
    assert own[-1]["type"] == "content_block_stop"
    return {**block, "input": json.loads(arguments)} if block["type"] == "tool_use" else block


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Answer(), "end_turn"),
        (Answer(finish_reason="length"), "max_tokens"),
        (Answer(text=None, refusal="No."), "refusal"),
        (Answer(text=""), "end_turn"),
    ],
)
async def test_stop_reasons_are_anthropics(content: Answer, reason: str) -> None:
    async with Provider(default=scripts.answer(like=content)) as provider:
        assert (await ask(provider, "anthropic")).json()["stop_reason"] == reason


async def test_thoughts_that_are_only_state_are_redacted() -> None:
    async with Provider(default=scripts.answer(like=Answer(reasoning_state="opaque"))) as provider:
        block = (await ask(provider, "anthropic")).json()["content"][0]
        (started, *_) = [event for event in events(await ask(provider, "anthropic", stream=True)) if "index" in event]
    assert block == started["content_block"] == {"type": "redacted_thinking", "data": "opaque"}


@pytest.mark.parametrize("wire", FORMATS)
async def test_an_empty_answer_says_nothing_in_any_format(wire: str) -> None:
    async with Provider(default=scripts.empty()) as provider:
        whole = (await ask(provider, wire)).json()
        assert spoken(wire, events(await ask(provider, wire, stream=True))) == ""
    said = {"responses": whole.get("output"), "anthropic": whole.get("content")}
    assert said.get(wire) in ([], None)


@pytest.mark.parametrize("wire", FORMATS)
async def test_an_echo_repeats_the_last_user_in_every_format(wire: str) -> None:
    async with Provider(default=scripts.echo()) as provider:
        assert "You said: hi" in (await ask(provider, wire)).text


@pytest.mark.parametrize("wire", FORMATS)
async def test_a_brand_is_in_every_place_of_every_format(wire: str) -> None:
    async with Provider(brand=BRAND, default=scripts.answer(like=FULL)) as provider:
        whole = (await ask(provider, wire)).json()
        streamed = events(await ask(provider, wire, stream=True))
        provider.enqueue(scripts.http_error(429), scripts.http_error(500))
        failed = [await ask(provider, wire) for _ in range(2)]
    places = [whole["id"], whole["model"], whole["service_tier"], json.dumps(whole["usage"]), whole["provider"]]
    places += [json.dumps(event) for event in streamed] + [response.text for response in failed]
    places += [
        failed[0].headers[name] for name in ("server", "request-id", "anthropic-organization-id", "x-request-id")
    ]
    inner = {"responses": whole.get("output"), "anthropic": whole.get("content"), "chat": whole.get("choices")}
    places += [json.dumps(part) for part in inner.get(wire) or []]
    if wire == "responses":
        places += [
            json.dumps(whole["metadata"]),
            whole["output"][0]["encrypted_content"],
            whole["output"][2]["call_id"],
        ]
        places += [item["id"] for item in whole["output"]]
    if wire == "anthropic":
        places += [whole["content"][0]["signature"], whole["content"][2]["id"], whole["usage"]["service_tier"]]
    assert [place for place in places if BRAND not in place] == []


@pytest.mark.parametrize("wire", FORMATS)
async def test_without_a_brand_nothing_is_added(wire: str) -> None:
    async with Provider() as provider:
        whole = (await ask(provider, wire)).json()
    assert whole["model"] == "m"
    assert "provider" not in whole
    assert ("system_fingerprint" in whole) == (wire in ("chat", "completions"))
