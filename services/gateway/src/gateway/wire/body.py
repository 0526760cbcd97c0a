"""What the formats share in reading a request: its fields as bytes, its faults, the names of what had no effect."""

import re
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from gateway.wire.depth import is_deeper_than
from gateway.wire.lane import UnusableRequest

NOT_JSON = "The body is not valid JSON in UTF-8."

# Names that are safe in a header, and few enough to fit.
_PRINTABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_NAMES = 20
_FAULT_PLACE = re.compile(r" - at `\$\.?(.*)`$")

_read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

AskedT = TypeVar("AskedT")


def read_body(
    body: bytes, decoder: msgspec.json.Decoder[AskedT], *, max_depth: int
) -> tuple[AskedT, dict[str, msgspec.Raw]]:
    """The body as the decoder's type, and each of its fields as it was sent. Raises `UnusableRequest`."""
    try:
        body.decode()  # the parser does not look into the strings that it skips
        fields = _read_fields.decode(body)
        if is_deeper_than(max_depth, body):
            raise RecursionError
        return decoder.decode(body), fields
    except msgspec.ValidationError as exc:
        raise fault(str(exc)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnusableRequest(NOT_JSON, code="invalid_json") from None
    except RecursionError:
        raise UnusableRequest(f"The body is nested deeper than {max_depth} levels.", code="invalid_json") from None


def is_null(raw: msgspec.Raw) -> bool:
    """Whether a field's value is null, which is as good as absent."""
    return bytes(memoryview(raw)[:5]) == b"null"


def shown_in_header(names: Iterable[str]) -> tuple[str, ...]:
    """The first names that `x-smartroute-ignored` can hold, each once."""
    return tuple(dict.fromkeys(name for name in names if _PRINTABLE_NAME.fullmatch(name)))[:_MAX_NAMES]


def fault(text: str) -> UnusableRequest:
    """What msgspec says names types and the place, never a value."""
    place = _FAULT_PLACE.search(text)
    if place is not None:
        fault, param = text[: place.start()], place.group(1)
        return UnusableRequest(f"{fault} at `{param}`.", code="invalid_value", param=param)
    missing = re.fullmatch(r"Object missing required field `(\w+)`", text)
    if missing is not None:
        name = missing.group(1)
        return UnusableRequest(f"`{name}` is required.", code="missing_required_parameter", param=name)
    return UnusableRequest(f"The body must be a JSON object: {text}.", code="invalid_value")
