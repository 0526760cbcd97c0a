"""OpenAI's Responses, for a client that keeps the conversation itself.

`store` is false and nothing refers to a stored response. Fields and item types are OpenAI's (what identifies a user's
machine is not among them); their rules are in `tools` and `items`. A cap on the output is 16 at least.
"""

from collections.abc import Iterator

from devstack.provider.payload import JsonObject, object_at
from devstack.provider.strictness.checks import Rules, number, schema, tool_name, unknown_fields
from devstack.provider.strictness.items import item_complaints
from devstack.provider.strictness.tools import choice_complaints, tool_complaints

_FIELDS = frozenset(
    [
        "model",
        "input",
        "background",
        "context_management",
        "conversation",
        "include",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ]
)
_INCLUDABLE = (
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
)


def complaints(body: JsonObject, rules: Rules) -> Iterator[str]:
    """All that is wrong."""
    yield from unknown_fields(body, _FIELDS)
    if body.get("store") is not False:
        yield "store: must be false"
    for name in ("previous_response_id", "conversation", "background"):
        if body.get(name):
            yield f"{name}: nothing is stored here"
    yield from item_complaints(body.get("input"), rules)
    yield from tool_complaints(body)
    yield from choice_complaints(body)
    yield from _settings(body)
    yield from _text(object_at(body, "text"))


def _settings(body: JsonObject) -> Iterator[str]:
    yield from number(body, "max_output_tokens", 16, 2**31)
    yield from number(body, "temperature", 0, 2)
    yield from number(body, "top_p", 0, 1)
    if not isinstance(body.get("instructions", ""), str | None):
        yield "instructions: expected a string"
    include = body.get("include")
    if include is not None and (not isinstance(include, list) or any(name not in _INCLUDABLE for name in include)):
        yield f"include: {include!r} is not allowed"
    if body.get("stream_options") is not None:
        if body.get("stream") is not True:
            yield "stream_options: only allowed with stream"
        yield from unknown_fields(object_at(body, "stream_options"), ("include_obfuscation",), "stream_options")
    if body.get("reasoning") is not None:
        yield from unknown_fields(object_at(body, "reasoning"), ("effort", "summary", "generate_summary"), "reasoning")


def _text(text: JsonObject) -> Iterator[str]:
    yield from unknown_fields(text, ("format", "verbosity"), "text")
    wanted = object_at(text, "format")
    if wanted and wanted.get("type") not in ("text", "json_object", "json_schema"):
        yield f"text.format.type: {wanted.get('type')!r} is not allowed"
    if wanted.get("type") == "json_schema":
        yield from tool_name(wanted.get("name"), "text.format.name")
        yield from schema(wanted.get("schema"), "text.format.schema")
