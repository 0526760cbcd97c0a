"""A Responses request as the gateway holds it: checked, in the client's own terms."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gateway.wire.lane import Brief
from gateway.wire.responses.briefing import to_brief


@dataclass(frozen=True)
class ResponsesRequest:
    """A checked request; see `lane.ClientRequest` for what every client's request says of itself.

    `raw` is the client's body without null fields, unknown fields included: what goes to a provider is chosen by name.
    `input_items` is the whole input, history first; `history_length` of them are not of this request's own body.
    `references` are the ids of stored items that the input names instead of holding them. `echo` are the fields that
    the response object repeats, with OpenAI's defaults. `stores`: the response is to be kept. `wants_sealed`: the
    client keeps the state of reasoning itself. `compacts`: a summary is asked for, as one sealed item. `size_bytes`: of
    body and history. Without slots, for the brief is kept when it has been read.
    """

    model: str
    is_stream: bool
    ignored: tuple[str, ...]
    fields: Collection[str]
    answered_calls: tuple[str, ...]
    session_key: str | None
    stores: bool
    previous_response_id: str | None
    raw: Mapping[str, Any]
    input_items: tuple[Mapping[str, Any], ...]
    echo: Mapping[str, Any]
    wants_sealed: bool
    compacts: bool
    references: tuple[str, ...] = ()
    history_length: int = 0
    size_bytes: int = 0

    @property
    def endpoint(self) -> str:
        return "responses"

    @cached_property
    def brief(self) -> Brief:
        return to_brief(self.raw, self.input_items, size_bytes=self.size_bytes, compacts=self.compacts)

    def place_of(self, place: int) -> str:
        """What the client calls an item of the input: its place in its own."""
        own = place - self.history_length
        return f"input[{own}]" if own >= 0 else "previous_response_id"
