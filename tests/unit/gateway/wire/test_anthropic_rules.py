"""Whatever the prompt, the Messages API would take the request."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.anthropic.encode import write_request
from gateway.wire.canonical import (
    File,
    Image,
    Item,
    JsonSchema,
    Message,
    OneTool,
    Prompt,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.wire.lane import Quirks, Target
from tests.unit.gateway.wire.anthropic_events import Sealer

THOUGHTS = [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "redacted_thinking", "data": "eHg="}]
PNG = "data:image/png;base64,aGk="
PDF = "data:application/pdf;base64,JVBERg=="


_ids = st.sampled_from(["call_1", "call_2", "call_3", "no.id", "", "x" * 90])
_words = st.sampled_from(["", " ", "Hi", "\n", "Grüße 🙂", '{"a": 1}', "[", '"x"'])
_parts = st.lists(
    st.one_of(_words.map(Text), st.sampled_from([Image(PNG), Image("https://x.example/a.png"), File(PDF)])), max_size=3
).map(tuple)
_texts = st.lists(_words.map(Text), max_size=3).map(tuple)
_sealed = st.sampled_from([None, "foreign", "sealed:[]", "sealed:" + json.dumps(THOUGHTS)])
_items: st.SearchStrategy[Item] = st.one_of(
    st.builds(Message, st.just("user"), _parts),
    st.builds(Message, st.sampled_from(["system", "developer", "assistant"]), _texts, st.booleans()),
    st.builds(Reasoning, _words, _sealed),
    st.builds(ToolCall, _ids, st.sampled_from(["read", "fs__patch"]), _words),
    st.builds(ToolResult, _ids, _parts),
)
_prompts = st.builds(
    Prompt,
    items=st.lists(_items, max_size=12).map(tuple),
    tools=st.sampled_from([(), (Tool("read"),), (Tool("read"), Tool("patch", kind="custom", namespace="fs"))]),
    tool_choice=st.sampled_from([None, "auto", "none", "required", OneTool("read")]),
    has_parallel_calls=st.sampled_from([None, True, False]),
    max_output_tokens=st.sampled_from([None, 1, 2048, 100_000]),
    sampling=st.builds(
        Sampling,
        st.sampled_from([None, 0, 2]),
        st.sampled_from([None, 0.5]),
        stop=_texts.map(lambda texts: tuple(text.text for text in texts)),
    ),
    output=st.sampled_from(["text", JsonSchema("a", {"type": "object"})]),
    reasoning_effort=st.sampled_from([None, "none", "low", "high"]),
)
_targets = st.builds(
    Target,
    st.just("theirs"),
    quirks=st.builds(Quirks, replays_reasoning=st.booleans(), thinks_adaptively=st.booleans()),
    max_output_tokens=st.sampled_from([None, 1500, 64_000]),
)


@given(_prompts, _targets)
def test_whatever_the_prompt_the_api_would_take_the_request(prompt: Prompt, target: Target) -> None:
    check_taken(json.loads(write_request(prompt, target, is_stream=False, sealer=Sealer()).body))


KINDS = {
    "user": {"text", "image", "document", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
}


def check_taken(sent: dict[str, Any]) -> None:
    """The rules of the Messages API, as strict as it is."""
    messages = sent["messages"]
    roles = [message["role"] for message in messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    expected: list[str] = []
    seen: set[str] = set()
    for message in messages:
        content = message["content"]
        assert content
        kinds = [block["type"] for block in content]
        results = [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
        assert results == expected
        assert kinds[: len(results)] == ["tool_result"] * len(results)
        expected = [block["id"] for block in content if block["type"] == "tool_use"]
        assert not seen & set(expected)
        seen |= set(expected)
        allowed = {"text", "thinking", "redacted_thinking", "tool_use"}
        assert set(kinds) <= (
            allowed if message["role"] == "assistant" else {"text", "image", "document", "tool_result"}
        )
        assert not kinds[-1].endswith("thinking")
        for block in content:
            check_block(block)
    assert expected == []
    check_fields(sent)
    check_thinking(sent)


def check_block(block: dict[str, Any]) -> None:
    match block["type"]:
        case "text":
            assert block["text"].strip()
        case "tool_use":
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", block["id"])
            assert isinstance(block["input"], dict)
        case "tool_result" if isinstance(block.get("content"), list):
            assert block["content"]
            for inner in block["content"]:
                assert inner["type"] in {"text", "image", "document"}
                check_block(inner)


def check_fields(sent: dict[str, Any]) -> None:
    known = {"model", "max_tokens", "messages", "system", "tools", "tool_choice", "temperature", "top_p", "thinking"}
    assert sent.keys() <= known | {"output_config", "stop_sequences"}
    assert sent["max_tokens"] >= 1
    assert sent.get("system") is None or sent["system"].strip()
    assert not {"temperature", "top_p"} <= sent.keys()
    assert 0 <= sent.get("temperature", 0) <= 1
    assert all(text.strip() for text in sent.get("stop_sequences", ["x"]))
    called = [block for message in sent["messages"] for block in message["content"] if block["type"] == "tool_use"]
    assert "tools" in sent or not (called or "tool_choice" in sent)
    assert all(tool["input_schema"]["type"] == "object" for tool in sent.get("tools", ()))


def check_thinking(sent: dict[str, Any]) -> None:
    if "thinking" not in sent:
        return
    if sent["thinking"]["type"] == "enabled":
        assert 1024 <= sent["thinking"]["budget_tokens"] < sent["max_tokens"]
    assert not {"temperature", "top_p"} & sent.keys()
    assert sent.get("tool_choice", {}).get("type") not in {"any", "tool"}
    if any(block["type"] == "tool_result" for block in sent["messages"][-1]["content"]):
        assert sent["messages"][-2]["content"][0]["type"] in {"thinking", "redacted_thinking"}
