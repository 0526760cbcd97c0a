"""What a durable has not done yet, what it gave up, and how its stream is: measured while its consumer runs.

An outage of a consumer is a backlog; a message that nobody can handle is not, because it leaves the durable. So both
are told, each as a number of its own. One that takes down whoever handles it is neither: it is waited for for ever, and
the place up to which all is acknowledged stands still. A stream without a leader, or whose NATS is away, cannot be
measured, and that is told as well.
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
_acknowledged = telemetry.meter.create_gauge(
    "smartroute.consumer.acknowledged", description="The place in its stream up to which a durable has done everything"
)
_unmeasured = telemetry.meter.create_gauge(
    "smartroute.consumer.unmeasured", description="1 while JetStream does not say how far a durable is"
)
_fill = telemetry.meter.create_gauge(
    "smartroute.stream.fill_ratio", description="Share of a stream's bytes that is used; at 1 it refuses"
)
_copies_behind = telemetry.meter.create_gauge(
    "smartroute.stream.copies_behind", description="Copies of a stream that are away or not up to date"
)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Messages that were not delivered or not acknowledged yet, those that were given up, and up to which place of the
    stream all is acknowledged."""

    pending: int
    dead_letters: int
    acknowledged: int


async def backlog(bus: Bus, durable: Durable) -> Backlog:
    """Raises `BusError`."""
    consumer = await api(bus, f"CONSUMER.INFO.{durable.stream}.{durable.name}")
    subject = dead_letter_subject(durable)
    letters = await api(bus, f"STREAM.INFO.{DEAD_LETTERS.name}", {"subjects_filter": subject})
    counts: dict[str, int] = letters["state"].get("subjects") or {}
    return Backlog(
        int(consumer["num_pending"]) + int(consumer["num_ack_pending"]),
        counts.get(subject, 0),
        int(consumer["ack_floor"]["stream_seq"]),
    )


@asynccontextmanager
async def measured(bus: Bus, durable: Durable) -> AsyncIterator[None]:
    """Keep the metrics of a durable while the block runs."""
    async with beside(_measure(bus, durable), name=f"measure {durable.name}"):
        yield


async def _measure(bus: Bus, durable: Durable) -> None:
    labels = {"durable": durable.name}
    while True:
        try:
            await _measure_once(bus, durable)
        except BusError as exc:
            log.warning("backlog not measured", extra=labels | {"reason": str(exc)})
            _unmeasured.set(1, labels)
        else:
            _unmeasured.set(0, labels)
        await asyncio.sleep(POLL_SECONDS)


async def _measure_once(bus: Bus, durable: Durable) -> None:
    """Raises `BusError`."""
    labels = {"durable": durable.name}
    found = await backlog(bus, durable)
    _pending.set(found.pending, labels)
    _dead_letters.set(found.dead_letters, labels)
    _acknowledged.set(found.acknowledged, labels)
    for name in (durable.stream, DEAD_LETTERS.name):
        stream = await api(bus, f"STREAM.INFO.{name}")
        limit = stream["config"]["max_bytes"]
        copies = (stream.get("cluster") or {}).get("replicas") or []
        if limit > 0:
            _fill.set(stream["state"]["bytes"] / limit, {"stream": name})
        _copies_behind.set(sum(bool(copy.get("offline")) or not copy["current"] for copy in copies), {"stream": name})
