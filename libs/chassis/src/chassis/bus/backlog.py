"""What a durable has not done yet, and what it gave up: measured while its consumer runs.

An outage of a consumer is a backlog; a message that nobody can handle is not, because it leaves the durable. So both
are told, each as a number of its own.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis import telemetry
from chassis.background import beside
from chassis.bus.connection import Bus
from chassis.bus.errors import BusError
from chassis.bus.jetstream import api
from contracts.streams import DEAD_LETTERS, Durable, dead_letter_subject

log = logging.getLogger(__name__)

POLL_SECONDS = 15.0

_pending = telemetry.meter.create_gauge(
    "smartroute.consumer.pending", description="Messages that a durable has not acknowledged yet"
)
_dead_letters = telemetry.meter.create_gauge(
    "smartroute.dead_letters", description="Messages that a durable gave up and nobody has dealt with"
)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Messages that were not delivered or not acknowledged yet, and those that were given up."""

    pending: int
    dead_letters: int


async def backlog(bus: Bus, durable: Durable) -> Backlog:
    """Raises `BusError`."""
    consumer = await api(bus, f"CONSUMER.INFO.{durable.stream}.{durable.name}")
    subject = dead_letter_subject(durable)
    letters = await api(bus, f"STREAM.INFO.{DEAD_LETTERS.name}", {"subjects_filter": subject})
    counts: dict[str, int] = letters["state"].get("subjects") or {}
    return Backlog(int(consumer["num_pending"]) + int(consumer["num_ack_pending"]), counts.get(subject, 0))


@asynccontextmanager
async def measured(bus: Bus, durable: Durable) -> AsyncIterator[None]:
    """Keep the metrics of a durable while the block runs."""
    async with beside(_measure(bus, durable), name=f"measure {durable.name}"):
        yield


async def _measure(bus: Bus, durable: Durable) -> None:
    labels = {"durable": durable.name}
    while True:
        try:
            found = await backlog(bus, durable)
        except BusError as exc:
            log.warning("backlog not measured", extra=labels | {"reason": str(exc)})
        else:
            _pending.set(found.pending, labels)
            _dead_letters.set(found.dead_letters, labels)
        await asyncio.sleep(POLL_SECONDS)
