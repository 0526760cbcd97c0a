"""What is wrong with a request, said in the client's terms: a sentence and a place, never a value."""

import re
from typing import Any, TypeVar

import msgspec

from gateway.wire.lane import UnusableRequest

_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_VALUE = re.compile(r"Invalid (?:enum )?value .*", re.DOTALL)

Wanted = TypeVar("Wanted")


def read(value: Any, wanted: type[Wanted], *, at: str = "") -> Wanted:
    """A part of the body, which is at that place, as the type that it has to be. Raises `UnusableRequest`."""
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as exc:
        raise fault(str(exc), at=at) from None


def fault(text: str, *, at: str = "") -> UnusableRequest:
    """What msgspec says of a part of the body, which is at that place."""
    found = _PLACE.search(text)
    said, place = (text, at) if found is None else (text[: found.start()], _joined(at, found.group(1)))
    missing = _MISSING.fullmatch(said)
    if missing is not None:
        return absent(_joined(place, missing.group(1)))
    if not place:
        return UnusableRequest(f"The body must be a JSON object: {said}.", code="invalid_value")
    if _VALUE.fullmatch(said):
        return unsupported(place, "has a value that is not supported here")
    return invalid(place, f"is not valid: {said}")


def absent(param: str) -> UnusableRequest:
    """A field that has to be there."""
    return UnusableRequest(f"`{param}` is required.", code="missing_required_parameter", param=param)


def invalid(param: str, said: str) -> UnusableRequest:
    """A field whose value cannot be right. `said` goes on after its name."""
    return UnusableRequest(f"`{param}` {said}.", code="invalid_value", param=param)


def unsupported(param: str, said: str) -> UnusableRequest:
    """A field whose value is right, but not here."""
    return UnusableRequest(f"`{param}` {said}.", code="unsupported_value", param=param)


def _joined(at: str, place: str) -> str:
    if not at or not place:
        return at or place
    return f"{at}{place}" if place.startswith("[") else f"{at}.{place}"
