"""Settlements: exactly one per admitted request, acknowledged by its stream, kept until it is.

What REQUESTS does not take is in the journal before its client sees an end, and is repeated from there. From the first
try that fails until all are stored, nothing new is admitted: a gateway that cannot record must not serve (I5).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan

from chassis import telemetry
from chassis.bus import Bus, EventNotStored, publish
from contracts.gateway import REQUEST_SETTLED, RequestSettled
from gateway.endurance import to_the_end
from gateway.journal import Journal, JournalFailed, Keeper, Record

log = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS = 0.25
# At once, as soon as the stream takes them again.
BATCH = 64
# Between looks for journals of processes that died and were not started again.
TAKE_OVER_SECONDS = 30.0

kept_settlements = telemetry.meter.create_up_down_counter(
    "smartroute.settlements.kept", unit="{settlement}", description="Settlements that REQUESTS has not acknowledged"
)
unwritten_settlements = telemetry.meter.create_counter(
    "smartroute.settlements.unwritten",
    unit="{settlement}",
    description="Settlements that neither REQUESTS nor the journal took when they were due",
)


@dataclass(frozen=True, slots=True)
class _Kept:
    """`is_written`: it is on the disk, in `keeper`, and not in memory only."""

    record: Record
    keeper: Keeper
    is_written: bool


class Settler:
    """Publishes settlements. What is kept is bounded by the requests that were open when recording failed.

    `acknowledged` is told the id of every request whose settlement is in the stream.
    """

    def __init__(
        self, bus: Bus, journal: Journal, *, timeout_seconds: float, acknowledged: Callable[[UUID], None]
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._timeout_seconds = timeout_seconds
        self._acknowledged = acknowledged
        self._kept: dict[UUID, _Kept] = {}
        self._refused: set[UUID] = set()
        self._writing = 0
        self._has_kept = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @property
    def is_recording(self) -> bool:
        """Whether the stream took the last settlements: the condition for admitting another request."""
        return not self._refused and not self._is_keeping

    @property
    def _is_keeping(self) -> bool:
        return bool(self._kept or self._writing)

    def keeps(self, request_id: UUID) -> bool:
        """Whether its settlement is still to be stored."""
        return request_id in self._kept

    async def settle(self, settled: RequestSettled) -> bool:
        """Whether it is recorded: in its stream, or on our disk and repeated from there.

        If not, nothing more is done with it until the caller has said in `retry` how its request ends then. It is not
        cancelled with its caller: a cancelled caller waits until it is known, like any other.
        """
        return await to_the_end(self._settle(settled))

    def retry(self, settled: RequestSettled) -> None:
        """Keep in memory what could be recorded nowhere, and repeat it until it is."""
        unwritten_settlements.add(1)
        self._add(_Kept(_record(settled), self._journal, is_written=False))

    async def _settle(self, settled: RequestSettled) -> bool:
        # When the stream is known not to take them, another wait would only hold up the client.
        reason = "earlier settlements are kept" if self._is_keeping else await self._publish(settled)
        if reason is None:
            self._acknowledged(settled.request_id)
            return True
        log.error("settlement kept", extra={"request_id": str(settled.request_id), "reason": reason})
        record = _record(settled)
        is_written = await self._write(record)
        if is_written:
            self._add(_Kept(record, self._journal, is_written=True))
        return is_written

    async def _write(self, record: Record) -> bool:
        """Whether it is on the disk. Nothing is admitted meanwhile."""
        self._writing += 1
        try:
            await self._journal.append(record)
        except JournalFailed as exc:
            request_id = str(record.settled.request_id)
            log.critical("settlement in memory only", extra={"request_id": request_id, "reason": str(exc)})
            return False
        finally:
            self._writing -= 1
        return True

    def _add(self, kept: _Kept) -> None:
        self._kept[kept.record.settled.request_id] = kept
        kept_settlements.add(1)
        self._is_empty.clear()
        self._has_kept.set()

    async def _publish(self, settled: RequestSettled) -> str | None:
        """None when it is in the stream, or why it is not."""
        try:
            await publish(
                self._bus,
                REQUEST_SETTLED,
                settled,
                event_id=str(settled.request_id),
                subject=str(settled.account_id),
                refused=lambda: self._refused.add(settled.request_id),
                timeout_seconds=self._timeout_seconds,
            )
        except EventNotStored as exc:
            return exc.reason
        finally:
            self._refused.discard(settled.request_id)
        return None

    @asynccontextmanager
    async def repeating(self, *, drain_seconds: float) -> AsyncIterator[None]:
        """Repeat what is kept while the block runs, what dead processes have left included, and on the way out until
        all is stored, to a limit."""
        await self._take_over()
        tasks = [
            asyncio.create_task(self._repeat(), name="repeat settlements"),
            asyncio.create_task(self._keep_taking_over(), name="take over journals"),
        ]
        # Nothing is admitted before it is stored; waiting a moment here saves the first callers a refusal.
        await self._until_empty(self._timeout_seconds)
        try:
            yield
        finally:
            if self._bus.is_connected:
                await self._until_empty(drain_seconds)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._leave()

    async def _until_empty(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_empty.wait(), seconds)

    async def _leave(self) -> None:
        """What is kept at the end of the process is on the disk, for whoever comes next."""
        for kept in list(self._kept.values()):
            if kept.is_written or await self._write(kept.record):
                continue
            # Its prompt is given back when the lease runs out; the line says what was lost.
            log.critical("settlement lost", extra={"request_id": str(kept.record.settled.request_id)})
        if self._kept:
            log.warning("settlements left in the journal", extra={"settlements": len(self._kept)})

    async def _take_over(self) -> None:
        for left in await self._journal.take_over():
            for record in left.records:
                self._add(_Kept(record, left, is_written=True))

    async def _keep_taking_over(self) -> None:
        while True:
            await asyncio.sleep(TAKE_OVER_SECONDS)
            await self._take_over()

    async def _repeat(self) -> None:
        while True:
            await self._has_kept.wait()
            size = 1
            while self._kept:
                stored = await asyncio.gather(*(self._store(kept) for kept in islice(self._kept.values(), size)))
                size = BATCH if all(stored) else 1
                if not any(stored):
                    await asyncio.sleep(RETRY_PAUSE_SECONDS)
            self._has_kept.clear()
            self._is_empty.set()
            log.info("all kept settlements are stored")

    async def _store(self, kept: _Kept) -> bool:
        """Publish one that is kept. Whether it is stored now."""
        settled = kept.record.settled
        with _in_trace(kept.record.traceparent):
            if await self._publish(settled) is not None:
                return False
        del self._kept[settled.request_id]
        kept_settlements.add(-1)
        kept.keeper.acknowledge(settled.request_id)
        self._acknowledged(settled.request_id)
        return True


def _record(settled: RequestSettled) -> Record:
    return Record(settled=settled, traceparent=telemetry.traceparent())


@contextmanager
def _in_trace(traceparent: str | None) -> Iterator[None]:
    """Go on in the request's own trace, which may be that of a process that is no more."""
    context = telemetry.parse_traceparent(traceparent)
    if context is None:
        yield
        return
    with trace.use_span(NonRecordingSpan(context), record_exception=False, set_status_on_exception=False):
        yield
