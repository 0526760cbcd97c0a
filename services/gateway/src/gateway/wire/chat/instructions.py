"""Instructions (system and developer messages) under the role, and in the place, that a target has for them."""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.wire.chat.models import AskedPart
from gateway.wire.lane import Quirks, UnusableRequest

INSTRUCTING = frozenset({"system", "developer"})
# Between two instructions that become one.
SEPARATOR = "\n\n"

_read_content = msgspec.json.Decoder(str | list[AskedPart] | None)


def role_of(role: str, quirks: Quirks) -> str:
    """The role of a message where the target may have no `developer`, or neither that nor `system`."""
    if role not in INSTRUCTING or quirks.system_role == "developer":
        return role  # whoever has `developer` takes `system` as well
    return quirks.system_role


def merged(messages: Sequence[dict[str, object]], roles: Sequence[str], quirks: Quirks) -> list[dict[str, object]]:
    """All instructions as one message before everything else. Raises `UnusableRequest` for one that is not text."""
    told = [
        _text(message, place)
        for place, (message, role) in enumerate(zip(messages, roles, strict=True))
        if role in INSTRUCTING
    ]
    others = [message for message, role in zip(messages, roles, strict=True) if role not in INSTRUCTING]
    return [{"role": quirks.system_role, "content": SEPARATOR.join(text for text in told if text)}, *others]


def _text(message: Mapping[str, object], place: int) -> str:
    raw = message.get("content")
    try:
        content = _read_content.decode(raw) if isinstance(raw, msgspec.Raw) else None
    except msgspec.ValidationError:
        content = None
    if isinstance(content, str):
        return content
    if content is None or any(part.type != "text" for part in content):
        param = f"messages[{place}].content"
        raise UnusableRequest(f"`{param}` must be text.", code="invalid_value", param=param)
    return "\n".join(part.text or "" for part in content)
