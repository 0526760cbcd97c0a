"""The tools of a Responses request, declared beside the input and within it, and the choice among them."""

import json
from typing import Any

import pytest

from gateway.wire.canonical import OneTool, Prompt
from gateway.wire.lane import UnusableRequest
from gateway.wire.responses.decode import from_responses_request, lost_in_crossing, to_prompt
from gateway.wire.tools import ToolBox

USER = {"role": "user", "content": "Hi"}


def read(**fields: Any) -> tuple[Prompt, ToolBox]:
    return to_prompt(from_responses_request(json.dumps({"model": "m", "input": "Hi", **fields}).encode()))


def test_tools_of_namespaces_and_of_the_input_are_tools() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    namespace = {
        "type": "namespace",
        "name": "functions",
        "description": "All of them.",
        "tools": [
            {"type": "custom", "name": "exec", "description": "Runs.", "format": grammar},
            {"type": "function", "name": "wait", "defer_loading": True},
            {"type": "web_search"},
            {"type": "shell"},
        ],
    }
    brought = {"type": "additional_tools", "role": "developer", "tools": [namespace, namespace]}
    request = from_responses_request(json.dumps({"model": "m", "input": [brought, USER]}).encode())
    prompt, box = to_prompt(request)
    assert [flat.name for flat in box.flat] == ["functions__exec", "functions__wait"]
    first, second = prompt.tools
    assert (first.kind, first.grammar, first.description) == ("custom", grammar, "All of them.\n\nRuns.")
    assert second.description is None
    assert lost_in_crossing(request) == ("tools.web_search", "tools.shell")


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search", "external_web_access": True},
        {"type": "web_search_preview_2025_03_11"},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation"},
        {"type": "computer_use_preview", "display_width": 1, "display_height": 1, "environment": "browser"},
        {"type": "mcp", "server_label": "x", "server_url": "https://example.com"},
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "tool_search"},
        {"type": "from_the_future", "name": 5},
    ],
)
def test_tools_that_cannot_run_here_are_ignored_by_name(tool: dict[str, Any]) -> None:
    raw = json.dumps({"model": "m", "input": "Hi", "tools": [tool], "tool_choice": "required"}).encode()
    request = from_responses_request(raw)
    assert lost_in_crossing(request) == (f"tools.{tool['type']}",)
    prompt, _ = to_prompt(request)
    assert (prompt.tools, prompt.tool_choice) == ((), None)


TOOLS = [
    {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True, "description": "F."},
    {"type": "custom", "name": "c"},
    {"type": "namespace", "name": "n", "description": "", "tools": [{"type": "function", "name": "g"}]},
    {"type": "local_shell"},
]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "f"}, OneTool("f")),
        ({"type": "custom", "name": "c"}, OneTool("c")),
        ({"type": "function", "name": "g"}, OneTool("n__g")),
        ({"type": "function", "name": "g", "namespace": "n"}, OneTool("n__g")),
        ({"type": "local_shell"}, OneTool("local_shell")),
        ({"type": "file_search"}, "auto"),
        ({"type": "mcp", "server_label": "x"}, "auto"),
    ],
)
def test_a_choice_of_every_form_is_read(choice: Any, expected: Any) -> None:
    prompt, _ = read(tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
    assert (prompt.tool_choice, len(prompt.tools), prompt.has_parallel_calls) == (expected, 4, False)


def test_a_choice_without_a_namespace_prefers_the_tool_that_has_none() -> None:
    inside = {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}
    choice = {"type": "function", "name": "f"}
    assert read(tools=[inside, TOOLS[0]], tool_choice=choice)[0].tool_choice == OneTool("f")


def test_allowed_tools_are_all_that_there_are() -> None:
    allowed = [{"type": "function", "name": "f"}, {"type": "namespace", "name": "n"}, {"type": "image_generation"}]
    choice = {"type": "allowed_tools", "mode": "required", "tools": allowed}
    prompt, box = read(tools=TOOLS, tool_choice=choice)
    assert (prompt.tool_choice, [flat.name for flat in box.flat]) == ("required", ["f", "n__g"])
    nothing = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "image_generation"}]}
    assert read(tools=TOOLS, tool_choice=nothing)[0].tool_choice is None


@pytest.mark.parametrize(
    ("choice", "code", "param"),
    [
        ({"type": "function", "name": "c"}, "invalid_value", "tool_choice"),
        ({"type": "function"}, "invalid_value", "tool_choice"),
        ({"type": ["function"]}, "invalid_value", "tool_choice.type"),
        ({"name": "f"}, "missing_required_parameter", "tool_choice.type"),
        ({"type": "apply_patch"}, "invalid_value", "tool_choice"),
        ({"type": "allowed_tools", "tools": []}, "missing_required_parameter", "tool_choice.mode"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [5]}, "invalid_value", "tool_choice.tools[0]"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(choice: Any, code: str, param: str) -> None:
    with pytest.raises(UnusableRequest) as caught:
        read(tools=TOOLS, tool_choice=choice)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_there_are_so_many_tools_at_most() -> None:
    inner = [{"type": "function", "name": f"f{number}"} for number in range(1025)]
    with pytest.raises(UnusableRequest) as caught:
        read(tools=[{"type": "namespace", "name": "n", "tools": inner}])
    assert caught.value.param == "tools"
    assert len(read(tools=inner[1:])[0].tools) == 1024
