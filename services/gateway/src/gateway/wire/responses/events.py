"""The events of a response stream as bytes: their frame, their numbers, text that is written piece by piece."""

from collections.abc import Mapping
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()


class EventWriter:
    """Frames the events of one stream and counts them from 0."""

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = 0

    def write(self, type: str, fields: Mapping[str, Any]) -> bytes:
        """One event."""
        head = event_head(type, fields)
        number, self._number = self._number, self._number + 1
        return b"%b%d}\n\n" % (head, number)

    def write_delta(self, head: bytes, text: str) -> bytes:
        """One event with a `delta`, from a head that is made once for many of them."""
        # The text is encoded before the number is taken: an event that cannot be written leaves no gap.
        encoded = _encoder.encode(text)
        number, self._number = self._number, self._number + 1
        return b'%b%d,"delta":%b}\n\n' % (head, number, encoded)


def event_head(type: str, fields: Mapping[str, Any]) -> bytes:
    """An event up to its number."""
    named = _encoder.encode({"type": type, **fields})[:-1]
    return b"event: %b\ndata: %b," % (type.encode(), named) + b'"sequence_number":'


class Run:
    """A text that leaves in pieces, and all of it so far."""

    __slots__ = ("_events", "_head", "_pieces")

    def __init__(self, events: EventWriter, type: str, fields: Mapping[str, Any]) -> None:
        self._events = events
        self._head = event_head(type, fields)
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def write(self, piece: str) -> bytes:
        try:
            sent = self._events.write_delta(self._head, piece)
        except UnicodeEncodeError:
            return self.write(well_formed(piece))
        self._pieces.append(piece)
        return sent


def well_formed(text: str) -> str:
    """The text with halves of surrogate pairs replaced: UTF-8 has no words for them."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Envelope:
    """What is around the items of a stream: that the response was begun, that it goes on, and its one end."""

    __slots__ = ("_begun", "_events", "has_begun", "is_over")

    def __init__(self, begun: Mapping[str, Any], events: EventWriter) -> None:
        self.has_begun = False
        self.is_over = False
        self._events = events
        self._begun = {"response": msgspec.Raw(_encoder.encode(begun))}

    def begin(self) -> bytes:
        """The first events, once."""
        if self.has_begun:
            return b""
        self.has_begun = True
        return self._events.write("response.created", self._begun) + self.go_on()

    def go_on(self) -> bytes:
        """A schema-valid event that says nothing new. Comments would not reset the idle timers of clients."""
        if not self.has_begun or self.is_over:
            return b""
        return self._events.write("response.in_progress", self._begun)

    def end(self, response: Mapping[str, Any]) -> bytes:
        """The last event, named after the status of the final object. OpenAI sends no `[DONE]` after it."""
        sent = self.begin()
        self.is_over = True
        return sent + self._events.write(f"response.{response['status']}", {"response": response})
