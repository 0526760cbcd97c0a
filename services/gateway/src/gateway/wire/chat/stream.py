"""A chat answer on its way through: the provider's bytes in, ours out, no I/O.

What leaves is built from an allow-list, chunk by chunk, one piece of bytes per read. The chunk that finishes the answer
is held back until `finish`: the request is settled before the client sees its end.
"""

from collections.abc import Iterable

import msgspec

from gateway.wire.chat.chunks import KEEP_ALIVE, Chunks, to_error_event
from gateway.wire.chat.encode import from_provider_completion, word_of_error
from gateway.wire.chat.models import (
    FAILED_FINISHES,
    ChoiceOut,
    DeltaOut,
    FunctionPart,
    ProviderAnswer,
    ProviderChoice,
    Said,
    known_finish_reason,
)
from gateway.wire.chat.toolcalls import ToolCalls
from gateway.wire.evidence import Evidence
from gateway.wire.lane import Identity, Mint
from gateway.wire.reading import Reading
from gateway.wire.usage import Usage, from_wire_usage

_read_chunk = msgspec.json.Decoder(ProviderAnswer)


class ChatAnswer:
    """One answer of a chat provider to a chat client (a `lane.Answer`)."""

    def __init__(self, identity: Identity, mint: Mint, *, wants_usage: bool, evidence: Evidence | None = None) -> None:
        self.failure: str | None = None
        self.is_done = False
        self.has_content = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.events = 0
        self.evidence = evidence
        self._wants_text = evidence is not None and evidence.wants_text
        self._identity = identity
        self._mint = mint
        self._reading = Reading()
        self._tool_calls = ToolCalls(mint)
        self._chunks = Chunks(identity, wants_usage=wants_usage)
        self._has_role = False
        self._whole: bytes | None = None

    @property
    def has_finished(self) -> bool:
        """Whether the model has said why it stopped; usage may still come."""
        return self.finish_reason is not None

    def take(self, body: bytes) -> None:
        """Read a whole answer. Raises `UnusableAnswer`."""
        completion = from_provider_completion(body, self._identity, self._mint)
        self._whole = completion.body
        self.finish_reason = completion.finish_reason
        self.has_content = completion.has_content
        self.usage = completion.usage
        if self.evidence is not None:
            said = completion.said
            _note(self.evidence, said.content, enumerate([part.function for part in said.tool_calls or ()]))

    def feed(self, read: bytes) -> bytes:
        return self._reading.feed(self, read)

    def end(self) -> bytes:
        return self._reading.end(self)

    def finish(self) -> bytes:
        """All of a whole answer, or the last bytes of a stream."""
        if self._whole is not None:
            return self._whole
        delta = DeltaOut() if self._has_role else DeltaOut(role="assistant", content="")
        return self._chunks.end(delta, reason=known_finish_reason(self.finish_reason or "stop"), usage=self.usage)

    def fail(self, code: str, message: str) -> bytes:
        """The end of a stream that broke off."""
        return to_error_event(code, message)

    def heartbeat(self) -> bytes:
        return KEEP_ALIVE

    def take_event(self, payload: bytes) -> bytes:
        chunk = _read_chunk.decode(payload)
        if chunk.error is not None:
            self.failure = word_of_error(chunk.error, otherwise="error_event")
            return b""
        self.events += 1
        if chunk.usage is not None:
            self.usage = from_wire_usage(chunk.usage)
        for choice in chunk.choices or ():
            if choice.index == 0:
                return self._chosen(choice)
        return b""

    def _chosen(self, choice: ProviderChoice) -> bytes:
        if choice.finish_reason:
            if choice.finish_reason in FAILED_FINISHES:
                self.failure = "failed_finish"
                return b""
            self.finish_reason = choice.finish_reason
        said = choice.delta or choice.message
        if said is None or (delta := self._delta(said)) is None:
            return b""
        return self._chunks.chunk(ChoiceOut(0, delta, choice.logprobs))

    def _delta(self, said: Said) -> DeltaOut | None:
        """What is new in a chunk, or None when it says nothing."""
        reasoning = said.reasoning_content or said.reasoning or None
        content, refusal = said.content or None, said.refusal or None
        tool_calls = self._tool_calls.pieces(said.tool_calls) if said.tool_calls else None
        if content or refusal or tool_calls:
            self.has_content = True
        elif not reasoning:
            return None
        if self.evidence is not None and (tool_calls or self._wants_text):
            _note(self.evidence, content, [(part.index, part.function) for part in tool_calls or ()])
        role = None if self._has_role else "assistant"
        self._has_role = True
        return DeltaOut(role, content, refusal, reasoning, tool_calls)


def _note(evidence: Evidence, content: str | None, called: Iterable[tuple[int | None, FunctionPart | None]]) -> None:
    """Calls of custom tools have no function: any text will do for them."""
    if content and evidence.wants_text:
        evidence.add_text(content)
    for place, function in called:
        if place is not None and function is not None:
            evidence.add_arguments(place, function.arguments or "")
