"""The input items of the Responses API.

Types and their fields are known, content parts fit the role. Every call has an id of its own, 64 characters at most,
and one output of its kind after it; an output answers a call before it. Reasoning comes with the encrypted content that
this provider issued, and is followed by what it led to. An `id` has its type's beginning, and on what only a model says
it is one that this provider issued.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from devstack.provider.payload import JsonObject, objects
from devstack.provider.strictness.checks import Rules, json_object, parts, tool_name, unknown_fields

_CALLS: dict[str, tuple[str, ...]] = {
    "function_call": ("name", "namespace", "arguments"),
    "custom_tool_call": ("name", "namespace", "input"),
    "local_shell_call": ("action",),
    "shell_call": ("action",),
    "apply_patch_call": ("operation",),
}
_FIELDS: dict[str, tuple[str, ...]] = {
    "message": ("role", "content", "phase"),
    "reasoning": ("summary", "content", "encrypted_content"),
    "compaction": ("encrypted_content",),
    "compaction_trigger": (),
    "additional_tools": ("role", "tools"),
    "web_search_call": ("action",),
    **{kind: ("call_id", *fields) for kind, fields in _CALLS.items()},
    **{f"{kind}_output": ("call_id", "output", "max_output_length") for kind in _CALLS},
}
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc", "compaction": "cmp"}
_INPUT_PARTS = ("input_text", "input_image", "input_file")
_ROLES = {
    "user": _INPUT_PARTS,
    "system": _INPUT_PARTS,
    "developer": _INPUT_PARTS,
    "assistant": ("output_text", "refusal"),
}


def item_complaints(value: object, rules: Rules) -> Iterator[str]:
    """All that is wrong with the input."""
    if isinstance(value, str):
        return
    if not isinstance(value, list) or not value or len(objects(value)) < len(value):
        yield "input: expected a string, or a list of items, one at least"
        return
    calls = _Calls()
    items = objects(value)
    for place, item in enumerate(items):
        where, kind = f"input[{place}]", _kind(item)
        if kind not in _FIELDS:
            yield f"{where}.type: {kind!r} is not allowed"
            continue
        yield from unknown_fields(item, ("type", "id", "status", *_FIELDS[kind]), where)
        yield from _id(item, kind, where, rules)
        yield from _item(item, kind, where, rules)
        yield from calls.take(item, kind, where)
        if kind == "reasoning" and not any(_is_said(after) for after in items[place + 1 : place + 2]):
            yield f"{where}: reasoning without its required following item"
    yield from (f"input: no output found for {kind} {call_id}" for call_id, kind in calls.waiting.items())


def _kind(item: JsonObject) -> str:
    return str(item.get("type", "message" if "role" in item else None))


def _is_said(item: JsonObject) -> bool:
    """By the model."""
    return item.get("role") == "assistant" or _kind(item) in (*_CALLS, "reasoning", "web_search_call")


@dataclass(slots=True)
class _Calls:
    """The calls so far, and which of them wait for their output."""

    seen: set[str] = field(default_factory=set)
    waiting: dict[str, str] = field(default_factory=dict)

    def take(self, item: JsonObject, kind: str, where: str) -> Iterator[str]:
        """The next item."""
        call_id = str(item.get("call_id"))
        if kind in _CALLS:
            if call_id in self.seen:
                yield f"{where}.call_id: {call_id!r} comes twice"
            if not 0 < len(call_id) <= 64 or not isinstance(item.get("call_id"), str):
                yield f"{where}.call_id: expected a string of 1 to 64 characters"
            self.seen.add(call_id)
            self.waiting[call_id] = kind
        elif kind.endswith("_output") and f"{self.waiting.pop(call_id, '')}_output" != kind:
            yield f"{where}: no tool call of its kind found before it for {call_id!r}"


def _id(item: JsonObject, kind: str, where: str, rules: Rules) -> Iterator[str]:
    item_id = item.get("id")
    if item_id is None:
        return
    prefix = _PREFIXES.get(kind, "")
    if not isinstance(item_id, str) or not item_id.startswith(prefix):
        yield f"{where}.id: {item_id!r} does not begin with {prefix!r}"
    elif _is_said(item) and item_id not in rules.issued:
        yield f"{where}.id: item {item_id!r} not found"


def _item(item: JsonObject, kind: str, where: str, rules: Rules) -> Iterator[str]:
    if kind == "message":
        role = str(item.get("role"))
        if role not in _ROLES:
            yield f"{where}.role: {role!r} is not allowed"
        yield from parts(item.get("content"), _ROLES.get(role, ()), f"{where}.content")
    elif kind in ("reasoning", "compaction"):
        state = item.get("encrypted_content")
        if not isinstance(state, str) or state not in rules.issued:
            yield f"{where}.encrypted_content: could not be verified"
        if kind == "reasoning" and not isinstance(item.get("summary"), list):
            yield f"{where}.summary: required"
    elif kind in ("function_call", "custom_tool_call"):
        yield from tool_name(item.get("name"), f"{where}.name")
        if kind == "function_call":
            yield from json_object(item.get("arguments"), f"{where}.arguments")
        elif not isinstance(item.get("input"), str):
            yield f"{where}.input: expected a string"
    elif kind in ("function_call_output", "custom_tool_call_output"):
        yield from parts(item.get("output"), _INPUT_PARTS, f"{where}.output")
