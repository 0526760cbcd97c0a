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
    parameters = tool.parameters or {"type": "object", "properties": {}}
    return FlatTool(name, tool.description, parameters, tool.is_strict)


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
    try:
        value = json.loads(arguments)
    except ValueError:
        return arguments
    if isinstance(value, dict) and isinstance(value.get("input"), str):
        return str(value["input"])
    return value if isinstance(value, str) else arguments


def is_free_text(kind: ToolKind) -> bool:
    """Whether calls of that kind carry text and no JSON."""
    return kind == "custom"
