"""Whatever is sent as a Responses request is read or refused: nothing breaks the decoder."""

from copy import deepcopy
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.wire.canonical import OneTool
from gateway.wire.lane import Unservable, UnusableRequest
from gateway.wire.responses.decode import (
    ResponsesRequest,
    from_responses_request,
    lost_in_crossing,
    to_prompt,
    with_history,
    with_items,
)

USER = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "call_0", "name": "f", "arguments": "{}"}
FUNCTION = {"type": "function", "name": "f", "description": "F.", "parameters": {"type": "object"}, "strict": True}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
PARTS = [
    {"type": "input_text", "text": "x"},
    {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
    {"type": "input_file", "file_data": "data:text/plain;base64,AA", "filename": "a.txt"},
]


def _answered(call: dict[str, Any], output: dict[str, Any], call_id: str) -> list[dict[str, Any]]:
    return [{"call_id": call_id, **call}, {"call_id": call_id, **output}]


# One of everything that a client may send.
EVERYTHING: dict[str, Any] = {
    "model": "m",
    "instructions": "Be brief.",
    "input": [
        {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]},
        {"type": "compaction", "encrypted_content": "sealed"},
        {"type": "message", "role": "user", "content": PARTS},
        {"role": "assistant", "content": [{"type": "output_text", "text": "x"}, {"type": "refusal", "refusal": "x"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}], "content": None},
        {"type": "web_search_call", "id": "ws_1", "action": {"query": "x"}},
        *_answered(
            {"type": "function_call", "name": "g", "namespace": "n", "arguments": "{}"},
            {"type": "function_call_output", "output": PARTS},
            "call_1",
        ),
        *_answered(
            {"type": "custom_tool_call", "name": "c", "input": "x"},
            {"type": "custom_tool_call_output", "output": "x"},
            "call_2",
        ),
        *_answered(
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {"A": "b"}}},
            {"type": "local_shell_call_output", "output": "x"},
            "call_3",
        ),
        *_answered(
            {"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": 5}},
            {"type": "shell_call_output", "output": [{"stdout": "x", "stderr": "", "outcome": {"type": "timeout"}}]},
            "call_4",
        ),
        *_answered(
            {"type": "apply_patch_call", "operation": {"type": "create_file", "path": "a", "diff": "+x"}},
            {"type": "apply_patch_call_output", "status": "completed", "output": "x"},
            "call_5",
        ),
        *_answered(
            {"type": "tool_search_call", "execution": "client", "arguments": {"query": "x"}},
            {"type": "tool_search_output", "execution": "client", "tools": [FUNCTION]},
            "call_6",
        ),
    ],
    "tools": [
        FUNCTION,
        {"type": "custom", "name": "c", "format": GRAMMAR},
        {"type": "namespace", "name": "n", "description": "N.", "tools": [{**FUNCTION, "name": "g"}]},
        {"type": "local_shell"},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "apply_patch"},
        {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}},
        {"type": "mcp", "server_label": "x"},
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}, {"type": "shell"}],
    },
    "parallel_tool_calls": True,
    "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    "stream_options": {"include_obfuscation": False},
    "truncation": "auto",
    "stop": ["x"],
    "temperature": 1,
    "max_output_tokens": 5,
}

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["message", "function", "custom", "shell", "item_reference", "compaction_trigger", "function_call_output"]
    )
    | st.sampled_from(["{", "null", "[" * 100_000, "call_1", "call_6", "f", "file:///x", "x" * 100])
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document: the object or array, and the name or index in it."""
    if isinstance(value, dict):
        names: list[Any] = list(value)
    elif isinstance(value, list):
        names = list(range(len(value)))
    else:
        return []
    return [(value, name) for name in names] + [place for name in names for place in _places(value[name])]


@st.composite
def _almost_right(draw: st.DrawFn) -> bytes:
    body = deepcopy(EVERYTHING)
    for _ in range(draw(st.integers(1, 3))):
        place, name = draw(st.sampled_from(_places(body)))
        match draw(st.sampled_from(["replaced", "gone", "twice", "with more"])):
            case "replaced":
                place[name] = draw(_JSON)
            case "gone":
                del place[name]
            case "twice" if isinstance(place, list):
                place.append(deepcopy(place[name]))
            case _ if isinstance(place[name], dict):
                place[name][draw(st.sampled_from(["type", "id", "role", "content", "name", "tools"]))] = draw(_JSON)
    return msgspec.json.encode(body)


def _check_prompt(request: ResponsesRequest) -> None:
    prompt, box = to_prompt(request, unseal_compaction=str)
    assert prompt.items
    assert [box.tool(flat.name) for flat in box.flat] == list(prompt.tools)
    assert not isinstance(prompt.tool_choice, OneTool) or box.tool(prompt.tool_choice.name) in prompt.tools
    for item in prompt.items:
        hash(item)  # all the way down made of values


def _check(raw: bytes) -> None:
    try:
        request = from_responses_request(raw)
    except UnusableRequest:
        return
    msgspec.json.encode([request.raw, request.echo, request.input_items])
    is_complete = not (request.previous_response_id or request.references)
    for whole in (request, with_history(request, [USER, CALL], []), with_items(request, {"x": USER})):
        assert all(name.isascii() for name in (*whole.ignored, *lost_in_crossing(whole)))
        try:
            _check_prompt(whole)
        except Unservable:
            continue
        except UnusableRequest:
            # Whatever could be known before history and stored items came has been refused at once.
            assert whole.history_length or not is_complete


@given(_almost_right())
@example(msgspec.json.encode(EVERYTHING))
def test_a_request_that_is_almost_right_is_read_or_refused(raw: bytes) -> None:
    _check(raw)


@given(st.binary(max_size=50) | _JSON.map(msgspec.json.encode))
def test_anything_else_is_read_or_refused_too(raw: bytes) -> None:
    _check(raw)


def test_one_of_everything_is_read() -> None:
    request = from_responses_request(msgspec.json.encode(EVERYTHING))
    prompt, _ = to_prompt(request, unseal_compaction=str)
    # Thoughts, tools and searches of a server say nothing; the two parts of an answer are two messages.
    assert len(prompt.items) == 1 + len(EVERYTHING["input"]) - 2 + 1
