"""What a chat provider answers, as deltas: a stream chunk by chunk, and a whole completion.

| a provider | what is read |
|---|---|
| gives no index, or the same one to every call; repeats names and ids | calls as they are meant (`toolcalls`) |
| names a call after its first arguments | the call begins when its name is known |
| sends a call without arguments | an empty JSON object |
| says `reasoning`, or `reasoning_content` | thoughts; their text is also their state, told when they end |
| finishes a call with `stop`, or an answer with a word of its own | `tool_calls`, `stop` |
| says something after it has finished | nothing of it but what it counted |
| counts in any chunk, several times | every count: the last one holds |
| sends an error in an answer, or finishes with `error` | a failure |
"""

from collections.abc import Sequence

import msgspec

from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Counted,
    Delta,
    Finished,
    ReasoningDelta,
    ReasoningState,
    RefusalDelta,
    TextDelta,
)
from gateway.wire.chat.encode import said_choice, word_of_error
from gateway.wire.chat.models import (
    FAILED_FINISHES,
    ProviderAnswer,
    ProviderChoice,
    Said,
    ToolCallOut,
    known_finish_reason,
)
from gateway.wire.chat.toolcalls import ToolCalls, TooManyToolCalls
from gateway.wire.lane import UnusableAnswer
from gateway.wire.usage import from_wire_usage

NO_ARGUMENTS = "{}"

_read_chunk = msgspec.json.Decoder(ProviderAnswer)


class ChatDecoder:
    """A `crossing.Decoder` of chat streams."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.is_done = False
        self.events = 0
        self._answer = _Answer()

    def feed(self, payload: bytes) -> Sequence[Delta]:
        """What one chunk says."""
        try:
            chunk = _read_chunk.decode(payload)
            return self._read(chunk)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.failure = "malformed"
        except TooManyToolCalls:
            self.failure = "too_many_tool_calls"
        return ()

    def _read(self, chunk: ProviderAnswer) -> Sequence[Delta]:
        if chunk.error is not None:
            self.failure = word_of_error(chunk.error, otherwise="error_event")
            return ()
        self.events += 1
        choice = next((choice for choice in chunk.choices or () if choice.index == 0), None)
        deltas = self._chosen(choice) if choice is not None else []
        if chunk.usage is not None and self.failure is None:
            deltas.append(Counted(from_wire_usage(chunk.usage)))
        return deltas

    def _chosen(self, choice: ProviderChoice) -> list[Delta]:
        if choice.finish_reason in FAILED_FINISHES:
            self.failure = "failed_finish"
            return []
        said = choice.delta or choice.message
        deltas = self._answer.say(said) if said is not None else []
        return deltas + self._answer.finish(choice.finish_reason) if choice.finish_reason else deltas


def from_completion(body: bytes) -> Sequence[Delta]:
    """The deltas of a whole completion. Raises `UnusableAnswer`."""
    choice, usage = said_choice(body)
    answer = _Answer()
    try:
        deltas = answer.say(choice.message or Said(), is_whole=True)
    except TooManyToolCalls:
        raise UnusableAnswer("too_many_tool_calls") from None
    deltas += answer.finish(choice.finish_reason or "stop")
    return [*deltas, Counted(from_wire_usage(usage))] if usage is not None else deltas


class _Answer:
    """One answer so far: thoughts that have not ended, and calls."""

    def __init__(self) -> None:
        self._has_finished = False
        self._thoughts: list[str] = []
        self._tool_calls = ToolCalls(_no_id)
        self._calls: dict[int, _Call] = {}

    def say(self, said: Said, *, is_whole: bool = False) -> list[Delta]:
        """What is new. Raises `TooManyToolCalls`."""
        if self._has_finished:
            return []
        deltas: list[Delta] = []
        if thought := said.reasoning_content or said.reasoning:
            self._thoughts.append(thought)
            deltas.append(ReasoningDelta(thought))
        if self._thoughts and (said.content or said.refusal or said.tool_calls):
            deltas.append(self._end_of_thoughts())
        if said.content:
            deltas.append(TextDelta(said.content))
        if said.refusal:
            deltas.append(RefusalDelta(said.refusal))
        if said.tool_calls:
            read = self._tool_calls.whole if is_whole else self._tool_calls.pieces
            for place, piece in enumerate(read(said.tool_calls)):
                deltas += self._piece(place if piece.index is None else piece.index, piece)
        return deltas

    def finish(self, reason: str) -> list[Delta]:
        """The end; nothing the second time."""
        if self._has_finished:
            return []
        self._has_finished = True
        deltas: list[Delta] = [self._end_of_thoughts()] if self._thoughts else []
        for place, call in self._calls.items():
            deltas += call.end(place)
        known = known_finish_reason(reason)
        if known in ("stop", "tool_calls"):
            known = "tool_calls" if self._calls else "stop"
        return [*deltas, Finished(known)]

    def _end_of_thoughts(self) -> ReasoningState:
        state = ReasoningState("".join(self._thoughts))
        self._thoughts.clear()
        return state

    def _piece(self, place: int, piece: ToolCallOut) -> list[Delta]:
        call = self._calls.setdefault(place, _Call())
        if piece.custom is not None:
            return call.add(place, piece.custom.name or "", piece.custom.input or "")
        if piece.function is not None:
            return call.add(place, piece.function.name or "", piece.function.arguments or "")
        return []


class _Call:
    """A call: begun when its name is known."""

    __slots__ = ("_has_arguments", "_has_begun", "_waiting")

    def __init__(self) -> None:
        self._has_begun = False
        self._has_arguments = False
        self._waiting = ""

    def add(self, place: int, name: str, arguments: str) -> list[Delta]:
        self._has_arguments = self._has_arguments or bool(arguments)
        if self._has_begun:
            return [CallDelta(place, arguments)] if arguments else []
        self._waiting += arguments
        return self._begin(place, name) if name else []

    def end(self, place: int) -> list[Delta]:
        """What is still to be said of it; one without a name is passed on without one."""
        deltas = [] if self._has_begun else self._begin(place, "")
        return deltas if self._has_arguments else [*deltas, CallDelta(place, NO_ARGUMENTS)]

    def _begin(self, place: int, name: str) -> list[Delta]:
        self._has_begun = True
        waiting: list[Delta] = [CallDelta(place, self._waiting)] if self._waiting else []
        return [CallBegun(place, name), *waiting]


def _no_id(_place: int) -> str:
    """Ids are the encoder's."""
    return ""
