"""How an answer and an error inside a stream are written, in each wire format."""

from typing import Protocol

from devstack.provider.answers import Answer
from devstack.provider.formats import anthropic, chat, completions, responses
from devstack.provider.http import Format, Request
from devstack.provider.identity import Identity
from devstack.provider.payload import JsonObject


class Writer(Protocol):
    """One format. `BROKEN` is an event whose data is cut off."""

    BROKEN: bytes

    def whole(self, answer: Answer, request: Request, identity: Identity) -> JsonObject:
        """The body of an answer that is not streamed."""

    def events(self, answer: Answer, request: Request, identity: Identity) -> list[bytes]:
        """The events of one that is, the end mark last."""

    def error_events(self, identity: Identity, text: str, *, is_named: bool) -> list[bytes]:
        """An error inside a stream, to its end."""


WRITERS: dict[Format, Writer] = {
    "chat": chat,
    "responses": responses,
    "completions": completions,
    "anthropic": anthropic,
}
