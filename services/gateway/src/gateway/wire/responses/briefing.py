"""A Responses request as far as routing needs it: its whole input, history included."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.wire.briefing import MEDIA_BYTES, THINKING, Opening, asks_for_thoughts, cut, json_types_of, needs_of
from gateway.wire.lane import Brief
from gateway.wire.responses.history import is_of_assistant, is_result, said

# The fields that hold the data of a part which is no text.
_MEDIA = {"input_image": "image_url", "input_file": "file_data", "input_audio": "input_audio"}
_TEXTS = ("input_text", "text")
# The tools that the client runs, which every target has to know; the others are the provider's own.
_CLIENTS_TOOLS = frozenset({"function", "custom", "namespace", "local_shell", "shell", "apply_patch", "tool_search"})
# What a stored item has besides, and the same item does not have when it is sent.
_NAMES = ("id", "type", "status")

_Items = Sequence[Mapping[str, Any]]
_encoder = msgspec.json.Encoder()


def size_of(items: _Items) -> int:
    """The bytes of items that were not sent with the request."""
    return len(_encoder.encode(items))


def to_brief(raw: Mapping[str, Any], items: _Items, *, size_bytes: int, compacts: bool) -> Brief:
    """`raw` is the checked body, `items` the whole input, `size_bytes` all of it as it was sent."""
    media = list(_media(items))
    may_call = not compacts and raw.get("tool_choice") != "none" and _declares(raw, items)
    wanted = (raw.get("text") or {}).get("format") or {}
    json_types = None if compacts else json_types_of(wanted.get("type"), wanted.get("schema"))
    spoken = said(items)
    return Brief(
        user_text=_user_text(items),
        input_bytes=max(size_bytes - sum(length for _, length in media), 0) + len(media) * MEDIA_BYTES,
        opening=_opening(raw, items),
        output_tokens=raw.get("max_output_tokens"),
        needs=needs_of(
            tools=_declares(raw, items) or any(map(is_result, items)),
            parallel_calls=may_call and raw.get("parallel_tool_calls") is True,
            images=any(kind == "input_image" for kind, _ in media),
            schema=json_types is not None and wanted.get("type") == "json_schema",
        ),
        may_call=may_call,
        is_reasoning=asks_for_thoughts({name: raw[name] for name in THINKING if name in raw}),
        is_tool_loop=bool(spoken) and is_result(spoken[-1]),
        sealed=tuple(state for item in items if isinstance(state := item.get("encrypted_content"), str) and state),
        json_types=json_types,
    )


def _declares(raw: Mapping[str, Any], items: _Items) -> bool:
    """Whether there is a tool that the client runs."""
    brought = [tools for item in items if isinstance(tools := item.get("tools"), list)]
    return any(
        isinstance(tool, Mapping) and tool.get("type") in _CLIENTS_TOOLS
        for tools in (raw.get("tools") or (), *brought)
        for tool in tools
    )


def _media(items: _Items) -> Iterator[tuple[str, int]]:
    """Pictures, documents and sounds, with the length of their data."""
    for item in items:
        for parts in (item.get("content"), item.get("output")):
            for part in parts if isinstance(parts, list) else ():
                kind = part.get("type") if isinstance(part, Mapping) else None
                if kind in _MEDIA:
                    yield str(kind), len(str(part.get(_MEDIA[kind]) or ""))


def _user_text(items: _Items) -> str:
    for item in reversed(items):
        if item.get("role") == "user" and item.get("type", "message") == "message":
            text = "\n".join(_texts(item.get("content")))
            if text and not text.isspace():
                return cut(text)
    return ""


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping) and part.get("type") in _TEXTS and isinstance(text := part.get("text"), str):
            yield text


def _opening(raw: Mapping[str, Any], items: _Items) -> bytes:
    opening = Opening()
    opening.add(raw.get("instructions") or "")
    opening.add(_encoder.encode(raw.get("tools") or ()))
    for item in items:
        if is_of_assistant(item) or is_result(item):
            break
        for piece in _pieces(item):
            opening.add(piece)
    return opening.digest()


def _pieces(item: Mapping[str, Any]) -> Iterator[str | bytes]:
    """What an item of the opening says, the same whether it comes from the client or was stored."""
    if item.get("type", "message") != "message":
        yield _encoder.encode({name: value for name, value in item.items() if name not in _NAMES})
        return
    yield str(item.get("role"))
    content = item.get("content")
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        yield from (str(value) for value in part.values()) if isinstance(part, Mapping) else ()
