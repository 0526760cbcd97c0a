"""Anthropic's Messages.

The version header and `max_tokens` are required. Users and assistants take turns, the user first and last; text is
never empty. The results of tool calls come at the beginning of the very next user message, all of them and no others.
Thoughts come back with the signature that this provider issued. Tools have schemas of objects, `tool_choice` names one.
"""

import re
from collections.abc import Iterator

from devstack.provider.http import Request
from devstack.provider.payload import JsonObject, object_at, objects
from devstack.provider.strictness.checks import Rules, number, repeated, schema, unknown_fields

_FIELDS = frozenset(
    [
        "model",
        "messages",
        "max_tokens",
        "system",
        "stop_sequences",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "tool_choice",
        "thinking",
        "metadata",
        "service_tier",
        "container",
        "context_management",
        "mcp_servers",
        "output_config",
        "output_format",
        "cache_control",
    ]
)
_BLOCKS = {
    "user": ("text", "image", "document", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
}
_BLOCK_FIELDS = {
    "text": ("text",),
    "image": ("source",),
    "document": ("source", "title", "context", "citations"),
    "tool_result": ("tool_use_id", "content", "is_error"),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name", "input"),
}
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def complaints(request: Request, rules: Rules) -> Iterator[str]:
    """All that is wrong."""
    body = request.json
    if "anthropic-version" not in request.headers:
        yield "anthropic-version: header is required"
    yield from unknown_fields(body, _FIELDS)
    if body.get("max_tokens") is None:
        yield "max_tokens: required"
    yield from number(body, "max_tokens", 1, 2**31)
    yield from number(body, "temperature", 0, 1)
    messages = objects(body.get("messages"))
    yield from _turns(messages)
    for place, message in enumerate(messages):
        yield from _content(message, f"messages.{place}", rules)
    yield from _pairs(messages)
    yield from _tools(body)
    yield from _thinking(body)
    if not isinstance(body.get("system", ""), str):
        yield from _blocks(body.get("system"), ("text",), "system", rules)


def _turns(messages: list[JsonObject]) -> Iterator[str]:
    if not messages:
        yield "messages: at least one message is required"
    for place, message in enumerate(messages):
        wanted = "assistant" if place % 2 else "user"
        if message.get("role") != wanted:
            yield f"messages.{place}.role: roles must alternate: expected {wanted}, got {message.get('role')!r}"
            return
    if messages and messages[-1].get("role") != "user":
        yield "messages: the last one must be the user's"


def _content(message: JsonObject, where: str, rules: Rules) -> Iterator[str]:
    yield from unknown_fields(message, ("role", "content"), where)
    content = message.get("content")
    if isinstance(content, str):
        if not content.strip():
            yield f"{where}: content must be non-empty"
        return
    yield from _blocks(content, _BLOCKS.get(str(message.get("role")), ()), f"{where}.content", rules)


def _blocks(content: object, kinds: tuple[str, ...], where: str, rules: Rules) -> Iterator[str]:
    if not isinstance(content, list) or not content:
        yield f"{where}: expected a list of blocks, one at least"
    for place, block in enumerate(objects(content)):
        at, kind = f"{where}.{place}", str(block.get("type"))
        if kind not in kinds:
            yield f"{at}: {kind!r} is none of {', '.join(kinds)}"
            continue
        yield from unknown_fields(block, ("type", "cache_control", *_BLOCK_FIELDS[kind]), at)
        yield from _block(block, kind, at, rules)


def _block(block: JsonObject, kind: str, at: str, rules: Rules) -> Iterator[str]:
    if kind == "text" and not str(block.get("text") or "").strip():
        yield f"{at}: text content blocks must be non-empty"
    elif kind in ("thinking", "redacted_thinking"):
        state = block.get("signature" if kind == "thinking" else "data")
        if not isinstance(state, str) or state not in rules.issued:
            yield f"{at}: invalid signature in {kind} block"
    elif kind == "tool_use":
        if not isinstance(block.get("input"), dict):
            yield f"{at}.input: expected an object"
        if not _ID.fullmatch(str(block.get("id"))) or not _TOOL_NAME.fullmatch(str(block.get("name"))):
            yield f"{at}: id {block.get('id')!r} or name {block.get('name')!r} has characters that are not allowed"
    elif kind == "tool_result" and block.get("content") is not None and not isinstance(block["content"], str):
        yield from _blocks(block["content"], ("text", "image", "document"), f"{at}.content", rules)
    elif kind == "image" and object_at(block, "source").get("type") not in ("base64", "url"):
        yield f"{at}.source.type: expected base64 or url"


def _pairs(messages: list[JsonObject]) -> Iterator[str]:
    """Results come at once, first, complete, and answer nothing else."""
    waiting: list[str] = []
    uses: list[str] = []
    for place, message in enumerate(messages):
        blocks = objects(message.get("content"))
        kinds = [block.get("type") == "tool_result" for block in blocks]
        results = [str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"]
        if missing := sorted(set(waiting) - set(results)):
            yield f"messages.{place}: tool_use ids without tool_result blocks immediately after: {missing}"
        if unexpected := sorted(set(results) - set(waiting)):
            yield f"messages.{place}: unexpected tool_use_id in tool_result blocks: {unexpected}"
        if kinds != sorted(kinds, reverse=True):
            yield f"messages.{place}: tool_result blocks must come first"
        yield from repeated(results, f"messages.{place}")
        waiting = [str(block.get("id")) for block in blocks if block.get("type") == "tool_use"]
        uses += waiting
    if waiting:
        yield f"messages: tool_use ids without tool_result blocks: {waiting}"
    yield from repeated(uses, "messages: tool_use ids must be unique")


def _tools(body: JsonObject) -> Iterator[str]:
    tools = objects(body.get("tools"))
    names = [str(tool.get("name")) for tool in tools]
    for place, tool in enumerate(tools):
        if tool.get("type", "custom") != "custom":
            yield f"tools.{place}.type: {tool['type']!r} is not allowed"
        if not _TOOL_NAME.fullmatch(str(tool.get("name"))):
            yield f"tools.{place}.name: {tool.get('name')!r} does not match {_TOOL_NAME.pattern}"
        known = ("type", "name", "description", "input_schema", "cache_control", "strict", "eager_input_streaming")
        yield from unknown_fields(tool, known, f"tools.{place}")
        yield from schema(tool.get("input_schema"), f"tools.{place}.input_schema")
    yield from repeated(names, "tools: tool names must be unique")
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        yield f"tool_choice: {choice!r} is not allowed"
    elif not tools:
        yield "tool_choice: may only be specified while providing tools"
    elif kind == "tool" and object_at(body, "tool_choice").get("name") not in names:
        yield f"tool_choice: {object_at(body, 'tool_choice').get('name')!r} is not among the tools"


def _thinking(body: JsonObject) -> Iterator[str]:
    thinking = object_at(body, "thinking")
    if thinking.get("type") != "enabled":
        return
    budget, most = thinking.get("budget_tokens"), body.get("max_tokens")
    if not isinstance(budget, int) or budget < 1024:
        yield "thinking.budget_tokens: expected 1024 at least"
    elif isinstance(most, int) and budget >= most:
        yield "max_tokens: must be greater than thinking.budget_tokens"
    if body.get("temperature") not in (None, 1):
        yield "temperature: may only be 1 when thinking is enabled"
    if object_at(body, "tool_choice").get("type") in ("any", "tool"):
        yield "tool_choice: may not force tool use when thinking is enabled"
