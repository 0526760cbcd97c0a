"""JSON as it is written and read here: compact bytes, server-sent events, and careful looks into strangers' bodies."""

import itertools
import json

JsonObject = dict[str, object]


def encode(payload: JsonObject) -> bytes:
    """Compact JSON in UTF-8, letters outside ASCII as themselves."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def sse(payload: JsonObject) -> bytes:
    """One event of a stream."""
    return b"data: " + encode(payload) + b"\n\n"


def named_sse(payload: JsonObject) -> bytes:
    """One event of a stream, with its `type` as the event's name."""
    return f"event: {payload['type']}\n".encode() + sse(payload)


def pieces(text: str, count: int | None) -> list[str]:
    """`text` in `count` parts of about one length, or one per word; together they are the text again."""
    if not text:
        return []
    if count is None:
        words = text.split(" ")
        return [word if place == 0 else f" {word}" for place, word in enumerate(words)]
    bounds = [len(text) * place // count for place in range(count + 1)]
    return [text[start:end] for start, end in itertools.pairwise(bounds) if start < end]


def objects(value: object) -> list[JsonObject]:
    """The objects in a list; none when it is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def object_at(value: JsonObject, name: str) -> JsonObject:
    """The object in a field; an empty one when there is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def text_at(value: JsonObject, name: str) -> str:
    """The string in a field; an empty one when there is none."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def words_of(content: object) -> str:
    """The text of a message's content, whether a string or parts."""
    if isinstance(content, str):
        return content
    return " ".join(text_at(part, "text") for part in objects(content) if "text" in part)
