"""What came back, as values: an HTTP answer, and what a stream said when it is read as a client reads it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TURN_HEADER = "x-smartroute-turn"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. A stream has `payloads`, the data of its events; anything else has a `body`.

    `is_cut`: the connection ended before the answer did. Names of headers are in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    payloads: tuple[bytes, ...] = ()
    is_stream: bool = False
    is_cut: bool = False
    first_seconds: float | None = None
    seconds: float = 0.0

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "unknown")

    @property
    def turn(self) -> "Turn | None":
        """Which prompt it rides on; None: it was not admitted."""
        return Turn.read(self.headers.get(TURN_HEADER, ""))

    @property
    def json(self) -> dict[str, Any] | None:
        """The body, when it is a JSON object."""
        return parsed(self.body)

    @property
    def error(self) -> str | None:
        """The code of an error in our shape; None: it is no such error."""
        return error_code(self.json)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing that could be read came back."""

    reason: Literal["unreachable", "too_slow"]
    seconds: float = 0.0
    limit_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """The header `x-smartroute-turn`: `<id>; call=<n>; calls=<most>`."""

    turn_id: str
    call: int
    calls: int

    @classmethod
    def read(cls, value: str) -> "Turn | None":
        turn_id, *parts = (part.strip() for part in value.split(";"))
        numbers = dict(part.split("=", 1) for part in parts if "=" in part)
        try:
            return cls(turn_id, int(numbers["call"]), int(numbers["calls"]))
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as a client would run it. `arguments` is the text that the model wrote."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What a stream said. `fault` is what is wrong with its form, `error` the code that it ended with.

    `items` are the finished output items of a response, to be sent back as they came.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    tokens: tuple[int, int] | None = None
    is_complete: bool = False
    error: str | None = None
    fault: str | None = None
    items: tuple[dict[str, Any], ...] = field(default=())


def parsed(data: bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def error_code(payload: Mapping[str, Any] | None) -> str | None:
    """The code of an error object in a body or an event."""
    error = payload.get("error") if payload is not None else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None
