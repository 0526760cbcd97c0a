"""Tools of every kind as functions, and their calls as the client's own items again."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputItem
from pydantic import TypeAdapter

from gateway.wire.canonical import Tool, ToolKind
from gateway.wire.tools import MAX_NAME, ToolBox, flattened, text_arguments, text_of, to_call_item

KINDS: tuple[ToolKind, ...] = ("function", "custom", "local_shell", "shell", "apply_patch", "tool_search")
OUTPUT_ITEM: TypeAdapter[Any] = TypeAdapter(ResponseOutputItem)


def item(tool: Tool, arguments: Any, *, status: str = "completed") -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    made = to_call_item(tool, item_id="fc_1", call_id="call_1", arguments=text, status=status)
    assert (made.pop("id"), made.pop("call_id")) == ("fc_1", "call_1")
    return made


def test_a_function_call_has_its_namespace_again_and_its_arguments_as_they_are() -> None:
    assert item(Tool("log", namespace="mcp__git"), '{"a": 1 }') == {
        "type": "function_call",
        "status": "completed",
        "name": "log",
        "namespace": "mcp__git",
        "arguments": '{"a": 1 }',
    }
    assert "namespace" not in item(Tool("log"), "{}")


def test_a_custom_call_has_its_text_again() -> None:
    patch = '*** Begin Patch\n+"é"\n*** End Patch'
    made = item(Tool("apply_patch", kind="custom"), text_arguments(patch))
    assert made == {"type": "custom_tool_call", "status": "completed", "name": "apply_patch", "input": patch}
    assert item(Tool("exec", kind="custom", namespace="functions"), "raw")["namespace"] == "functions"


@pytest.mark.parametrize("arguments", ["raw text", '"raw text"', '{"input": "raw text"}'])
def test_a_custom_call_takes_text_in_every_form_that_models_write(arguments: str) -> None:
    assert item(Tool("note", kind="custom"), arguments)["input"] == "raw text"


def test_a_local_shell_call_has_an_action() -> None:
    asked = {"command": ["ls", "-l"], "timeout_ms": 5, "env": {"A": "b", "C": 1}, "working_directory": None}
    action = {"type": "exec", "command": ["ls", "-l"], "timeout_ms": 5, "env": {"A": "b"}}
    made = item(Tool("local_shell", kind="local_shell"), asked)
    assert made == {"type": "local_shell_call", "status": "completed", "action": action}
    assert item(Tool("local_shell", kind="local_shell"), {"action": asked})["action"] == action


def test_a_line_for_the_local_shell_becomes_words() -> None:
    made = item(Tool("local_shell", kind="local_shell"), {"command": "ls | wc"})
    assert made["action"]["command"] == ["bash", "-lc", "ls | wc"]


def test_a_shell_call_has_its_commands() -> None:
    made = item(Tool("shell", kind="shell"), {"commands": ["ls", "pwd"], "timeout_ms": 1000})
    assert made["type"] == "shell_call"
    assert made["action"] == {"commands": ["ls", "pwd"], "timeout_ms": 1000, "max_output_length": None}
    assert item(Tool("shell", kind="shell"), {"command": "ls"})["action"]["commands"] == ["ls"]


@pytest.mark.parametrize(
    "operation",
    [
        {"type": "create_file", "path": "a", "diff": "+x"},
        {"type": "update_file", "path": "a", "diff": "-x"},
        {"type": "delete_file", "path": "a"},
    ],
)
def test_a_patch_call_has_its_operation(operation: dict[str, str]) -> None:
    tool = Tool("apply_patch", kind="apply_patch")
    assert item(tool, operation) == {"type": "apply_patch_call", "status": "completed", "operation": operation}
    assert item(tool, {"operation": operation})["operation"] == operation
    assert item(tool, operation, status="incomplete")["status"] == "in_progress"


def test_a_search_for_tools_is_the_clients_and_has_an_object() -> None:
    tool = Tool("tool_search", kind="tool_search")
    assert item(tool, {"query": "git", "limit": 3}) == {
        "type": "tool_search_call",
        "status": "completed",
        "execution": "client",
        "arguments": {"query": "git", "limit": 3},
    }
    assert item(tool, "git")["arguments"] == {"query": "git"}


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("local_shell", '{"command": ["rm", "-rf'),
        ("local_shell", "{}"),
        ("local_shell", {"command": []}),
        ("local_shell", {"command": ["ls", 1]}),
        ("shell", {"commands": [["ls"]]}),
        ("shell", "rm -rf build"),
        ("apply_patch", {"type": "create_file", "path": "a"}),
        ("apply_patch", {"type": "move_file", "path": "a", "diff": ""}),
        ("apply_patch", "*** Begin Patch"),
    ],
)
def test_what_is_no_action_is_shown_as_a_function_call_and_runs_nothing(kind: ToolKind, arguments: Any) -> None:
    made = item(Tool(kind, kind=kind), arguments)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    assert made == {"type": "function_call", "status": "completed", "name": kind, "arguments": text}


_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_VALUES = st.recursive(
    _SCALARS | st.sampled_from(["create_file", "delete_file"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["command", "commands", "action", "operation", "type", "path", "diff", "env", "input", "user"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(KINDS), st.text(max_size=20) | st.just("[" * 100_000) | _VALUES.map(json.dumps))
def test_whatever_a_model_writes_is_an_item_that_openais_client_takes(kind: ToolKind, arguments: str) -> None:
    made = to_call_item(Tool("t", kind=kind), item_id="x", call_id="c", arguments=arguments, status="incomplete")
    OUTPUT_ITEM.validate_python(made)


@pytest.mark.parametrize(
    ("kind", "required"),
    [
        ("function", []),
        ("custom", ["input"]),
        ("local_shell", ["command"]),
        ("shell", ["commands"]),
        ("apply_patch", ["type", "path"]),
        ("tool_search", ["query"]),
    ],
)
def test_every_kind_is_a_function_with_an_object_for_parameters(kind: ToolKind, required: list[str]) -> None:
    flat = flattened("t", Tool("t", kind=kind))
    assert (flat.parameters["type"], flat.parameters.get("required", [])) == ("object", required)
    assert set(required) <= set(flat.parameters["properties"])


def test_what_the_client_says_of_its_search_goes_before_ours() -> None:
    parameters = {"type": "object", "properties": {"words": {"type": "string"}}}
    flat = flattened("t", Tool("t", kind="tool_search", description="Theirs.", parameters=parameters))
    assert (flat.description, flat.parameters) == ("Theirs.", parameters)


def test_a_grammar_is_told() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    flat = flattened("t", Tool("t", kind="custom", description="Patches.", grammar=grammar))
    assert flat.description == "Patches.\n\nThe input must follow this lark grammar:\nstart: /x/"


_TOOLS = st.lists(
    st.builds(Tool, st.text(max_size=70), namespace=st.none() | st.text(max_size=70)), max_size=8, unique_by=str
)


@given(_TOOLS)
def test_flat_names_are_all_different_and_lead_back(tools: list[Tool]) -> None:
    box = ToolBox.of(tools)
    names = [flat.name for flat in box.flat]
    assert len(names) == len(set(names))
    assert all(1 <= len(name) <= MAX_NAME for name in names)
    for tool in tools:
        assert box.tool(box.name_of(tool.name, tool.namespace)) == tool


@given(st.text())
def test_free_text_survives_the_way_there_and_back(text: str) -> None:
    assert text_of(text_arguments(text)) == text
