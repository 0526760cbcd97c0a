"""A response stream out: deltas in, OpenAI's events out.

The order of what leaves is right whatever the order of what comes:

- Nothing leaves before the first delta that says something: until then another provider can still be asked.
- Text, refusal and thoughts close what was open before them; text after a tool call is a message of its own.
- Calls are open beside each other, and none is done before `finish`: a client runs a tool as soon as its call is done,
  and until then the answer may still be withdrawn.
- A call that is no plain function is known when its arguments are whole. It is announced in `finish`, and so are the
  calls that begin after it, so that calls stay in the order in which the model made them.
- An answer that was cut (`length`, `content_filter`) leaves what was open as `incomplete`. A call whose arguments are
  no JSON object then has status `incomplete`, which the AI SDK and others do not run; one that was not announced is
  left out, since half a patch or half a command can look like a whole one.
- `fail` closes nothing: an item that is closed counts as said. What was open is left out of `response.failed`, as it is
  in the example of OpenAI's reference, and was never done for a client that keeps what is done.
- Not written: arguments of a call that never begins (it has no name), a second beginning of the same call, and what
  follows `Finished` apart from usage.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Counted,
    Delta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningState,
    RefusalDelta,
    TextDelta,
)
from gateway.wire.lane import Identity, Mint
from gateway.wire.responses.encode import ItemStatus, ResponseObject, is_cut
from gateway.wire.responses.events import Envelope, EventWriter
from gateway.wire.responses.output_items import CallItem, MessageItem, ReasoningItem
from gateway.wire.tools import ToolBox
from gateway.wire.usage import Usage

Ending: TypeAlias = tuple[MessageItem | ReasoningItem | CallItem, ItemStatus]


class ResponsesEncoder:
    """Writes one answer. A `crossing.Encoder`; `completed` gives the final object, to be stored before `finish`.

    `seal` makes a provider's state of its thoughts opaque; None: the client has no use for it.
    """

    def __init__(
        self,
        identity: Identity,
        mint: Mint,
        *,
        echo: Mapping[str, Any],
        toolbox: ToolBox,
        seal: Callable[[str], str] | None,
        stores: bool,
    ) -> None:
        self._object = ResponseObject(identity, echo=echo, stores=stores)
        self._events = EventWriter()
        self._envelope = Envelope(self._object.begun(), self._events)
        self._mint = mint
        self._toolbox = toolbox
        self._seal = seal
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._places = 0
        self._done: dict[int, dict[str, Any]] = {}
        self._message: MessageItem | None = None
        self._reasoning: ReasoningItem | None = None
        self._calls: dict[int, CallItem] = {}
        self._early: dict[int, list[str]] = {}
        self._holds_calls = False
        self._final: dict[str, Any] | None = None
        self._closing: list[Ending] = []

    def feed(self, delta: Delta) -> bytes:
        if isinstance(delta, Counted):
            self._usage = delta.usage
        elif self._reason is None and not self._envelope.is_over:
            match delta:
                case TextDelta(text) | RefusalDelta(text) if text:
                    return self._say(text, is_refusal=isinstance(delta, RefusalDelta))
                case ReasoningDelta(text) if text:
                    return self._think(text)
                case ReasoningState(state) if state:
                    return self._keep(state)
                case CallBegun(place, name):
                    return self._begin_call(place, name)
                case CallDelta(place, arguments) if arguments:
                    return self._write_arguments(place, arguments)
                case Finished(reason):
                    self._reason = reason
        return b""

    def completed(self) -> dict[str, Any]:
        """The final response object, the same that `finish` sends. Nothing that is fed after it counts."""
        if self._final is None:
            self._reason = self._reason or "stop"
            self._closing = self._what_closes(self._reason)
            ending = {item.index: item.item(status) for item, status in self._closing}
            output = _in_order(self._done | ending)
            self._final = self._object.ended(output, reason=self._reason, usage=self._usage)
        return self._final

    def finish(self) -> bytes:
        if self._envelope.is_over:
            return b""
        final = self.completed()
        sent = self._envelope.begin()
        sent += b"".join([item.close(status) for item, status in self._closing])
        return sent + self._envelope.end(final)

    def fail(self, code: str, message: str) -> bytes:
        if self._envelope.is_over:
            return b""
        return self._envelope.end(self._object.failed(_in_order(self._done), code=code, message=message))

    def heartbeat(self) -> bytes:
        return self._envelope.go_on()

    def _say(self, text: str, *, is_refusal: bool) -> bytes:
        if self._message is not None:
            return self._message.write(text, is_refusal=is_refusal)
        sent = self._envelope.begin() + self._close_open()
        index, item_id = self._next("msg")
        self._message = MessageItem(index, item_id, events=self._events)
        return sent + self._message.open() + self._message.write(text, is_refusal=is_refusal)

    def _think(self, text: str) -> bytes:
        reasoning, sent = self._opened_reasoning()
        return sent + reasoning.write(text)

    def _keep(self, state: str) -> bytes:
        """A state ends the thoughts that it belongs to."""
        if self._seal is None:
            return self._close_open() if self._reasoning is not None else b""
        reasoning, sent = self._opened_reasoning()
        reasoning.sealed = self._seal(state)
        return sent + self._close_open()

    def _opened_reasoning(self) -> tuple[ReasoningItem, bytes]:
        if self._reasoning is not None:
            return self._reasoning, b""
        sent = self._envelope.begin() + self._close_open()
        index, item_id = self._next("rs")
        self._reasoning = ReasoningItem(index, item_id, events=self._events)
        return self._reasoning, sent + self._reasoning.open()

    def _begin_call(self, place: int, name: str) -> bytes:
        if place in self._calls:
            return b""
        tool = self._toolbox.tool(name)
        call = self._calls[place] = CallItem(tool, self._mint(place), events=self._events)
        sent = self._envelope.begin() + self._close_open()
        self._holds_calls = self._holds_calls or tool.kind != "function"
        if not self._holds_calls:
            call.place(*self._next(call.prefix))
            sent += call.open()
        return sent + b"".join([call.write(piece) for piece in self._early.pop(place, ())])

    def _write_arguments(self, place: int, arguments: str) -> bytes:
        call = self._calls.get(place)
        if call is not None:
            return call.write(arguments)
        self._early.setdefault(place, []).append(arguments)
        return b""

    def _close_open(self) -> bytes:
        """Close the message or the thoughts that are open; there is at most one of them."""
        item = self._message or self._reasoning
        if item is None:
            return b""
        self._message = self._reasoning = None
        self._done[item.index] = item.item("completed")
        return item.close("completed")

    def _next(self, prefix: str) -> tuple[int, str]:
        """The next place of the output, and the id of the item there."""
        index = self._places
        self._places += 1
        return index, self._object.item_id(prefix, index)

    def _what_closes(self, reason: FinishReason) -> list[Ending]:
        """What is open, in the order of the output, and how it ends."""
        closing: list[Ending] = []
        said = self._message or self._reasoning
        if said is not None:
            closing.append((said, "incomplete" if is_cut(reason) else "completed"))
        for call in self._calls.values():
            is_half = is_cut(reason) and not _is_object(call.arguments)
            if not call.is_announced:
                if is_half:
                    continue
                call.place(*self._next(call.prefix))
            closing.append((call, "incomplete" if is_half else "completed"))
        return sorted(closing, key=lambda ending: ending[0].index)


def _in_order(items: Mapping[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [items[index] for index in sorted(items)]


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
