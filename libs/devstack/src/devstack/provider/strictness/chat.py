"""Chat completions.

Fields are OpenAI's. One instruction message at most, and that first, as templates want it; a `developer` one only
where allowed. Calls have ids, names and arguments that are JSON objects; every call is answered by a `tool` message
before anything else is said, and a `tool` message answers nothing else. Tools are functions or custom ones with names
that all providers take, schemas are objects, `tool_choice` names one of them. `wants_reasoning`: a message with calls
carries the thoughts that led to them, as thinking models want it.
"""

from collections.abc import Iterator

from devstack.provider.payload import JsonObject, object_at, objects
from devstack.provider.strictness.checks import (
    Rules,
    json_object,
    number,
    parts,
    repeated,
    schema,
    tool_name,
    unknown_fields,
)

_FIELDS = frozenset(
    [
        "model",
        "messages",
        "audio",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "modalities",
        "n",
        "moderation",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
_MESSAGE_FIELDS = frozenset(
    ["role", "content", "name", "refusal", "audio", "tool_calls", "tool_call_id", "reasoning_content"]
)
_RANGES = {
    "max_tokens": (1, 2**31),
    "max_completion_tokens": (1, 2**31),
    "n": (1, 128),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_PARTS = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text",),
}


def complaints(body: JsonObject, rules: Rules) -> Iterator[str]:
    """All that is wrong."""
    yield from unknown_fields(body, _FIELDS)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or len(objects(messages)) < len(messages):
        yield "messages: expected a list of objects, one at least"
        return
    for place, message in enumerate(objects(messages)):
        yield from _message(message, place, rules)
    yield from _sequence(objects(messages))
    yield from _tools(body)
    yield from _tool_choice(body)
    yield from _settings(body)


def _message(message: JsonObject, place: int, rules: Rules) -> Iterator[str]:
    where, role = f"messages[{place}]", message.get("role")
    yield from unknown_fields(message, _MESSAGE_FIELDS, where)
    if not isinstance(role, str) or role not in _PARTS or (role == "developer" and not rules.allows_developer):
        yield f"{where}.role: {role!r} is not allowed"
        return
    if role in ("system", "developer") and place > 0:
        yield f"{where}: one message of instructions at most, and that first"
    is_silent = role == "assistant" and message.get("content") is None
    if not is_silent:
        yield from parts(message.get("content"), _PARTS[role], f"{where}.content")
    elif not message.get("tool_calls") and not message.get("refusal"):
        yield f"{where}.content: required without tool_calls"
    if "tool_calls" in message:
        yield from _calls(message, where, rules)


def _calls(message: JsonObject, where: str, rules: Rules) -> Iterator[str]:
    calls = objects(message.get("tool_calls"))
    if message.get("role") != "assistant" or not calls:
        yield f"{where}.tool_calls: expected one call at least, of an assistant"
    if rules.wants_reasoning and not message.get("reasoning_content"):
        yield f"{where}.reasoning_content: has to be passed back with tool calls"
    yield from repeated((str(call.get("id")) for call in calls), f"{where}.tool_calls")
    for place, call in enumerate(calls):
        at, kind = f"{where}.tool_calls[{place}]", call.get("type")
        if not isinstance(call.get("id"), str) or not 0 < len(str(call["id"])) <= 64:
            yield f"{at}.id: expected a string of 1 to 64 characters"
        if kind not in ("function", "custom"):
            yield f"{at}.type: {kind!r} is not allowed"
            continue
        called = object_at(call, str(kind))
        yield from tool_name(called.get("name"), f"{at}.name")
        if kind == "function":
            yield from json_object(called.get("arguments"), f"{at}.function.arguments")


def _sequence(messages: list[JsonObject]) -> Iterator[str]:
    """Every call is answered, once, before anything else is said."""
    waiting: list[object] = []
    for place, message in enumerate(messages):
        if message.get("role") == "tool":
            if message.get("tool_call_id") in waiting:
                waiting.remove(message.get("tool_call_id"))
            else:
                yield f"messages[{place}].tool_call_id: answers no call of the preceding assistant message"
            continue
        if waiting:
            yield f"messages[{place}]: tool calls before it are not answered: {waiting}"
        waiting = [call.get("id") for call in objects(message.get("tool_calls"))]
    if waiting:
        yield f"messages: tool calls at the end are not answered: {waiting}"


def _tools(body: JsonObject) -> Iterator[str]:
    tools = body.get("tools")
    if tools is None:
        return
    if not isinstance(tools, list) or not tools:
        yield "tools: expected one tool at least"
    for place, tool in enumerate(objects(tools)):
        where, kind = f"tools[{place}]", tool.get("type")
        if kind not in ("function", "custom"):
            yield f"{where}.type: {kind!r} is not allowed"
            continue
        yield from unknown_fields(tool, ("type", str(kind)), where)
        declared = object_at(tool, str(kind))
        yield from tool_name(declared.get("name"), f"{where}.{kind}.name")
        known = (
            ("name", "description", "parameters", "strict") if kind == "function" else ("name", "description", "format")
        )
        yield from unknown_fields(declared, known, f"{where}.{kind}")
        if "parameters" in declared:
            yield from schema(declared["parameters"], f"{where}.function.parameters")
    yield from repeated(_names(body), "tools")


def _names(body: JsonObject) -> list[str]:
    return [str(object_at(tool, str(tool.get("type"))).get("name")) for tool in objects(body.get("tools"))]


def _tool_choice(body: JsonObject) -> Iterator[str]:
    choice = body.get("tool_choice")
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and not body.get("tools"):
            yield f"{name}: only allowed when tools are specified"
    if choice is None or choice in ("none", "auto", "required"):
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or kind not in ("function", "custom", "allowed_tools"):
        yield f"tool_choice: {choice!r} is not allowed"
        return
    chosen = objects(object_at(choice, "allowed_tools").get("tools")) if kind == "allowed_tools" else [choice]
    names = [object_at(one, str(one.get("type"))).get("name") for one in chosen]
    yield from (f"tool_choice: {name!r} is not among the tools" for name in names if name not in _names(body))


def _settings(body: JsonObject) -> Iterator[str]:
    if body.get("stream_options") is not None and body.get("stream") is not True:
        yield "stream_options: only allowed with stream"
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        yield "max_tokens: not allowed together with max_completion_tokens"
    for name, (low, high) in _RANGES.items():
        yield from number(body, name, low, high)
    wanted = object_at(body, "response_format")
    if body.get("response_format") is not None and wanted.get("type") not in ("text", "json_object", "json_schema"):
        yield f"response_format.type: {wanted.get('type')!r} is not allowed"
    if wanted.get("type") == "json_schema":
        yield from tool_name(object_at(wanted, "json_schema").get("name"), "response_format.json_schema.name")
