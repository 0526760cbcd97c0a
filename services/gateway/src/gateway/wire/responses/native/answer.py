"""A Responses answer on its way to a client that speaks the same format: the provider's events in, ours out, no I/O.

What passes of items and events, and why, is told in `items` and `events`. Of the response object only
status, output and figures are the provider's, everything else repeats the client's request.

- Nothing leaves before the model says something: until then another provider can still be asked.
- What makes a call done leaves with `finish`: a client runs a tool as soon as its call is done, and until then the
  answer may still be withdrawn.
- Items have the places of the order in which they began, and the same id in all events.
- What a provider says in one place only (an item in the last event, a text in a `.done`) is told as events, too.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from gateway.wire.canonical import FinishReason
from gateway.wire.chat.toolcalls import TooManyToolCalls
from gateway.wire.evidence import Evidence
from gateway.wire.lane import Identity, Mint, UnusableAnswer
from gateway.wire.reading import Reading
from gateway.wire.responses.encode import ResponseObject
from gateway.wire.responses.events import Envelope, EventWriter
from gateway.wire.responses.native import events
from gateway.wire.responses.native.events import DONES, SAYINGS, Saying
from gateway.wire.responses.native.items import ANSWERS, LOGPROBS
from gateway.wire.responses.native.names import Names
from gateway.wire.responses.native.output import NativeOutput, is_item
from gateway.wire.responses.native.slots import Channel, Event, Fields, Slot, announcement, told
from gateway.wire.responses.provider.failure import check_good, failed_finish_word, failure_word
from gateway.wire.responses.provider.models import ProviderUsage, from_response_usage
from gateway.wire.usage import Usage

# A picture comes as one event.
LIMIT_BYTES = 16 * 1024 * 1024


class _Kind(msgspec.Struct):
    type: str = ""
    error: Any = None


class _Piece(msgspec.Struct):
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    logprobs: list[Any] | None = None


_read_kind = msgspec.json.Decoder(_Kind)
_read_piece = msgspec.json.Decoder(_Piece)
_read_fields = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


class NativeAnswer:
    """One answer; a `lane.Answer`. `completed` gives the final object, to be stored before `finish`.

    `stores` is what the response says of itself; `clients_types` are types of items that the client knows of.
    """

    def __init__(
        self,
        identity: Identity,
        mint: Mint,
        *,
        names: Names,
        echo: Mapping[str, Any],
        stores: bool,
        wants_sealed: bool,
        clients_types: Collection[str] = (),
        evidence: Evidence | None = None,
    ) -> None:
        self.failure: str | None = None
        self.is_done = False
        self.has_content = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.events = 0
        self._evidence = evidence
        self._names = names
        self._wants_sealed = wants_sealed
        self._object = ResponseObject(identity, echo=echo, stores=stores)
        self._output = NativeOutput(names, mint, clients_types=clients_types)
        self._writer = EventWriter()
        self._envelope = Envelope(self._object.begun(), self._writer)
        self._reading = Reading(limit_bytes=LIMIT_BYTES)
        self._early: list[Event] = []
        self._held: list[Event] = []
        self._reason: FinishReason | None = None
        self._is_whole = False
        self._is_read = False
        self._final: Fields | None = None

    @property
    def has_finished(self) -> bool:
        return self.finish_reason is not None

    @property
    def evidence(self) -> Evidence | None:
        """Read off the items, once: they are kept whole anyway."""
        if self._evidence is not None and not self._is_read:
            self._is_read = True
            for place, slot in enumerate(self._output.shown):
                _collect(self._evidence, slot.item or slot.so_far() or {}, place)
        return self._evidence

    def feed(self, read: bytes) -> bytes:
        return self._reading.feed(self, read)

    def end(self) -> bytes:
        return self._reading.end(self)

    def take(self, body: bytes) -> None:
        """Raises `UnusableAnswer`."""
        try:
            response = _read_fields.decode(body)
            check_good(body, status=response.get("status"), error=response.get("error"), output=response.get("output"))
            self._ended(response, is_cut=response.get("status") == "incomplete")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UnusableAnswer("malformed") from None
        except TooManyToolCalls:
            raise UnusableAnswer("too_many_tool_calls") from None
        self._is_whole = True

    def completed(self) -> Fields:
        """The final response object; what is fed after it does not count. `finish` sends it as it is then, without the
        state of thoughts for a client that has no use for it."""
        if self._final is None:
            reason = self._reason or ("tool_calls" if self._output.calls else "stop")
            for slot in self._output.shown:
                slot.item = slot.item or slot.so_far()
            output = [slot.item for slot in self._output.shown if slot.item is not None]
            self._final = self._object.ended(output, reason=reason, usage=self.usage)
        return self._final

    def finish(self) -> bytes:
        if self._envelope.is_over:
            return b""
        whole = self.completed()
        final = {**whole, "output": [self._sent(item) for item in whole["output"]]}
        if self._is_whole:
            return _encoder.encode(final)
        rest = list(self._held)
        for slot in self._output.shown:
            if slot.item is not None and not slot.has_ended:
                rest += told(slot, self._sent(slot.item))
        sent = self._begin() + b"".join([self._writer.write(name, event) for name, event in rest])
        return sent + self._envelope.end(final)

    def fail(self, code: str, message: str) -> bytes:
        """What was not done is not in the object, and calls never were."""
        if self._envelope.is_over:
            return b""
        done = [slot.item for slot in self._output.shown if slot.has_ended and slot.call_id is None]
        output = [self._sent(item) for item in done if item is not None]
        return self._envelope.end(self._object.failed(output, code=code, message=message))

    def heartbeat(self) -> bytes:
        return self._envelope.go_on()

    def take_event(self, payload: bytes) -> bytes:
        kind = _read_kind.decode(payload)
        if kind.error is not None or kind.type == "error":
            self.failure = failure_word(payload)
            return b""
        self.events += 1
        saying = SAYINGS.get(kind.type)
        if saying is not None:
            return self._piece(kind.type, saying, _read_piece.decode(payload))
        if kind.type == events.CREATED:
            return b""
        if kind.type in events.ALIVE:
            return self.heartbeat()
        sent = self._told(kind.type, _read_fields.decode(payload))
        self.has_content = self.has_content or self._output.has_content
        return sent

    def _told(self, name: str, fields: Fields) -> bytes:
        if name in events.ENDS:
            return self._end(name, fields)
        if name == events.ITEM_ADDED:
            return self._item_added(fields)
        if name == events.ITEM_DONE:
            return self._item_done(fields)
        return self._other(name, fields)

    def _piece(self, name: str, saying: Saying, piece: _Piece) -> bytes:
        if not piece.delta:
            return b""
        slot = self._output.find(piece.item_id, piece.output_index)
        if slot is not None:
            return self._say(slot, name, piece)
        if saying.kind not in events.SPEAKING:
            return b""  # nothing is known of the call; its end tells all of it
        begun = {"type": saying.kind, "id": piece.item_id, **events.SPEAKING[saying.kind]}
        slot = self._output.begin(begun, piece.output_index)
        return self._send(events.ITEM_ADDED, {"output_index": slot.index, "item": slot.begun}) + self._say(
            slot, name, piece
        )

    def _say(self, slot: Slot, name: str, piece: _Piece) -> bytes:
        """More of a text: most of a stream is this."""
        if slot.index is None:
            return b""
        place = piece.content_index if piece.summary_index is None else piece.summary_index
        channel = slot.channels.get((name, place))
        sent = b""
        if channel is None:
            sent = self._announced(slot, name, place or 0)
            channel = slot.channels[name, place] = _channel(slot, name, place, has_logprobs=piece.logprobs is not None)
        text = piece.delta or ""
        channel.pieces.append(text)
        if not self.has_content:
            self.has_content = SAYINGS[name].is_content
        if not self._envelope.has_begun:
            sent += self._begin()
        if not piece.logprobs:
            return sent + self._writer.write_delta(channel.head, text)
        logprobs = LOGPROBS(piece.logprobs, self._names)
        return sent + self._writer.write(name, {**channel.fields, "delta": text, "logprobs": logprobs})

    def _announced(self, slot: Slot, name: str, place: int) -> bytes:
        first = announcement(name, slot.where, place)
        if first is None or (first[0], place) in slot.parts:
            return b""
        slot.parts.add((first[0], place))
        return self._send(*first)

    def _item_added(self, fields: Fields) -> bytes:
        item, index = fields.get("item"), fields.get("output_index")
        if not is_item(item) or self._output.is_begun(item, index):
            return b""
        slot = self._output.begin(item, index)
        if slot.begun is None:
            return b""
        return self._send(events.ITEM_ADDED, {"output_index": slot.index, "item": self._sent(slot.begun)})

    def _item_done(self, fields: Fields) -> bytes:
        item = fields.get("item")
        if not is_item(item):
            return b""
        slot = self._output.end(item, fields.get("output_index"))
        if slot.item is None or slot.has_ended:
            return b""
        slot.has_ended = True
        ending = list(told(slot, self._sent(slot.item)))
        if slot.call_id is not None:
            self._held += ending
            return b""
        return b"".join([self._send(name, event) for name, event in ending])

    def _other(self, name: str, fields: Fields) -> bytes:
        slot = self._output.find(fields.get("item_id"), fields.get("output_index"))
        shape = events.event_shape(name, slot.kind) if slot is not None else None
        if slot is None or slot.index is None or shape is None:
            return b""
        kept = shape(fields, self._names)
        where = slot.where if "item_id" in fields else {"output_index": slot.index}
        event: Fields = {**where, **(kept if isinstance(kept, dict) else {})}
        sent = self._untold(slot, DONES[name], event) if name in DONES else b""
        if name in events.BORDERS:
            slot.parts.add((name, event.get(events.place_field(name)) or 0))
        if slot.call_id is not None and name.endswith(".done"):
            self._held.append((name, event))
            return sent
        return sent + self._send(name, event)

    def _untold(self, slot: Slot, name: str, event: Fields) -> bytes:
        """A text that no delta has told."""
        text, place = event.get(SAYINGS[name].whole), event.get(events.place_field(name))
        if not isinstance(text, str) or not text or (name, place) in slot.channels:
            return b""
        piece = _Piece(content_index=place, delta=text, logprobs=[] if name == events.TEXT else None)
        return self._say(slot, name, piece)

    def _end(self, name: str, fields: Fields) -> bytes:
        response = fields.get("response")
        response = response if isinstance(response, dict) else {}
        if name == "response.failed" or response.get("status") == "failed" or response.get("error") is not None:
            self.failure = failed_finish_word(response.get("error"))
            return b""
        self._ended(response, is_cut=name == "response.incomplete" or response.get("status") == "incomplete")
        self.is_done = True
        return b""

    def _ended(self, response: Fields, *, is_cut: bool) -> None:
        self._output.end_all(response.get("output"))
        self.has_content = self.has_content or self._output.has_content
        if response.get("usage") is not None:
            self.usage = from_response_usage(msgspec.convert(response["usage"], ProviderUsage))
        details = response.get("incomplete_details")
        is_filtered = isinstance(details, dict) and details.get("reason") == "content_filter"
        if is_cut:
            self._reason = "content_filter" if is_filtered else "length"
        else:
            self._reason = "tool_calls" if self._output.calls else "stop"
        self.finish_reason = self._reason

    def _sent(self, item: Fields) -> Fields:
        """An item as the client wants it."""
        if self._wants_sealed or item.get("type") != "reasoning":
            return item
        return {name: value for name, value in item.items() if name != "encrypted_content"}

    def _send(self, name: str, event: Fields) -> bytes:
        """An event, or nothing as long as nothing has been said."""
        if not self._envelope.has_begun and not _says_something(name, event):
            self._early.append((name, event))
            return b""
        return self._begin() + self._writer.write(name, event)

    def _begin(self) -> bytes:
        if self._envelope.has_begun:
            return b""
        early, self._early = self._early, []
        return self._envelope.begin() + b"".join([self._writer.write(name, event) for name, event in early])


def _channel(slot: Slot, name: str, place: int | None, *, has_logprobs: bool) -> Channel:
    counted: Fields = {} if place is None else {events.place_field(name): place}
    return Channel(name, {**slot.where, **counted, **({"logprobs": []} if has_logprobs else {})})


def _collect(evidence: Evidence, item: Fields, place: int) -> None:
    if item.get("type") == "function_call":
        evidence.add_arguments(place, item.get("arguments") or "")
    for part in item.get("content") or () if item.get("type") == "message" else ():
        if part.get("type") == "output_text" and evidence.wants_text:
            evidence.add_text(part.get("text") or "")


def _says_something(name: str, event: Fields) -> bool:
    """Whether another provider could not be asked any more once the client has that."""
    if name.endswith(".delta"):
        return bool(event.get("delta"))
    item = event.get("item", {})
    if name == events.ITEM_ADDED:
        return bool(item.get("call_id"))
    return (name == events.ITEM_DONE and item.get("type") in ANSWERS) or name == events.PICTURE
