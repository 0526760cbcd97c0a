"""A chat request as far as routing needs it. Contents are looked into only where they may hold what is sought."""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.wire.briefing import MEDIA_BYTES, THINKING, Opening, asks_for_thoughts, cut, json_types_of, needs_of
from gateway.wire.chat.models import AskedMessage
from gateway.wire.lane import Brief

_MEDIA = ("image_url", "file", "input_audio")
_MEDIA_FIELDS = tuple(f'"{name}"'.encode() for name in _MEDIA)
_ABSENT = msgspec.Raw()


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = _ABSENT
    image_url: msgspec.Raw = _ABSENT
    file: msgspec.Raw = _ABSENT
    input_audio: msgspec.Raw = _ABSENT


_read_parts = msgspec.json.Decoder(list[_Part])
_read_text = msgspec.json.Decoder(str)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def to_brief(
    messages: Sequence[AskedMessage],
    forwarded: Mapping[str, msgspec.Raw],
    *,
    has_tools: bool,
    output_tokens: int | None,
) -> Brief:
    """`forwarded` are the fields as they were sent, `messages` among them."""
    has_images, media_bytes, media = _media(messages, bytes(forwarded["messages"]))
    may_call = has_tools and _value(forwarded, "tool_choice") != "none"
    wanted = _value(forwarded, "response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    described = wanted.get("json_schema") if isinstance(wanted, dict) else None
    read = ("messages", "tools", "response_format")
    return Brief(
        user_text=_user_text(messages),
        input_bytes=sum(_length(forwarded, name) for name in read) - media_bytes + media * MEDIA_BYTES,
        opening=_opening(messages, forwarded.get("tools")),
        output_tokens=output_tokens,
        needs=needs_of(
            tools=has_tools or any(message.role == "tool" for message in messages),
            parallel_calls=may_call and _value(forwarded, "parallel_tool_calls") is True,
            images=has_images,
            schema=kind == "json_schema",
        ),
        may_call=may_call,
        is_reasoning=asks_for_thoughts({name: _value(forwarded, name) for name in THINKING if name in forwarded}),
        is_tool_loop=messages[-1].role == "tool",
        json_types=json_types_of(kind, described.get("schema") if isinstance(described, dict) else None),
    )


def _length(fields: Mapping[str, msgspec.Raw], name: str) -> int:
    return memoryview(fields[name]).nbytes if name in fields else 0


def _value(fields: Mapping[str, msgspec.Raw], name: str) -> object:
    """A small field's value; None for one that is not there or cannot be read."""
    try:
        return msgspec.json.decode(fields[name]) if name in fields else None
    except _UNREADABLE:
        return None


def _parts(content: msgspec.Raw) -> Sequence[_Part]:
    """The parts of a content that has some, as far as they can be read."""
    try:
        return _read_parts.decode(content) if bytes(memoryview(content)[:1]) == b"[" else ()
    except _UNREADABLE:
        return ()


def _text(raw: msgspec.Raw) -> str:
    try:
        return _read_text.decode(raw)
    except _UNREADABLE:
        return ""


def _user_text(messages: Sequence[AskedMessage]) -> str:
    for message in reversed(messages):
        if message.role == "user":
            parts = [part.text for part in _parts(message.content) if part.type == "text"]
            text = "\n".join([_text(part) for part in parts]) if parts else _text(message.content)
            if not text.isspace() and text:
                return cut(text)
    return ""


def _media(messages: Sequence[AskedMessage], body: bytes) -> tuple[bool, int, int]:
    """Whether there are pictures, and the bytes and the number of all that is no text."""
    if not any(field in body for field in _MEDIA_FIELDS):
        return False, 0, 0
    parts = [part for message in messages for part in _parts(message.content) if part.type in _MEDIA]
    lengths = [memoryview(getattr(part, part.type)).nbytes for part in parts]
    return any(part.type == "image_url" for part in parts), sum(lengths), len(parts)


def _opening(messages: Sequence[AskedMessage], tools: msgspec.Raw | None) -> bytes:
    opening = Opening()
    opening.add(bytes(tools) if tools is not None else b"")
    for message in messages:
        if message.role in ("assistant", "tool"):
            break
        opening.add(message.role)
        opening.add(bytes(message.content))
    return opening.digest()
