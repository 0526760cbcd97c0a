"""What of a provider's output items gets through to a client that speaks the same format.

The rule: nothing that identifies the provider. So everything is an allow-list, down to the last object, and what is not
named here is left out:

| what | what happens |
|---|---|
| ids of items and calls | ours; references to them follow. Files, containers, citations' files: made up, always alike |
| state (`encrypted_content`) | sealed |
| what the model or the client's own tool wrote | passed on |
| words of closed sets (`status`, `type` of parts and actions …) | passed on if they are known |
| errors of hosted tools, safety checks, fingerprints, `created_by`, models | left out |
| an item of a type that the table does not name | left out whole, since its name alone could tell whose it is; unless \
the client used that type itself, or declared a tool of that name: then its plain fields with standard names pass |
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from gateway.wire.responses.native.names import Names

Shape: TypeAlias = Callable[[object, Names], object]


class _LeftOut:
    pass


LEFT_OUT = _LeftOut()


# --- what a shape may be


def text(value: object, _: Names) -> object:
    """Words."""
    return value if value is None or isinstance(value, str) else LEFT_OUT


def number(value: object, _: Names) -> object:
    """A number, or a truth value."""
    return value if value is None or isinstance(value, int | float) else LEFT_OUT


def anything(value: object, _: Names) -> object:
    """Whatever the model or the client's own tool wrote."""
    return value


def json_text(value: object, _: Names) -> object:
    """Arguments: a JSON text; some providers send the object."""
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def words(*known: str) -> Shape:
    """One of these words, or nothing."""

    def shape(value: object, _: Names) -> object:
        return value if value is None or (isinstance(value, str) and value in known) else LEFT_OUT

    return shape


def record(**shapes: Shape) -> Shape:
    """An object with no other fields than these."""

    def shape(value: object, names: Names) -> object:
        if not isinstance(value, dict):
            return None if value is None else LEFT_OUT
        kept = {name: shapes[name](field, names) for name, field in value.items() if name in shapes}
        return {name: field for name, field in kept.items() if field is not LEFT_OUT}

    return shape


def each(one: Shape) -> Shape:
    """A list of such."""

    def shape(value: object, names: Names) -> object:
        if not isinstance(value, list):
            return None if value is None else LEFT_OUT
        return [kept for kept in (one(element, names) for element in value) if kept is not LEFT_OUT]

    return shape


def of_type(**records: Shape) -> Shape:
    """An object of one of these types."""

    def shape(value: object, names: Names) -> object:
        kind = value.get("type") if isinstance(value, dict) else None
        return records[kind](value, names) if isinstance(kind, str) and kind in records else LEFT_OUT

    return shape


def either(*shapes: Shape) -> Shape:
    """The first of these that takes it."""

    def shape(value: object, names: Names) -> object:
        return next((kept for one in shapes if (kept := one(value, names)) is not LEFT_OUT), LEFT_OUT)

    return shape


def sealed(value: object, names: Names) -> object:
    """State of the provider."""
    return names.sealed(value) if isinstance(value, str) else text(value, names)


def called(value: object, names: Names) -> object:
    """The id of a call."""
    return names.call(value) if isinstance(value, str) else None


def item_of(value: object, names: Names) -> object:
    """The id of another item."""
    return names.item(value) if isinstance(value, str) else None


def foreign(prefix: str) -> Shape:
    """The id of something that stays with the provider."""

    def shape(value: object, names: Names) -> object:
        return names.foreign(prefix, value) if isinstance(value, str) else None

    return shape


# --- the items

STATUS = words("in_progress", "completed", "incomplete", "failed", "searching", "interpreting", "generating", "calling")
PICTURE_FORMAT = words("png", "webp", "jpeg", "gif", "svg")
PICTURE_SIZE = words("1024x1024", "1024x1536", "1536x1024", "auto")
_FILE = foreign("file")
_LOGPROB = {"token": text, "logprob": number, "bytes": each(number)}
LOGPROBS = each(record(**_LOGPROB, top_logprobs=each(record(**_LOGPROB))))
ANNOTATION = of_type(
    url_citation=record(type=text, start_index=number, end_index=number, title=text, url=text),
    file_citation=record(type=text, index=number, filename=text, file_id=_FILE),
    container_file_citation=record(
        type=text,
        start_index=number,
        end_index=number,
        filename=text,
        file_id=_FILE,
        container_id=foreign("cntr"),
    ),
    file_path=record(type=text, index=number, file_id=_FILE),
)
PART = of_type(
    output_text=record(type=text, text=text, annotations=each(ANNOTATION), logprobs=LOGPROBS),
    refusal=record(type=text, refusal=text),
    reasoning_text=record(type=text, text=text),
    summary_text=record(type=text, text=text),
)
_ACTION = of_type(
    search=record(type=text, query=text, queries=each(text), sources=each(record(type=words("url"), url=text))),
    open_page=record(type=text, url=text),
    find_in_page=record(type=text, pattern=text, url=text),
)
_POINT = record(x=number, y=number)
_GESTURES = ("click", "double_click", "drag", "keypress", "move", "screenshot", "scroll", "type", "wait")
_GESTURE = record(
    type=words(*_GESTURES),
    button=words("left", "right", "wheel", "back", "forward"),
    x=number,
    y=number,
    scroll_x=number,
    scroll_y=number,
    keys=each(text),
    path=each(_POINT),
    text=text,
)
_EXEC = record(
    type=words("exec"), command=each(text), env=anything, timeout_ms=number, user=text, working_directory=text
)
_COMMANDS = record(commands=each(text), timeout_ms=number, max_output_length=number)
_OUTCOME = of_type(timeout=record(type=text), exit=record(type=text, exit_code=number))
SHELL_OUTPUT = each(record(outcome=_OUTCOME, stdout=text, stderr=text))
_ENVIRONMENT = of_type(local=record(type=text), container_reference=record(type=text, container_id=foreign("cntr")))
_OPERATION = record(type=words("create_file", "update_file", "delete_file"), path=text, diff=text)
_CALLER = of_type(direct=record(type=text), program=record(type=text, caller_id=called))
_INPUT_PART = of_type(
    input_text=record(type=text, text=text),
    input_image=record(type=text, image_url=text, detail=words("auto", "low", "high", "original"), file_id=_FILE),
    input_file=record(type=text, filename=text, file_data=text, file_url=text, file_id=_FILE),
)
_OUTPUT = either(each(_INPUT_PART), text)
_LIVE_TOOL = {"name": text, "description": text, "strict": number, "defer_loading": number}
_FUNCTION = record(type=words("function"), parameters=anything, **_LIVE_TOOL)
_CUSTOM = record(type=words("custom"), format=anything, **_LIVE_TOOL)
_INNER_TOOL = of_type(function=_FUNCTION, custom=_CUSTOM)
_TOOLS = each(
    of_type(
        function=_FUNCTION,
        custom=_CUSTOM,
        namespace=record(type=text, name=text, description=text, tools=each(_INNER_TOOL)),
    )
)
_MCP_TOOL = record(name=text, description=text, input_schema=anything, annotations=anything)


def _item(**shapes: Shape) -> Shape:
    return record(type=text, id=text, status=STATUS, **shapes)


def _call(**shapes: Shape) -> Shape:
    """Something that a client or a provider runs, under an id that is put in by its `Names`."""
    return _item(call_id=text, caller=_CALLER, **shapes)


def _result(**shapes: Shape) -> Shape:
    return _item(call_id=called, caller=_CALLER, **shapes)


ITEMS: Mapping[str, Shape] = {
    "message": _item(role=words("assistant"), phase=words("commentary", "final_answer"), content=each(PART)),
    "reasoning": _item(summary=each(PART), content=each(PART), encrypted_content=sealed),
    "compaction": _item(encrypted_content=sealed),
    "function_call": _call(name=text, namespace=text, arguments=json_text, **{"async": number}),
    "custom_tool_call": _call(name=text, namespace=text, input=text, **{"async": number}),
    "local_shell_call": _call(action=_EXEC),
    "shell_call": _call(action=_COMMANDS, environment=_ENVIRONMENT),
    "apply_patch_call": _call(operation=_OPERATION),
    "tool_search_call": _call(execution=words("client", "server"), arguments=anything),
    "computer_call": _call(action=_GESTURE, actions=each(_GESTURE), pending_safety_checks=each(words())),
    "function_call_output": _result(name=text, namespace=text, output=_OUTPUT),
    "custom_tool_call_output": _result(output=_OUTPUT),
    "shell_call_output": _result(output=SHELL_OUTPUT, max_output_length=number),
    "apply_patch_call_output": _result(output=text),
    "tool_search_output": _result(execution=words("client", "server"), tools=_TOOLS),
    "additional_tools": _item(role=words("developer"), tools=_TOOLS),
    "web_search_call": _item(action=_ACTION),
    "file_search_call": _item(
        queries=each(text), results=each(record(file_id=_FILE, filename=text, score=number, text=text))
    ),
    "code_interpreter_call": _item(
        code=text,
        container_id=foreign("cntr"),
        outputs=each(of_type(logs=record(type=text, logs=text), image=record(type=text, url=text))),
    ),
    "image_generation_call": _item(
        result=text,
        action=words("generate", "edit", "auto"),
        background=words("transparent", "opaque", "auto"),
        output_format=PICTURE_FORMAT,
        quality=words("low", "medium", "high", "xhigh", "max", "auto"),
        revised_prompt=text,
        size=PICTURE_SIZE,
    ),
    "mcp_call": _item(name=text, server_label=text, arguments=text, output=text, approval_request_id=item_of),
    "mcp_list_tools": _item(server_label=text, tools=each(_MCP_TOOL)),
    "mcp_approval_request": _item(name=text, server_label=text, arguments=text),
}
# Of a type that is the client's own word.
CLIENTS_ITEM = _result(name=text, namespace=text, arguments=text, input=text, output=_OUTPUT, content=each(PART))

# What a client runs: it gets an id of ours to answer to, and is not done before the answer is.
CALLS = frozenset(
    {
        "function_call",
        "custom_tool_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
        "tool_search_call",
        "computer_call",
    }
)
# What is an answer although it is neither text nor a call.
ANSWERS = frozenset({"compaction", "image_generation_call", "mcp_approval_request"})
