"""The rules that formats share: known fields, names and schemas of tools, numbers in their range."""

import json
import re
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass

from devstack.provider.payload import JsonObject

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Rules:
    """What this provider takes. `issued`: the item ids and opaque states that it has handed out."""

    issued: Container[str] = ()
    allows_developer: bool = False
    wants_reasoning: bool = False


def unknown_fields(value: JsonObject, known: Collection[str], where: str = "") -> Iterator[str]:
    """Fields that the format does not have."""
    prefix = f"{where}." if where else ""
    yield from (f"{prefix}{name}: unknown parameter" for name in value if name not in known)


def number(body: JsonObject, name: str, low: float, high: float = float("inf")) -> Iterator[str]:
    """A number outside its range, or something else; absent and null are fine."""
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        yield f"{name}: expected a number from {low} to {high}, got {value!r}"


def tool_name(name: object, where: str) -> Iterator[str]:
    """A name that no function may have."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f"{where}: {name!r} does not match {_NAME.pattern}"


def schema(value: object, where: str) -> Iterator[str]:
    """Parameters that are no schema of an object."""
    if not isinstance(value, dict) or value.get("type") != "object":
        yield f"{where}: expected a JSON Schema of type object"


def json_object(value: object, where: str) -> Iterator[str]:
    """Arguments that are not the JSON text of an object."""
    try:
        parsed = json.loads(value) if isinstance(value, str) else None
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        yield f"{where}: expected the JSON text of an object"


def repeated(names: Iterable[str], where: str) -> Iterator[str]:
    """Names that come twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{where}: {name!r} comes twice"
        seen.add(name)


def parts(content: object, kinds: Collection[str], where: str) -> Iterator[str]:
    """Content that is neither a string nor a list of parts of these kinds."""
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        yield f"{where}: expected a string or a list of parts"
        return
    for place, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in kinds:
            yield f"{where}[{place}].type: {kind!r} is none of {', '.join(kinds)}"
        elif kind in _FILLED and not isinstance(part.get(_FILLED[kind]), _FILLED_WITH.get(kind, str)):
            yield f"{where}[{place}].{_FILLED[kind]}: required"


# What a part of each kind is nothing without.
_FILLED = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "image_url": "image_url",
    "input_image": "image_url",
}
_FILLED_WITH: dict[str, type] = {"image_url": dict}
