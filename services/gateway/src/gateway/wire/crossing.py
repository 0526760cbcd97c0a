"""From a provider's format to a client's through the canonical model: a decoder, an encoder, and what lies between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Counted,
    Delta,
    Finished,
    Prompt,
    RefusalDelta,
    TextDelta,
)
from gateway.wire.evidence import Evidence
from gateway.wire.lane import Lane, Sealer, Target, UnusableAnswer
from gateway.wire.reading import Reading
from gateway.wire.usage import Usage


class Decoder(Protocol):
    """Reads a provider's stream. `failure` is a word of ours; what is returned with it came before it."""

    failure: str | None
    is_done: bool
    events: int

    def feed(self, payload: bytes) -> Sequence[Delta]:
        """What one event's data says."""


class Encoder(Protocol):
    """Writes a stream, or a whole answer, in the client's format.

    It cannot fail, and whatever the order of deltas, what it writes is in order: nothing is written to an item that is
    not open, and none is left open. `Finished` and what follows are only noted: `finish` writes the end.
    """

    def feed(self, delta: Delta) -> bytes:
        """What leaves for the client now."""

    def finish(self) -> bytes:
        """The end of a good answer."""

    def fail(self, code: str, message: str) -> bytes:
        """The end of an answer that broke off."""

    def heartbeat(self) -> bytes:
        """See `lane.Answer`."""


ReadWhole = Callable[[bytes], Sequence[Delta]]
"""The deltas of a whole answer of a provider, `Finished` among them. Raises `UnusableAnswer`."""

WriteWhole = Callable[[Sequence[Delta]], bytes]
"""The body of a whole answer for the client, when its encoder has been fed all of it."""


@dataclass(frozen=True, slots=True)
class Written:
    """A request in a provider's format; `ignored` are the client's wishes that it cannot express."""

    body: bytes
    ignored: tuple[str, ...] = ()


class WriteRequest(Protocol):
    """Writes a prompt for a target. Raises `lane.Unservable`."""

    def __call__(self, prompt: Prompt, target: Target, *, is_stream: bool, sealer: Sealer) -> Written: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """A provider's format: where requests go below its base URL, how they are written, how answers are read."""

    path: str
    write_request: WriteRequest
    decoder: Callable[[], Decoder]
    read_whole: ReadWhole
    headers: Mapping[str, str] = field(default_factory=dict)


def crossing(
    prompt: Prompt,
    target: Target,
    dialect: Dialect,
    *,
    is_stream: bool,
    sealer: Sealer,
    encoder: Encoder,
    write_whole: WriteWhole,
    evidence: Evidence | None = None,
) -> Lane:
    """The lane of a request whose client speaks another format than the target. Raises `lane.Unservable`."""
    written = dialect.write_request(prompt, target, is_stream=is_stream, sealer=sealer)
    answer = Crossing(
        dialect.decoder(), encoder, read_whole=dialect.read_whole, write_whole=write_whole, evidence=evidence
    )
    return Lane(dialect.path, written.body, answer, ignored=written.ignored, headers=dialect.headers)


class Crossing:
    """A `lane.Answer` between two formats."""

    def __init__(
        self,
        decoder: Decoder,
        encoder: Encoder,
        *,
        read_whole: ReadWhole,
        write_whole: WriteWhole,
        evidence: Evidence | None = None,
    ) -> None:
        self.failure: str | None = None
        self.is_done = False
        self.has_content = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.events = 0
        self.evidence = evidence
        self._wants_text = evidence is not None and evidence.wants_text
        self._decoder = decoder
        self._encoder = encoder
        self._read_whole = read_whole
        self._write_whole = write_whole
        self._reading = Reading()
        self._whole: Sequence[Delta] | None = None

    @property
    def has_finished(self) -> bool:
        return self.finish_reason is not None

    def feed(self, read: bytes) -> bytes:
        return self._reading.feed(self, read)

    def end(self) -> bytes:
        return self._reading.end(self)

    def take(self, body: bytes) -> None:
        deltas = self._read_whole(body)
        for delta in deltas:
            self._note(delta)
            self._encoder.feed(delta)
        if not self.has_finished:
            raise UnusableAnswer("not_finished")
        self._whole = deltas

    def finish(self) -> bytes:
        return self._write_whole(self._whole) if self._whole is not None else self._encoder.finish()

    def fail(self, code: str, message: str) -> bytes:
        return self._encoder.fail(code, message)

    def heartbeat(self) -> bytes:
        return self._encoder.heartbeat()

    def take_event(self, payload: bytes) -> bytes:
        sent = []
        for delta in self._decoder.feed(payload):
            self._note(delta)
            sent.append(self._encoder.feed(delta))
        self.events = self._decoder.events
        self.failure, self.is_done = self._decoder.failure, self._decoder.is_done
        return b"".join(sent)

    def _note(self, delta: Delta) -> None:
        match delta:
            case TextDelta(text) | RefusalDelta(text):
                self.has_content = self.has_content or bool(text)
                if self._wants_text:
                    self._collect(delta)
            case CallBegun():
                self.has_content = True
                self._collect(delta)
            case CallDelta():
                self._collect(delta)
            case Counted(usage):
                self.usage = usage
            case Finished(reason):
                self.finish_reason = reason
            case _:
                pass

    def _collect(self, delta: Delta) -> None:
        if self.evidence is None:
            return
        match delta:
            case TextDelta(text):
                self.evidence.add_text(text)
            case CallBegun(place, name):
                self.evidence.begin_call(place, name)
            case CallDelta(place, arguments):
                self.evidence.add_arguments(place, arguments)
            case _:
                pass
