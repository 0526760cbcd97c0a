"""Messages that a durable gave up: listed, handled again by the service's own handler, or put aside for good.

They lie in DEAD_LETTERS as they came, by durable, with the reason and with their place in the stream that they come
from: handled again, a message still has the sequence that decides who was first. What is handled is deleted; what is
put aside moves to a subject of its own, with who decided it and why.
"""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from chassis import telemetry
from chassis.bus import tracing
from chassis.bus.connection import Bus
from chassis.bus.errors import BusError, TryLater
from chassis.bus.events import Delivery, store
from chassis.bus.jetstream import api
from contracts import cloudevents
from contracts.endpoint import Event, PayloadT
from contracts.streams import DEAD_LETTERS, DURABLES, Durable, dead_letter_subject, discarded_subject

REASON = "Smartroute-Reason"
STREAM = "Smartroute-Stream"
SEQUENCE = "Smartroute-Sequence"
AUTHOR = "Smartroute-Author"
DISCARD_REASON = "Smartroute-Discard-Reason"
DISCARDED_AT = "Smartroute-Discarded-At"

_STATUS_LINE = b"NATS/1.0\r\n"
PUBLISH_SECONDS = 5.0


class StillPoison(BusError):
    """A dead letter could not be handled this time either. It is where it was."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that was given up. `place` is its sequence in DEAD_LETTERS, `sequence` the one in `stream`."""

    place: int
    durable: Durable
    reason: str
    stream: str
    sequence: int
    given_up_at: datetime
    data: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Receiver:
    """How a service handles the letters of one of its durables."""

    durable: Durable
    handle: Callable[[DeadLetter], Awaitable[None]]


def receiver(
    event: Event[PayloadT], durable: Durable, handler: Callable[[Delivery[PayloadT]], Awaitable[None]]
) -> Receiver:
    """One that reads a letter as the consumer of `durable` reads its messages, and has `handler` handle it."""

    async def handle(letter: DeadLetter) -> None:
        try:
            envelope, payload = cloudevents.unwrap(event, letter.data)
        except ValueError as exc:
            raise StillPoison(f"unreadable: {type(exc).__name__}") from exc
        sender = telemetry.parse_traceparent(letter.headers.get(telemetry.TRACEPARENT) or envelope.traceparent)
        delivery = Delivery(payload=payload, envelope=envelope, sequence=letter.sequence, trace=sender)
        with tracing.processing(event.subject, durable.name, [(envelope.id, sender)]):
            try:
                await handler(delivery)
            except TryLater:
                raise
            except Exception as exc:  # the edge: whatever it is, staff are told, and the letter is kept
                raise StillPoison(f"{type(exc).__name__}: {exc}") from exc

    return Receiver(durable, handle)


async def dead_letters(bus: Bus, durable: Durable) -> AsyncIterator[DeadLetter]:
    """Every letter of a durable, oldest first. Raises `BusError`."""
    after = 0
    while True:
        wanted = {"seq": after + 1, "next_by_subj": dead_letter_subject(durable)}
        answer = await api(bus, f"STREAM.MSG.GET.{DEAD_LETTERS.name}", wanted, may_miss=True)
        if "message" not in answer:
            return
        letter = _letter(answer["message"], durable)
        after = letter.place
        yield letter


async def dead_letter(bus: Bus, place: int) -> DeadLetter | None:
    """The letter at `place`, None when there is none (any more) or it was put aside. Raises `BusError`."""
    answer = await api(bus, f"STREAM.MSG.GET.{DEAD_LETTERS.name}", {"seq": place}, may_miss=True)
    if "message" not in answer:
        return None
    subject = answer["message"]["subject"]
    durable = next((durable for durable in DURABLES if dead_letter_subject(durable) == subject), None)
    return None if durable is None else _letter(answer["message"], durable)


async def handle_again(bus: Bus, letter: DeadLetter, receiver: Receiver) -> None:
    """Have it handled, then delete it.

    Raises `StillPoison` when it cannot be, `TryLater` when the store is away, and `BusError`: then it is kept.
    """
    await receiver.handle(letter)
    await _delete(bus, letter)


async def discard(bus: Bus, letter: DeadLetter, *, author: str, reason: str) -> None:
    """Put it aside with who decided that and why, then delete it. Raises `BusError`, and then it may be in both."""
    headers = {name: value for name, value in letter.headers.items() if not name.startswith("Nats-")} | {
        "Nats-Msg-Id": f"discarded:{letter.durable.name}:{letter.place}",
        AUTHOR: _one_line(author),
        DISCARD_REASON: _one_line(reason),
        DISCARDED_AT: datetime.now(UTC).isoformat(),
    }
    subject = discarded_subject(letter.durable)
    await store(bus, subject, letter.data, headers, timeout_seconds=PUBLISH_SECONDS)
    await _delete(bus, letter)


async def _delete(bus: Bus, letter: DeadLetter) -> None:
    # A second one who handled it at the same time finds it gone, which is as it should be.
    wanted = {"seq": letter.place, "no_erase": True}
    await api(bus, f"STREAM.MSG.DELETE.{DEAD_LETTERS.name}", wanted, may_miss=True)


def _one_line(value: str) -> str:
    """A header ends with its line."""
    return " ".join(value.split())


def _letter(message: Mapping[str, str], durable: Durable) -> DeadLetter:
    raw = base64.b64decode(message.get("hdrs", "")).removeprefix(_STATUS_LINE).decode(errors="replace")
    lines = (line.partition(":") for line in raw.splitlines() if line)
    headers = {name: value.strip() for name, _, value in lines}
    return DeadLetter(
        place=int(message["seq"]),
        durable=durable,
        reason=headers.get(REASON, "unknown"),
        stream=headers.get(STREAM, durable.stream),
        sequence=int(headers.get(SEQUENCE, "0")),
        given_up_at=datetime.fromisoformat(message["time"][:19] + "+00:00"),
        data=base64.b64decode(message.get("data", "")),
        headers=headers,
    )
