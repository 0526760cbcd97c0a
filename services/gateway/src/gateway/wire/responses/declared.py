"""The tools of a Responses request, declared in `tools` or in the middle of the input, and the choice among them.

| tool | what happens |
|---|---|
| `function`, `custom` | the client's; `defer_loading` has no effect: the model sees every tool at once |
| `namespace` | its functions and custom tools, with its name; its description goes before that of its first tool; \
other kinds inside are ignored |
| `local_shell`, `apply_patch` | the client's |
| `shell` | the client's, with environment `local` or none; in a container it is a hosted tool |
| `tool_search` | the client's, with execution `client`; run by the server it is a hosted tool |
| hosted: `web_search…`, `file_search`, `code_interpreter`, `computer…`, `image_generation`, `mcp` | ignored: nothing \
runs here |
| anything else | ignored: a client must not fail because of a tool that is newer than this |

All of this is about targets of another format: one of the same gets the tools as they are. An ignored tool is named as
`tools.<type>`. A choice that names a hosted tool is `auto`; one that names a tool that is
not there is a 400.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.wire.canonical import OneTool, Tool, ToolChoice, ToolKind
from gateway.wire.responses import faults
from gateway.wire.responses.models import (
    AllowedTools,
    CustomTool,
    FunctionTool,
    Json,
    NamespaceTool,
    ShellTool,
    ToolName,
    ToolSearchTool,
)
from gateway.wire.tools import ToolBox

MAX_TOOLS = 1024

# The kinds of tool that have no name of their own: there is one of each.
_NAMELESS: Mapping[str, ToolKind] = {
    "local_shell": "local_shell",
    "shell": "shell",
    "apply_patch": "apply_patch",
    "tool_search": "tool_search",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """The tools that the client can run, and the types of the others."""

    tools: tuple[Tool, ...] = ()
    ignored: tuple[str, ...] = ()


def from_tools(tools: Sequence[Json], *, at: str) -> Declared:
    """Declared tools, which are at that place of the body. Raises `UnusableRequest`."""
    usable: list[Tool] = []
    ignored: list[str] = []
    for place, tool in enumerate(tools):
        kind, found_at = _type(tool, at=f"{at}[{place}]"), f"{at}[{place}]"
        if kind == "namespace":
            inner = _from_namespace(tool, found_at)
            usable += inner.tools
            ignored += inner.ignored
            continue
        reader = _READERS.get(kind)
        found = reader(tool, found_at) if reader is not None else None
        if found is None:
            ignored.append(kind)
        else:
            usable.append(found)
    return Declared(tuple(usable), tuple(dict.fromkeys(ignored)))


def unique(tools: Sequence[Tool], *, at: str = "tools") -> tuple[Tool, ...]:
    """The first of every name: a tool that was found twice by a search is one tool. Raises `UnusableRequest`."""
    found: dict[tuple[str | None, str], Tool] = {}
    for tool in tools:
        found.setdefault((tool.namespace, tool.name), tool)
    if len(found) > MAX_TOOLS:
        raise faults.invalid(at, f"must hold at most {MAX_TOOLS} tools, those of namespaces counted one by one")
    return tuple(found.values())


def _type(tool: Mapping[str, Any], *, at: str) -> str:
    kind = tool.get("type")
    if kind is None:
        raise faults.absent(f"{at}.type")
    if not isinstance(kind, str):
        raise faults.invalid(f"{at}.type", "must be a string")
    return kind


def _from_namespace(tool: Json, at: str) -> Declared:
    asked = faults.read(tool, NamespaceTool, at=at)
    inner = from_tools(asked.tools, at=f"{at}.tools")
    usable, ignored, introduction = [], list(inner.ignored), asked.description
    for found in inner.tools:
        if found.kind not in ("function", "custom") or found.namespace is not None:
            ignored.append(found.kind)
            continue
        words = "\n\n".join(text for text in (introduction, found.description) if text)
        usable.append(replace(found, namespace=asked.name, description=words or None))
        introduction = None
    return Declared(tuple(usable), tuple(ignored))


def _from_function(tool: Json, at: str) -> Tool:
    asked = faults.read(tool, FunctionTool, at=at)
    return Tool(asked.name, description=asked.description, parameters=asked.parameters, is_strict=asked.strict)


def _from_custom(tool: Json, at: str) -> Tool:
    asked = faults.read(tool, CustomTool, at=at)
    return Tool(asked.name, kind="custom", description=asked.description, grammar=asked.format)


def _from_local_shell(_: Json, __: str) -> Tool:
    return Tool("local_shell", kind="local_shell")


def _from_apply_patch(_: Json, __: str) -> Tool:
    return Tool("apply_patch", kind="apply_patch")


def _from_shell(tool: Json, at: str) -> Tool | None:
    environment = faults.read(tool, ShellTool, at=at).environment
    return Tool("shell", kind="shell") if environment is None or environment.type == "local" else None


def _from_tool_search(tool: Json, at: str) -> Tool | None:
    asked = faults.read(tool, ToolSearchTool, at=at)
    if asked.execution != "client":
        return None
    return Tool("tool_search", kind="tool_search", description=asked.description, parameters=asked.parameters)


_READERS: Mapping[str, Callable[[Json, str], Tool | None]] = {
    "function": _from_function,
    "custom": _from_custom,
    "local_shell": _from_local_shell,
    "apply_patch": _from_apply_patch,
    "shell": _from_shell,
    "tool_search": _from_tool_search,
}


# --- the choice


def is_hosted_choice(choice: str | Json | None) -> bool:
    """Whether a choice names a tool that cannot run here. Raises `UnusableRequest`."""
    return isinstance(choice, dict) and _type(choice, at="tool_choice") not in _CHOICES


def from_tool_choice(choice: str | Json | None, tools: Sequence[Tool]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """The tools that may be called, and how. Without tools there is nothing to choose. Raises `UnusableRequest`."""
    kept = tuple(tools)
    found: ToolChoice | None
    if isinstance(choice, str):
        found = _from_mode(choice)
    elif choice is None or is_hosted_choice(choice):
        found = None if choice is None else "auto"
    elif choice["type"] == "allowed_tools":
        allowed = faults.read(choice, AllowedTools, at="tool_choice")
        kept = tuple(tool for tool in tools if any(_is_named(tool, name) for name in allowed.tools))
        found = allowed.mode
    else:
        found = OneTool(_chosen(faults.read(choice, ToolName, at="tool_choice"), tools))
    return kept, found if kept else None


def _from_mode(choice: str) -> ToolChoice:
    for mode in ("auto", "none", "required"):
        if choice == mode:
            return mode
    raise faults.invalid("tool_choice", "must be `auto`, `none`, `required` or an object that names a tool")


def _chosen(name: ToolName, tools: Sequence[Tool]) -> str:
    """The flat name of the tool that a choice names; without a namespace, one outside of all is preferred."""
    named = sorted((tool for tool in tools if _is_named(tool, name)), key=lambda tool: tool.namespace is not None)
    if not named:
        raise faults.invalid("tool_choice", "names a tool that is not declared in `tools`")
    return ToolBox.of(tools).name_of(named[0].name, named[0].namespace)


def _is_named(tool: Tool, name: ToolName) -> bool:
    if name.type == "namespace":
        return tool.namespace is not None and tool.namespace == name.name
    if name.type in _NAMELESS:
        return tool.kind == _NAMELESS[name.type]
    return name.type == tool.kind and name.name == tool.name and name.namespace in (None, tool.namespace)


_CHOICES = frozenset({"function", "custom", "allowed_tools", *_NAMELESS})
