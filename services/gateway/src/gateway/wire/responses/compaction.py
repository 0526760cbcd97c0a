"""The answer to a request that ends with a compaction trigger: one item, which holds the conversation in brief.

The model writes a summary as text; the client gets it sealed (see `brief`), as one `compaction` item and nothing else,
and sends it back in place of the conversation. A summary that is cut at the provider's cap is still handed over: the
client has no other way on. An empty one would erase the conversation, so an answer without text has failed. Thoughts,
refusals and calls are no summary and not written.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.wire.canonical import Counted, Delta, Finished, FinishReason, ReasoningDelta, TextDelta
from gateway.wire.lane import Identity, Mint
from gateway.wire.responses.brief import Brief, to_text
from gateway.wire.responses.encode import ResponseObject
from gateway.wire.responses.events import Envelope, EventWriter
from gateway.wire.responses.output_items import ITEM_ADDED, ITEM_DONE
from gateway.wire.usage import Usage


class CompactionEncoder:
    """Writes one compaction; the same interface as `stream.ResponsesEncoder`.

    The stream begins when the model does, so that it can be kept alive; the item comes with `finish`.
    """

    def __init__(
        self, identity: Identity, mint: Mint, *, echo: Mapping[str, Any], seal: Callable[[str], str], stores: bool
    ) -> None:
        self._mint = mint
        self._object = ResponseObject(identity, echo=echo, stores=stores)
        self._events = EventWriter()
        self._envelope = Envelope(self._object.begun(), self._events)
        self._seal = seal
        self._summary: list[str] = []
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._final: dict[str, Any] | None = None

    def feed(self, delta: Delta) -> bytes:
        if isinstance(delta, Counted):
            self._usage = delta.usage
        if self._reason is not None or self._envelope.is_over:
            return b""
        match delta:
            case TextDelta(text) if text:
                self._summary.append(text)
                return self._envelope.begin()
            case ReasoningDelta(text) if text:
                return self._envelope.begin()
            case Finished(reason):
                self._reason = reason
            case _:
                pass
        return b""

    def completed(self) -> dict[str, Any]:
        """The final response object, the same that `finish` sends. Nothing that is fed after it counts."""
        if self._final is None:
            self._reason = self._reason or "stop"
            self._final = self._ended("".join(self._summary), self._reason)
        return self._final

    def finish(self) -> bytes:
        if self._envelope.is_over:
            return b""
        final = self.completed()
        sent = self._envelope.begin()
        for index, item in enumerate(final["output"]):
            added = item | {"encrypted_content": ""}
            sent += self._events.write(ITEM_ADDED, {"output_index": index, "item": added})
            sent += self._events.write(ITEM_DONE, {"output_index": index, "item": item})
        return sent + self._envelope.end(final)

    def fail(self, code: str, message: str) -> bytes:
        if self._envelope.is_over:
            return b""
        return self._envelope.end(self._object.failed([], code=code, message=message))

    def heartbeat(self) -> bytes:
        return self._envelope.go_on()

    def _ended(self, summary: str, reason: FinishReason) -> dict[str, Any]:
        if not summary.strip():
            return self._object.failed([], code="server_error", message="The model wrote no summary.")
        if reason == "content_filter":
            return self._object.ended([], reason=reason, usage=self._usage)
        item_id, brief = self._object.item_id("cmp", 0), Brief(summary, self._mint(0))
        item = {"id": item_id, "type": "compaction", "encrypted_content": self._seal(to_text(brief))}
        return self._object.ended([item], reason="stop", usage=self._usage)
