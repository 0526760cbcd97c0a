"""The tools of the Responses API.

Flat functions and custom tools with names that all providers take, namespaces of these, and the types that OpenAI runs
or knows by name; `tool_choice` names one of them. A tool in the shape of chat completions has no name here.
"""

from collections.abc import Iterator

from devstack.provider.payload import JsonObject, objects
from devstack.provider.strictness.checks import repeated, schema, tool_name, unknown_fields

_FIELDS = {
    "function": ("type", "name", "description", "parameters", "strict", "defer_loading"),
    "custom": ("type", "name", "description", "format", "defer_loading"),
    "namespace": ("type", "name", "description", "tools"),
}
_HOSTED = (
    "web_search",
    "web_search_preview",
    "file_search",
    "code_interpreter",
    "image_generation",
    "mcp",
    "computer",
    "computer_use_preview",
    "local_shell",
    "shell",
    "apply_patch",
    "tool_search",
)


def tool_complaints(body: JsonObject) -> Iterator[str]:
    """All that is wrong with the tools."""
    tools = body.get("tools")
    if tools is not None and not isinstance(tools, list):
        yield "tools: expected a list"
    yield from _declared(objects(tools), "tools")
    yield from repeated((str(tool["name"]) for tool in objects(tools) if "name" in tool), "tools")


def _declared(tools: list[JsonObject], at: str) -> Iterator[str]:
    for place, tool in enumerate(tools):
        where, kind = f"{at}[{place}]", str(tool.get("type"))
        if kind in _HOSTED and at == "tools":
            continue
        if kind not in _FIELDS or (kind == "namespace" and at != "tools"):
            yield f"{where}.type: {tool.get('type')!r} is not allowed"
            continue
        yield from unknown_fields(tool, _FIELDS[kind], where)
        yield from tool_name(tool.get("name"), f"{where}.name")
        if tool.get("parameters") is not None:
            yield from schema(tool["parameters"], f"{where}.parameters")
        if kind == "namespace":
            yield from _declared(objects(tool.get("tools")), f"{where}.tools")


def choice_complaints(body: JsonObject) -> Iterator[str]:
    """All that is wrong with `tool_choice`."""
    choice = body.get("tool_choice")
    if choice is None or choice in ("none", "auto", "required"):
        return
    if not isinstance(choice, dict):
        yield f"tool_choice: {choice!r} is not allowed"
        return
    chosen = objects(choice.get("tools")) if choice.get("type") == "allowed_tools" else [choice]
    offered = {(tool.get("type"), tool.get("name")) for tool in objects(body.get("tools"))}
    for one in chosen:
        if (one.get("type"), one.get("name")) not in offered:
            yield f"tool_choice: {one.get('type')} {one.get('name')!r} is not among the tools"
