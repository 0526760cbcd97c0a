"""What the REQUESTS stream says, from its messages; and how far both consumers have come with it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from billing.domain.differences import Difference, Kind
from billing.domain.lines import Settlement
from billing.errors import NotComparable
from chassis import bus
from chassis.bus import Bus, StoredMessage
from contracts import cloudevents
from contracts.gateway import REQUEST_SETTLED
from contracts.streams import (
    BILLING_REQUESTS,
    DEAD_LETTERS,
    QUOTA_REQUESTS,
    REQUESTS,
    Durable,
    dead_letter_subject,
    discarded_subject,
)

FLOOR_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Cut:
    """Up to where everything is folded: compared is what stands from `first` to `through`.

    `last` was the end of the stream when the comparison began; what is beyond `through` waits for the next one.
    """

    first: int
    through: int
    last: int


async def cut(
    connection: Bus, durables: Sequence[Durable] = (QUOTA_REQUESTS, BILLING_REQUESTS), *, wait_seconds: float
) -> Cut:
    """Wait up to `wait_seconds` for the consumers to reach the stream's end of now; where they are then is the cut.

    Raises `NotComparable` when one of them does not get on at all, and `BusError`.
    """
    ends = await bus.stream_ends(connection, REQUESTS.name)
    deadline = time.monotonic() + wait_seconds
    before: dict[str, int] = {}
    while True:
        floors = {durable.name: await bus.acknowledged_through(connection, durable) for durable in durables}
        before = before or floors
        if min(floors.values()) >= ends.last:
            return Cut(ends.first, min(floors.values()), ends.last)
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(FLOOR_PAUSE_SECONDS)
    stuck = [name for name, floor in floors.items() if floor < ends.last and floor == before[name]]
    if stuck:
        where = ", ".join(f"{name} stands at {floors[name]} of {ends.last}" for name in stuck)
        raise NotComparable(f"settlements are not being folded: {where}")
    return Cut(ends.first, min(floors.values()), ends.last)


async def settlements(
    connection: Bus, *, first: int, through: int
) -> AsyncGenerator[tuple[Sequence[Settlement], Sequence[Difference]], None]:
    """Batches in stream order: what can be read, and what cannot."""
    async with aclosing(bus.replay(connection, REQUESTS.name, first=first, through=through)) as batches:
        async for messages in batches:
            yield read(messages)


async def again(connection: Bus, sequences: Sequence[int]) -> tuple[Sequence[Settlement], Sequence[Difference]]:
    """Single messages by their sequences; those that are gone are left out."""
    found = [await bus.stored_message(connection, REQUESTS.name, sequence) for sequence in sequences]
    return read([message for message in found if message is not None])


def read(messages: Sequence[StoredMessage]) -> tuple[Sequence[Settlement], Sequence[Difference]]:
    """The settlements of these messages, and a difference for each that is none."""
    readable: list[Settlement] = []
    unreadable: list[Difference] = []
    for message in messages:
        try:
            _, settled = cloudevents.unwrap(REQUEST_SETTLED, message.data)
        except ValueError as exc:
            unreadable.append(unreadable_at(message.sequence, type(exc).__name__))
        else:
            readable.append(Settlement(settled, message.sequence))
    return readable, unreadable


def unreadable_at(sequence: int, reason: str) -> Difference:
    return Difference(Kind.MESSAGE_UNREADABLE, stream_sequence=sequence, figures={"reason": reason})


async def dead_letters(connection: Bus) -> tuple[frozenset[int], frozenset[int]]:
    """The sequences of settlements that wait in billing's dead letters, and of those that staff discarded for good."""
    ends = await bus.stream_ends(connection, DEAD_LETTERS.name)
    found: dict[str, set[int]] = {
        dead_letter_subject(BILLING_REQUESTS): set(),
        discarded_subject(BILLING_REQUESTS): set(),
    }
    batches = bus.replay(connection, DEAD_LETTERS.name, first=ends.first, through=ends.last)
    async with aclosing(batches) as read_again:
        async for letters in read_again:
            for letter in letters:
                if letter.subject in found and letter.headers.get("Smartroute-Sequence", "").isdecimal():
                    found[letter.subject].add(int(letter.headers["Smartroute-Sequence"]))
    waiting, discarded = found.values()
    return frozenset(waiting), frozenset(discarded)
