"""Content blocks of an answer, one after the other or interleaved, as deltas: what streams and whole answers share."""

import msgspec

from gateway.wire.anthropic.models import (
    Block,
    EventDelta,
    MessageUsage,
    RedactedThinkingBlock,
    ThinkingBlock,
)
from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Counted,
    Delta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningState,
    TextDelta,
)
from gateway.wire.usage import CompletionDetails, PromptDetails, WireUsage, from_wire_usage

MAX_TOOL_CALLS = 256

_FINISH_REASONS: dict[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_encoder = msgspec.json.Encoder()


class TooManyToolCalls(Exception):
    """More calls in one answer than any client could carry out."""


class _Call:
    __slots__ = ("has_arguments", "input", "place")

    def __init__(self, place: int, input: msgspec.Raw) -> None:
        self.place = place
        self.input = input
        self.has_arguments = False

    @property
    def whole_arguments(self) -> str:
        """The input that came with the beginning; Anthropic's own is empty there."""
        input = bytes(self.input)
        return input.decode() if input.startswith(b"{") else "{}"


class _Thought:
    __slots__ = ("signature", "text")

    def __init__(self, text: str | None, signature: str | None) -> None:
        self.text = [text or ""]
        self.signature = [signature or ""]

    @property
    def block(self) -> ThinkingBlock:
        return ThinkingBlock("".join(self.text), "".join(self.signature))


class Blocks:
    """The blocks of one answer by their index. Kinds that were never asked for (server tools, citations) say nothing.

    Thoughts are also kept as the provider needs them again; they are told as one state when something else follows.
    """

    def __init__(self) -> None:
        self.has_finished = False
        self._calls = 0
        self._open_calls: dict[int, _Call] = {}
        self._open_thoughts: dict[int, _Thought] = {}
        self._thoughts: list[_Thought | RedactedThinkingBlock] = []

    def begin(self, index: int, block: Block) -> list[Delta]:
        """A block begins; some providers send it whole. Raises `TooManyToolCalls`."""
        if self.has_finished:
            return []
        ended = self.end(index)
        match block.type:
            case "text":
                return ended + self._text(block.text)
            case "thinking":
                thought = self._open_thoughts[index] = _Thought(block.thinking, block.signature)
                self._thoughts.append(thought)
                return ended + ([ReasoningDelta(block.thinking)] if block.thinking else [])
            case "redacted_thinking":
                self._thoughts.append(RedactedThinkingBlock(block.data or ""))
                return ended
            case "tool_use":
                return ended + self._call(index, block)
            case _:
                return ended

    def more(self, index: int, delta: EventDelta) -> list[Delta]:
        """More of a block."""
        if self.has_finished:
            return []
        match delta.type:
            case "text_delta":
                return self._text(delta.text)
            case "thinking_delta" if index in self._open_thoughts and delta.thinking:
                self._open_thoughts[index].text.append(delta.thinking)
                return [ReasoningDelta(delta.thinking)]
            case "signature_delta" if index in self._open_thoughts:
                self._open_thoughts[index].signature.append(delta.signature or "")
            case "input_json_delta" if index in self._open_calls and delta.partial_json:
                call = self._open_calls[index]
                call.has_arguments = True
                return [CallDelta(call.place, delta.partial_json)]
        return []

    def end(self, index: int) -> list[Delta]:
        """A block ends. A call without arguments gets an empty object: clients parse what they get."""
        self._open_thoughts.pop(index, None)
        call = self._open_calls.pop(index, None)
        if call is None or call.has_arguments:
            return []
        return [CallDelta(call.place, call.whole_arguments)]

    def finish(self, stop_reason: str | None) -> list[Delta]:
        """The model has stopped; nothing but its figures may follow."""
        if self.has_finished:
            return []
        deltas = [delta for index in list(self._open_calls) for delta in self.end(index)]
        deltas += self._state()
        self.has_finished = True
        reason = _FINISH_REASONS.get(stop_reason or "", "stop")
        return [*deltas, Finished("tool_calls" if reason == "stop" and self._calls else reason)]

    def _text(self, text: str | None) -> list[Delta]:
        return [*self._state(), TextDelta(text)] if text else []

    def _call(self, index: int, block: Block) -> list[Delta]:
        if self._calls >= MAX_TOOL_CALLS:
            raise TooManyToolCalls
        call = self._open_calls[index] = _Call(self._calls, block.input)
        self._calls += 1
        return [*self._state(), CallBegun(call.place, block.name or "")]

    def _state(self) -> list[Delta]:
        thoughts = [thought.block if isinstance(thought, _Thought) else thought for thought in self._thoughts]
        self._thoughts.clear()
        return [ReasoningState(_encoder.encode(thoughts).decode())] if thoughts else []


class Tally:
    """The figures of one answer. A stream tells them several times, cumulative, and some providers leave out some."""

    def __init__(self) -> None:
        self._figures: dict[str, float] = {}

    def add(self, usage: MessageUsage | None) -> list[Delta]:
        """What is counted so far, when something new was told."""
        if usage is None:
            return []
        details = usage.output_tokens_details
        told = {
            "input": usage.input_tokens,
            "created": usage.cache_creation_input_tokens,
            "read": usage.cache_read_input_tokens,
            "output": usage.output_tokens,
            "thinking": details.thinking_tokens if details is not None else None,
        }
        for name, figure in told.items():
            if figure is not None:
                self._figures[name] = max(figure, self._figures.get(name, figure))
        figures = self._figures
        wire = WireUsage(
            prompt_tokens=figures.get("input", 0) + figures.get("created", 0) + figures.get("read", 0),
            completion_tokens=figures.get("output"),
            prompt_tokens_details=PromptDetails(figures.get("read")),
            completion_tokens_details=CompletionDetails(figures.get("thinking")),
        )
        return [Counted(from_wire_usage(wire))]
