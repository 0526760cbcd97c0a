"""The fields that OpenAI's schema of responses requires, of events, items, parts and the response object, by type.

What we never write (built-in tools of OpenAI, audio, annotations) is not in it: an event or item of another type is
unknown here.
"""

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _list(value: Any) -> bool:
    return isinstance(value, list)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _lines(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _any(value: Any) -> bool:
    return True


def _one_of(*values: object) -> Check:
    return lambda value: value in values


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


_STATUS = _one_of("in_progress", "completed", "incomplete")
_AT: Mapping[str, Check] = {"item_id": _name, "output_index": _count}
_AT_PART: Mapping[str, Check] = {**_AT, "content_index": _count}
_AT_SUMMARY: Mapping[str, Check] = {**_AT, "summary_index": _count}
_LIFECYCLE: Mapping[str, Check] = {"response": _object}
_OF_ITEM: Mapping[str, Check] = {"output_index": _count, "item": _object}

EVENTS: Mapping[str, Mapping[str, Check]] = {
    "response.created": _LIFECYCLE,
    "response.in_progress": _LIFECYCLE,
    "response.completed": _LIFECYCLE,
    "response.incomplete": _LIFECYCLE,
    "response.failed": _LIFECYCLE,
    "response.output_item.added": _OF_ITEM,
    "response.output_item.done": _OF_ITEM,
    "response.content_part.added": {**_AT_PART, "part": _object},
    "response.content_part.done": {**_AT_PART, "part": _object},
    "response.output_text.delta": {**_AT_PART, "delta": _text, "logprobs": _list},
    "response.output_text.done": {**_AT_PART, "text": _text, "logprobs": _list},
    "response.refusal.delta": {**_AT_PART, "delta": _text},
    "response.refusal.done": {**_AT_PART, "refusal": _text},
    "response.reasoning_text.delta": {**_AT_PART, "delta": _text},
    "response.reasoning_text.done": {**_AT_PART, "text": _text},
    "response.reasoning_summary_part.added": {**_AT_SUMMARY, "part": _object},
    "response.reasoning_summary_part.done": {**_AT_SUMMARY, "part": _object},
    "response.reasoning_summary_text.delta": {**_AT_SUMMARY, "delta": _text},
    "response.reasoning_summary_text.done": {**_AT_SUMMARY, "text": _text},
    "response.function_call_arguments.delta": {**_AT, "delta": _text},
    "response.function_call_arguments.done": {**_AT, "arguments": _text},
    "response.custom_tool_call_input.delta": {**_AT, "delta": _text},
    "response.custom_tool_call_input.done": {**_AT, "input": _text},
}
_CALL: Mapping[str, Check] = {"id": _name, "call_id": _name}
ITEMS: Mapping[str, Mapping[str, Check]] = {
    "message": {"id": _name, "status": _STATUS, "role": _one_of("assistant"), "content": _objects},
    "reasoning": {"id": _name, "summary": _objects},
    "function_call": {**_CALL, "name": _text, "arguments": _text, "status": _STATUS},
    "custom_tool_call": {**_CALL, "name": _text, "input": _text},
    "local_shell_call": {**_CALL, "action": _object, "status": _STATUS},
    "shell_call": {**_CALL, "action": _object, "status": _STATUS},
    "apply_patch_call": {**_CALL, "operation": _object, "status": _one_of("in_progress", "completed")},
    "tool_search_call": {"id": _name, "execution": _one_of("client", "server"), "arguments": _any, "status": _STATUS},
    "compaction": {"id": _name, "encrypted_content": _text},
}
_OPTIONAL: Mapping[str, Check] = {"encrypted_content": _or_null(_text), "namespace": _or_null(_text), "status": _STATUS}
_ACTIONS: Mapping[str, Mapping[str, Check]] = {
    "local_shell_call": {"type": _one_of("exec"), "command": _lines, "env": _object},
    "shell_call": {"commands": _lines},
}
_PATCH: Mapping[str, Check] = {"type": _one_of("create_file", "update_file", "delete_file"), "path": _text}
PARTS: Mapping[str, Mapping[str, Check]] = {
    "output_text": {"text": _text, "annotations": _list},
    "refusal": {"refusal": _text},
    "summary_text": {"text": _text},
    "reasoning_text": {"text": _text},
}
PARTS_OF: Mapping[str, tuple[str, ...]] = {
    "message": ("output_text", "refusal"),
    "reasoning": ("summary_text", "reasoning_text"),
}
RESPONSE: Mapping[str, Check] = {
    "id": _name,
    "object": _one_of("response"),
    "created_at": _number,
    "status": _one_of("in_progress", "completed", "incomplete", "failed"),
    "error": _or_null(_object),
    "incomplete_details": _or_null(_object),
    "instructions": _any,
    "metadata": _or_null(_object),
    "model": _name,
    "output": _objects,
    "parallel_tool_calls": lambda value: isinstance(value, bool),
    "temperature": _or_null(_number),
    "tool_choice": lambda value: isinstance(value, str | dict),
    "tools": _objects,
    "top_p": _or_null(_number),
    "usage": _or_null(_object),
}
INCOMPLETE_DETAILS: Mapping[str, Check] = {"reason": _one_of("max_output_tokens", "content_filter")}
ERROR: Mapping[str, Check] = {"code": _name, "message": _name}
_USAGE: Mapping[str, Check] = {
    "input_tokens": _count,
    "input_tokens_details": _object,
    "output_tokens": _count,
    "output_tokens_details": _object,
    "total_tokens": _count,
}


def missing(what: str, value: Mapping[str, Any], checks: Mapping[str, Check]) -> list[str]:
    """The fields that an object has to have and has not, or not like that."""
    absent = [f"{what} has no `{name}`" for name in checks if name not in value]
    wrong = [f"`{name}` of {what} is wrong" for name, is_right in checks.items() if name in value]
    held = [is_right(value[name]) for name, is_right in checks.items() if name in value]
    return absent + [words for words, is_held in zip(wrong, held, strict=True) if not is_held]


def event_violations(event: Mapping[str, Any]) -> list[str]:
    """What is wrong with one event alone."""
    checks = EVENTS.get(event.get("type", ""))
    if checks is None:
        return ["this type is unknown"]
    return missing("the event", event, {"sequence_number": _count, **checks})


def item_violations(item: Mapping[str, Any]) -> list[str]:
    """What is wrong with one item of an output."""
    type = item.get("type", "")
    checks = ITEMS.get(type)
    if checks is None:
        return [f"an item of type `{type}` is unknown"]
    optional = {name: check for name, check in _OPTIONAL.items() if name in item and name not in checks}
    found = missing(type, item, {**checks, **optional})
    if found:
        return found
    for part in [*item.get("content", []), *item.get("summary", [])]:
        found += part_violations(part)
        if part.get("type") not in PARTS_OF[type]:
            found.append(f"a {type} has no part of type `{part.get('type')}`")
    if type in _ACTIONS:
        found += missing("action", item["action"], _ACTIONS[type])
    if type == "apply_patch_call":
        is_deletion = item["operation"].get("type") == "delete_file"
        found += missing("operation", item["operation"], _PATCH if is_deletion else {**_PATCH, "diff": _text})
    return found


def part_violations(part: Mapping[str, Any]) -> list[str]:
    """What is wrong with one part of an item."""
    checks = PARTS.get(part.get("type", ""))
    return [f"a part of type `{part.get('type')}` is unknown"] if checks is None else missing("part", part, checks)


def usage_violations(usage: Mapping[str, Any]) -> list[str]:
    """What is wrong with a count of tokens."""
    found = missing("usage", usage, _USAGE)
    if found:
        return found
    details = missing("input_tokens_details", usage["input_tokens_details"], {"cached_tokens": _count})
    details += missing("output_tokens_details", usage["output_tokens_details"], {"reasoning_tokens": _count})
    if usage["total_tokens"] != usage["input_tokens"] + usage["output_tokens"]:
        details.append("the total of tokens is not their sum")
    return details
