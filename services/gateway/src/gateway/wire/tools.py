"""Tools of every kind as plain functions, for providers that know no other, and back again.

A client may declare functions inside namespaces, free-text (custom) tools with a grammar, a local shell, a patch tool
or a search for tools. Each becomes one function with a name of its own, and a call of it becomes the client's kind of
call again, exactly: namespace, free text, action.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.wire.canonical import Tool, ToolKind

# What every provider takes for a function's name (OpenAI, Anthropic and vLLM agree on this).
MAX_NAME = 64
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_SEPARATOR = "__"

_LINES = {"type": "array", "items": {"type": "string"}}
_MILLISECONDS = {"type": "integer", "description": "The longest time to run, in milliseconds."}
_PATCHES = ("create_file", "update_file", "delete_file")
_PARAMETERS: Mapping[ToolKind, Mapping[str, Any]] = {
    "local_shell": {
        "type": "object",
        "properties": {
            "command": {**_LINES, "description": "The program and its arguments, one string each."},
            "working_directory": {"type": "string"},
            "timeout_ms": _MILLISECONDS,
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
            "user": {"type": "string"},
        },
        "required": ["command"],
        "additionalProperties": False,
    },
    "shell": {
        "type": "object",
        "properties": {
            "commands": {**_LINES, "description": "Shell commands, run in this order."},
            "timeout_ms": _MILLISECONDS,
            "max_output_length": {"type": "integer", "description": "The most characters of output to read."},
        },
        "required": ["commands"],
        "additionalProperties": False,
    },
    "apply_patch": {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": list(_PATCHES)},
            "path": {"type": "string", "description": "The file, relative to the workspace."},
            "diff": {"type": "string", "description": "The V4A diff; not needed to delete a file."},
        },
        "required": ["type", "path"],
        "additionalProperties": False,
    },
    "tool_search": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What the tools should be able to do."},
            "limit": {"type": "integer", "description": "The most tools to find."},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
}
_DESCRIPTIONS: Mapping[ToolKind, str] = {
    "local_shell": "Runs one program on the user's machine.",
    "shell": "Runs shell commands on the user's machine.",
    "apply_patch": "Creates, updates or deletes one file in the user's workspace.",
    "tool_search": "Finds more tools, which can be called afterwards.",
}
_TEXT_INPUT: Mapping[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class FlatTool:
    """A tool as a plain function."""

    name: str
    description: str | None
    parameters: Mapping[str, Any]
    is_strict: bool | None = None


@dataclass(slots=True)
class ToolBox:
    """The tools of one request. The first of two tools with the same name and namespace counts."""

    _tools: dict[str, Tool] = field(default_factory=dict)
    _names: dict[tuple[str | None, str], str] = field(default_factory=dict)

    @classmethod
    def of(cls, tools: Iterable[Tool]) -> "ToolBox":
        """All of them, in their order."""
        box = cls()
        for tool in tools:
            box.add(tool)
        return box

    def add(self, tool: Tool) -> str:
        """The flat name of a tool, which is in the box then."""
        key = (tool.namespace, tool.name)
        if key not in self._names:
            name = self._names[key] = self._free(flat_name(tool.name, tool.namespace))
            self._tools[name] = tool
        return self._names[key]

    @property
    def flat(self) -> Sequence[FlatTool]:
        """All tools as functions."""
        return [flattened(name, tool) for name, tool in self._tools.items()]

    @property
    def free(self) -> frozenset[str]:
        """The flat names of the tools that take free text."""
        return frozenset([name for name, tool in self._tools.items() if is_free_text(tool.kind)])

    def name_of(self, name: str, namespace: str | None = None) -> str:
        """The flat name of a tool that the conversation mentions, declared or not."""
        return self._names.get((namespace, name)) or flat_name(name, namespace)

    def tool(self, flat: str) -> Tool:
        """The tool behind a flat name; a plain function of that name when there is none."""
        return self._tools.get(flat) or Tool(flat)

    def _free(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._tools:
            ending = f"_{number}"
            name, number = wanted[: MAX_NAME - len(ending)] + ending, number + 1
        return name


def flat_name(name: str, namespace: str | None) -> str:
    """A name that every provider takes; two long ones may meet in it, which the box keeps apart."""
    whole = name if namespace is None else f"{namespace}{_SEPARATOR}{name}"
    clean = _ODD.sub("_", whole) or "tool"
    return clean if len(clean) <= MAX_NAME else clean[: MAX_NAME // 2] + clean[len(clean) - MAX_NAME // 2 :]


def flattened(name: str, tool: Tool) -> FlatTool:
    """One tool as a function."""
    if tool.kind == "custom":
        return FlatTool(name, _described(tool), _TEXT_INPUT)
    parameters = tool.parameters or _PARAMETERS.get(tool.kind) or {"type": "object", "properties": {}}
    return FlatTool(name, tool.description or _DESCRIPTIONS.get(tool.kind), parameters, tool.is_strict)


def _described(tool: Tool) -> str | None:
    """A grammar cannot be enforced here; the model is told of it."""
    definition = (tool.grammar or {}).get("definition")
    if not isinstance(definition, str):
        return tool.description
    syntax = tool.grammar.get("syntax", "") if tool.grammar else ""
    told = f"The input must follow this {syntax} grammar:\n{definition}"
    return f"{tool.description}\n\n{told}" if tool.description else told


def text_arguments(text: str) -> str:
    """Free text as the arguments of the flat function."""
    return json.dumps({"input": text}, ensure_ascii=False)


def text_of(arguments: str) -> str:
    """The free text in the arguments of the flat function; arguments that are no such object are the text."""
    value = _parsed(arguments)
    if isinstance(value, dict) and isinstance(value.get("input"), str):
        return str(value["input"])
    return value if isinstance(value, str) else arguments


def is_free_text(kind: ToolKind) -> bool:
    """Whether calls of that kind carry text and no JSON."""
    return kind == "custom"


def to_call_item(tool: Tool, *, item_id: str, call_id: str, arguments: str, status: str) -> dict[str, Any]:
    """A finished call as the item of the Responses API that the client's kind of tool has. It cannot fail.

    Arguments that are no action of the tool become a plain function call with the text as it is: the client says that
    it does not know such a function, and nothing runs that the model did not ask for.
    """
    item = {"id": item_id, "call_id": call_id, "status": status}
    match tool.kind:
        case "custom":
            item |= {"type": "custom_tool_call", "name": tool.name, "input": text_of(arguments)}
            return item if tool.namespace is None else {**item, "namespace": tool.namespace}
        case "local_shell" if (action := _exec_action(arguments)) is not None:
            return {**item, "type": "local_shell_call", "action": action}
        case "shell" if (action := _shell_action(arguments)) is not None:
            return {**item, "type": "shell_call", "action": action, "environment": {"type": "local"}}
        case "apply_patch" if (operation := _operation(arguments)) is not None:
            # This item knows no `incomplete`.
            status = "completed" if status == "completed" else "in_progress"
            return {**item, "type": "apply_patch_call", "status": status, "operation": operation}
        case "tool_search":
            found = _parsed(arguments)
            sought = found if isinstance(found, dict) else {"query": found if isinstance(found, str) else arguments}
            return {**item, "type": "tool_search_call", "execution": "client", "arguments": sought}
        case _:
            called = {**item, "type": "function_call", "name": tool.name, "arguments": arguments}
            return called if tool.namespace is None else {**called, "namespace": tool.namespace}


def _exec_action(arguments: str) -> dict[str, Any] | None:
    asked = _object(arguments, "action")
    command = asked.get("command")
    if isinstance(command, str):
        command = ["bash", "-lc", command]  # many models write the line and not its words
    if not _are_lines(command):
        return None
    env = asked.get("env")
    action = {"type": "exec", "command": command, "env": _texts(env if isinstance(env, dict) else {})}
    texts = _texts({name: asked.get(name) for name in ("working_directory", "user")})
    return {**action, **texts, **_counts(asked, ("timeout_ms",))}


def _shell_action(arguments: str) -> dict[str, Any] | None:
    asked = _object(arguments, "action")
    commands = asked.get("commands", asked.get("command"))
    if isinstance(commands, str):
        commands = [commands]
    if not _are_lines(commands):
        return None
    counts: dict[str, int | None] = {"timeout_ms": None, "max_output_length": None}
    return {"commands": commands, **counts, **_counts(asked, tuple(counts))}


def _operation(arguments: str) -> dict[str, Any] | None:
    asked = _object(arguments, "operation")
    kind, path, diff = asked.get("type"), asked.get("path"), asked.get("diff")
    if kind not in _PATCHES or not isinstance(path, str):
        return None
    if kind == "delete_file":
        return {"type": kind, "path": path}
    return {"type": kind, "path": path, "diff": diff} if isinstance(diff, str) else None


def _object(arguments: str, wrapper: str) -> Mapping[str, Any]:
    """The object in the arguments; models that know the client's item wrap it once more."""
    value = _parsed(arguments)
    if isinstance(value, dict) and isinstance(value.get(wrapper), dict):
        value = value[wrapper]
    return value if isinstance(value, dict) else {}


def _parsed(arguments: str) -> object:
    try:
        value: object = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    return value


def _are_lines(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(line, str) for line in value)


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _counts(values: Mapping[str, object], names: Sequence[str]) -> dict[str, int]:
    found = {name: values.get(name) for name in names}
    return {name: value for name, value in found.items() if isinstance(value, int) and not isinstance(value, bool)}
