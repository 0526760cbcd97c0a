"""What is said to the model: one question that a tool answers. The same in every format, so that findings compare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.portal.doctor.answers import Heard
from gateway.portal.doctor.findings import Check

TOOL = "read_thermometer"
QUESTION = f"How warm is it in the kitchen? Call the tool {TOOL} for it, then answer in one short sentence."
PLAIN_QUESTION = "Say in one short sentence what a thermometer is for."
DESCRIPTION = "Reads the thermometer of a room."
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"room": {"type": "string", "description": "The room, for example kitchen"}},
    "required": ["room"],
    "additionalProperties": False,
}
RESULT = '{"celsius": 21}'
# Enough for a short thought and a call, and little enough for a small model that does not know when to stop.
OUTPUT_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Format:
    """One way to talk to the endpoint: how to ask, how to go on after the calls that were heard, how to listen."""

    name: Literal["chat", "responses"]
    path: str
    ask: Callable[[str], dict[str, Any]]
    ask_plainly: Callable[[str], dict[str, Any]]
    go_on: Callable[[str, Heard], dict[str, Any]]
    hear: Callable[[Sequence[bytes]], Heard]

    @property
    def stream(self) -> Check:
        return Check(f"{self.name}-stream")

    @property
    def tool(self) -> Check:
        return Check(f"{self.name}-tool")

    @property
    def continuation(self) -> Check:
        return Check(f"{self.name}-continuation")
