"""A chat request on its way to a chat target: the client's own bytes, changed only where the target's dialect needs it.

| the target | what happens |
|---|---|
| has no `developer` role, or no `system` either | these messages get the role that it has |
| takes one system message (`merges_system`) | several of them become one, and that comes first |
| names the cap otherwise (`output_cap_field`) | the cap is sent under that name only |
| caps answers | a higher cap, or none, becomes the target's |
| takes a key for its prompt cache | ours is sent |
| knows no parallel calls | `parallel_tool_calls` is not sent; a message with several calls becomes several messages |
| takes no tools, no pictures, no JSON schema | it is not asked (`Unservable`) |
| has fields to leave out or to rename | last |

A conversation that needs none of it is passed on as the bytes that came. Where a call has no result, or a result no
call, the provider says so: a client that speaks the provider's format has written it itself.
"""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.wire.chat.decode import ChatRequest
from gateway.wire.chat.instructions import merged, role_of
from gateway.wire.chat.models import AskedFormat
from gateway.wire.crossing import Written
from gateway.wire.lane import Quirks, Target, Unservable, UnusableRequest

STREAM: Mapping[str, object] = {"stream": True, "stream_options": {"include_usage": True}}

_Message = dict[str, object]

_encoder = msgspec.json.Encoder()
_read_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_read_calls = msgspec.json.Decoder(list[msgspec.Raw] | None)
_read_format = msgspec.json.Decoder(AskedFormat)
_PARALLEL = "parallel_tool_calls"


class _Called(msgspec.Struct):
    id: str = ""


def to_provider_request(request: ChatRequest, target: Target) -> Written:
    """The body for one target. Raises `Unservable`, and `UnusableRequest` for messages that cannot be read."""
    quirks = target.quirks
    _check_taken(request, quirks)
    fields: _Message = {"model": target.model, **request.forwarded}
    ignored = [name for name in target.drop if name in request.forwarded]
    messages = _fitted(request, quirks)
    if messages is not None:
        fields["messages"] = messages
    if not quirks.takes_parallel_calls:
        is_parallel = fields.pop(_PARALLEL, None)
        ignored += [_PARALLEL] if isinstance(is_parallel, msgspec.Raw) and bytes(is_parallel) == b"true" else []
    if request.is_stream:
        fields |= STREAM
    cap_output(fields, request.max_output_tokens, target)
    fields |= target.cache_fields
    adjust(fields, target)
    return Written(_encoder.encode(fields), tuple(dict.fromkeys(ignored)))


def cap_output(fields: _Message, asked: int | None, target: Target) -> None:
    """What the client asked for or the target's cap, whichever is lower, under the target's name for it."""
    cap, name = target.max_output_tokens, target.quirks.output_cap_field
    other = "max_tokens" if name == "max_completion_tokens" else "max_completion_tokens"
    tokens = asked if cap is None or (asked is not None and asked <= cap) else cap
    if tokens is None or (tokens == asked and name in fields and other not in fields):
        return
    fields.pop(other, None)
    fields[name] = tokens


def adjust(fields: _Message, target: Target) -> None:
    """What the operator says of a target: fields are left out, then renamed."""
    for name in target.drop:
        fields.pop(name, None)
    for name, other in target.rename.items():
        if name in fields:
            fields[other] = fields.pop(name)


def _check_taken(request: ChatRequest, quirks: Quirks) -> None:
    if not quirks.takes_tools:
        if request.has_tools:
            raise Unservable("tools")
        if "tool" in request.roles:
            raise Unservable("messages")
    if not quirks.takes_images and _has_images(request.forwarded["messages"]):
        raise Unservable("messages")
    if not quirks.takes_schema and _wants_schema(request.forwarded.get("response_format")):
        raise Unservable("response_format")


def _has_images(messages: msgspec.Raw) -> bool:
    if b"image_url" not in bytes(messages):
        return False
    contents = [message.get("content") for message in msgspec.json.decode(messages)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return any(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def _wants_schema(response_format: msgspec.Raw | None) -> bool:
    try:
        return response_format is not None and _read_format.decode(response_format).type == "json_schema"
    except msgspec.ValidationError:
        return False  # the provider says what is wrong with it


def _fitted(request: ChatRequest, quirks: Quirks) -> list[_Message] | None:
    """The messages as the target needs them; None when it takes them as they are."""
    roles = request.roles
    instructions = roles.count("system") + roles.count("developer")
    is_merged = quirks.merges_system and instructions > 1
    is_renamed = any(role_of(role, quirks) != role for role in ("system", "developer") if role in roles)
    is_split = not quirks.takes_parallel_calls and "tool" in roles
    if not (is_merged or is_renamed or is_split):
        return None
    messages: list[_Message] = [dict(message) for message in _read_messages.decode(request.forwarded["messages"])]
    if is_merged:
        messages = merged(messages, roles, quirks)
    elif is_renamed:
        for message, role in zip(messages, roles, strict=True):
            message["role"] = role_of(role, quirks)
    return _one_call_each(messages) if is_split else messages


def _one_call_each(messages: Sequence[_Message]) -> list[_Message]:
    """Every message with several calls as several messages, each with one call and followed by what answers it."""
    fitted: list[_Message] = []
    place = 0
    while place < len(messages):
        message, place = messages[place], place + 1
        calls = _calls(message)
        if len(calls) < 2:
            fitted.append(message)
            continue
        begin = place
        while place < len(messages) and "tool_call_id" in messages[place]:
            place += 1
        fitted += _successive(message, calls, messages[begin:place])
    return fitted


def _calls(message: _Message) -> list[msgspec.Raw]:
    calls = message.get("tool_calls")
    try:
        return (_read_calls.decode(calls) or []) if isinstance(calls, msgspec.Raw) else []
    except msgspec.ValidationError:
        return []


def _successive(message: _Message, calls: Sequence[msgspec.Raw], answers: Sequence[_Message]) -> list[_Message]:
    """One message's calls and their results in turn; what was said with the calls is said before the first."""
    waiting = list(answers)
    fitted: list[_Message] = []
    for number, call in enumerate(calls):
        fitted.append({**message, "tool_calls": [call]} | ({"content": None} if number else {}))
        call_id = _id_of(call)
        fitted += [answer for answer in waiting if _text(answer["tool_call_id"]) == call_id]
        waiting = [answer for answer in waiting if _text(answer["tool_call_id"]) != call_id]
    return fitted + waiting


def _id_of(call: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(call, type=_Called).id
    except msgspec.ValidationError:
        raise UnusableRequest(
            "Tool calls must be objects with an `id`.", code="invalid_value", param="messages"
        ) from None


def _text(raw: object) -> object:
    return msgspec.json.decode(raw) if isinstance(raw, msgspec.Raw) else raw
