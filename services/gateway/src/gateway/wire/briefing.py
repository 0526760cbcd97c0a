"""What the formats share in reading a request for routing: cut texts, digests of openings, wishes to think, JSON types.

Nothing here raises: a request that is passed on as it came may say odd things where nobody has looked yet.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from gateway.wire.lane import Need

# Of a long text, this many characters of its beginning and of its end are kept.
END_CHARACTERS = 1500
# What a picture or a document counts as: how many tokens it takes does not follow from the length of its data.
MEDIA_BYTES = 4800
# Longer pieces of an opening are told apart by their ends and their length.
_PIECE = 65_536
_IDLE_EFFORTS = frozenset({"none", "minimal"})
# The fields by which clients ask for thoughts, in any of their dialects.
THINKING = ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "chat_template_kwargs")


def cut(text: str) -> str:
    """Both ends of a long text, a line break between them; the whole of a short one."""
    return text if len(text) <= 2 * END_CHARACTERS else f"{text[:END_CHARACTERS]}\n{text[-END_CHARACTERS:]}"


class Opening:
    """A digest of what a conversation begins with, piece by piece."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)

    def add(self, piece: str | bytes) -> None:
        """The next piece; its length is part of the digest, so that pieces keep their borders."""
        length = len(piece)
        if length > _PIECE:
            piece = piece[: _PIECE // 2] + piece[-_PIECE // 2 :]  # type: ignore[operator]
        self._hash.update(length.to_bytes(8, "big"))
        self._hash.update(piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece)

    def digest(self) -> bytes:
        return self._hash.digest()


def asks_for_thoughts(fields: Mapping[str, object]) -> bool:
    """Whether the model is asked to think more than a moment; `fields` are those of `THINKING`, as they were sent."""
    reasoning, thinking = fields.get("reasoning"), fields.get("thinking")
    template = fields.get("chat_template_kwargs")
    template = template if isinstance(template, Mapping) else {}
    switches = (fields.get("enable_thinking"), template.get("enable_thinking"), template.get("thinking"), thinking)
    if any(switch is True for switch in switches) or _is_effort(fields.get("reasoning_effort")):
        return True
    if isinstance(thinking, Mapping) and thinking.get("type") in ("enabled", "adaptive"):
        return True
    return isinstance(reasoning, Mapping) and (
        _is_effort(reasoning.get("effort")) or reasoning.get("enabled") is True or bool(reasoning.get("max_tokens"))
    )


def json_types_of(kind: object, schema: object) -> tuple[str, ...] | None:
    """The JSON types that an answer in this output format may have; see `lane.Brief`."""
    if kind == "json_object":
        return ("object",)
    if kind != "json_schema":
        return None
    declared = schema.get("type") if isinstance(schema, Mapping) else None
    named = [declared] if isinstance(declared, str) else declared if isinstance(declared, Sequence) else ()
    return tuple(name for name in named if isinstance(name, str))


def needs_of(*, tools: bool, parallel_calls: bool, images: bool, schema: bool) -> tuple[Need, ...]:
    """What a target must have."""
    asked: Mapping[Need, bool] = {
        "tools": tools,
        "parallel_calls": parallel_calls,
        "images": images,
        "schema": schema,
    }
    return tuple(need for need, is_needed in asked.items() if is_needed)


def _is_effort(effort: object) -> bool:
    return isinstance(effort, str) and bool(effort) and effort not in _IDLE_EFFORTS
