"""Deltas as a chat answer: for clients that speak chat in front of providers that do not.

| delta | what is written |
|---|---|
| text, refusals | `content`, `refusal` |
| thoughts | `reasoning_content`; their state is left out: this format has no place for it |
| calls | `tool_calls` with ids of ours, the client's kind of tool and its own name for it |
| calls of custom tools | their text is known when the arguments are complete: it leaves with the end |
| a piece of a call that has not begun, anything after `Finished` but counts | left out |
"""

from collections.abc import Sequence

from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Counted,
    Delta,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
)
from gateway.wire.chat.chunks import KEEP_ALIVE, Chunks, to_error_event
from gateway.wire.chat.encode import to_completion
from gateway.wire.chat.models import ChoiceOut, CustomPart, DeltaOut, FunctionPart, ToolCallOut
from gateway.wire.lane import Identity, Mint
from gateway.wire.tools import ToolBox, is_free_text, text_of
from gateway.wire.usage import Usage


class ChatEncoder:
    """A `crossing.Encoder` of chat streams."""

    def __init__(self, identity: Identity, mint: Mint, *, tools: ToolBox, wants_usage: bool) -> None:
        self._chunks = Chunks(identity, wants_usage=wants_usage)
        self._calls = _Calls(mint, tools)
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._has_role = False

    def feed(self, delta: Delta) -> bytes:
        """What leaves for the client now."""
        if isinstance(delta, Counted):
            self._usage = delta.usage
        if self._reason is not None:
            return b""
        match delta:
            case TextDelta(text) if text:
                return self._chunk(content=text)
            case RefusalDelta(text) if text:
                return self._chunk(refusal=text)
            case ReasoningDelta(text) if text:
                return self._chunk(reasoning_content=text)
            case CallBegun(place, name):
                return self._called(self._calls.begin(place, name))
            case CallDelta(place, arguments):
                return self._called(self._calls.add(place, arguments))
            case Finished(reason):
                self._reason = reason
        return b""

    def finish(self) -> bytes:
        """What custom tools are given, and the end."""
        sent = b"".join(self._called(piece) for piece in self._calls.texts())
        reason = self._reason or ("tool_calls" if self._calls.made else "stop")
        return sent + self._chunks.end(self._delta(), reason=reason, usage=self._usage)

    def fail(self, code: str, message: str) -> bytes:
        """The end of an answer that broke off."""
        return to_error_event(code, message)

    def heartbeat(self) -> bytes:
        return KEEP_ALIVE

    def _called(self, piece: ToolCallOut | None) -> bytes:
        return self._chunk(tool_calls=[piece]) if piece is not None else b""

    def _chunk(
        self,
        content: str | None = None,
        refusal: str | None = None,
        reasoning_content: str | None = None,
        tool_calls: list[ToolCallOut] | None = None,
    ) -> bytes:
        role = None if self._has_role else "assistant"
        self._has_role = True
        return self._chunks.chunk(ChoiceOut(0, DeltaOut(role, content, refusal, reasoning_content, tool_calls)))

    def _delta(self) -> DeltaOut:
        return DeltaOut() if self._has_role else DeltaOut(role="assistant", content="")


def to_chat_completion(deltas: Sequence[Delta], identity: Identity, mint: Mint, *, tools: ToolBox) -> bytes:
    """The body of a whole answer."""
    calls = _Calls(mint, tools)
    said: dict[type[Delta], list[str]] = {TextDelta: [], RefusalDelta: [], ReasoningDelta: []}
    reason: FinishReason | None = None
    usage: Usage | None = None
    for delta in deltas:
        match delta:
            case Counted(counted):
                usage = counted
            case _ if reason is not None:
                continue
            case TextDelta(text) | RefusalDelta(text) | ReasoningDelta(text):
                said[type(delta)].append(text)
            case CallBegun(place, name):
                calls.begin(place, name)
            case CallDelta(place, arguments):
                calls.add(place, arguments)
            case Finished(told):
                reason = told
    content, refusal, thoughts = ("".join(texts) or None for texts in said.values())
    message: dict[str, object] = {"role": "assistant", "content": content, "refusal": refusal}
    if thoughts:
        message["reasoning_content"] = thoughts
    if calls.made:
        message["tool_calls"] = calls.whole()
    finish_reason = reason or ("tool_calls" if calls.made else "stop")
    return to_completion(identity, message=message, finish_reason=finish_reason, usage=usage)


class _Call:
    """One call: where it stands in the client's list, and what it has been given so far."""

    __slots__ = ("arguments", "id", "is_text", "name", "position")

    def __init__(self, position: int, call_id: str, name: str, *, is_text: bool) -> None:
        self.position = position
        self.id = call_id
        self.name = name
        self.is_text = is_text
        self.arguments: list[str] = []

    def out(self, arguments: str) -> ToolCallOut:
        """The call with what it is given."""
        if self.is_text:
            return ToolCallOut(self.position, self.id, "custom", custom=CustomPart(self.name, arguments))
        return ToolCallOut(self.position, self.id, "function", FunctionPart(self.name, arguments))


class _Calls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self, mint: Mint, tools: ToolBox) -> None:
        self.made: dict[int, _Call] = {}
        self._mint = mint
        self._tools = tools

    def begin(self, place: int, name: str) -> ToolCallOut | None:
        """The first piece of a call; None when it has begun before."""
        if place in self.made:
            return None
        tool = self._tools.tool(name)
        call = _Call(len(self.made), self._mint(place), tool.name, is_text=is_free_text(tool.kind))
        self.made[place] = call
        return call.out("")

    def add(self, place: int, arguments: str) -> ToolCallOut | None:
        """Another piece; None when there is nothing to send yet."""
        call = self.made.get(place)
        if call is None or not arguments:
            return None
        call.arguments.append(arguments)
        return None if call.is_text else ToolCallOut(call.position, function=FunctionPart(arguments=arguments))

    def texts(self) -> Sequence[ToolCallOut]:
        """The last pieces of the calls that take text."""
        given = [(call, text_of("".join(call.arguments))) for call in self.made.values() if call.is_text]
        return [ToolCallOut(call.position, custom=CustomPart(input=text)) for call, text in given if text]

    def whole(self) -> Sequence[ToolCallOut]:
        """The calls complete, without positions."""
        calls = []
        for call in self.made.values():
            arguments = "".join(call.arguments)
            out = call.out(text_of(arguments) if call.is_text else arguments)
            out.index = None
            calls.append(out)
        return calls
