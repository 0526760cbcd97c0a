"""Group commit: what waits while one commit runs goes into the next.

One batch is in the database at a time. A lone ask is committed at once; sixty-four at once share one commit, one sync
of the disk and one round trip. Nothing waits for a timer: a batch is what has arrived by the end of a turn of the
event loop.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from opentelemetry.trace import SpanContext

from chassis import telemetry
from chassis.bus import TryLater
from quota.errors import Undecided

log = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

RETRY_PAUSE_SECONDS = (0.0, 0.02, 0.05, 0.1, 0.2)

Commit = Callable[[Sequence[ItemT], Sequence[SpanContext]], Awaitable[Sequence[ResultT]]]


class _Waiting(Generic[ItemT, ResultT]):
    """One item with whom it is for, and the trace it belongs to."""

    __slots__ = ("item", "result", "sender")

    def __init__(self, item: ItemT, result: asyncio.Future[ResultT], sender: SpanContext) -> None:
        self.item = item
        self.result = result
        self.sender = sender


class GroupCommit(Generic[ItemT, ResultT]):
    """`commit` takes items and the trace contexts of their senders, and returns one result per item, in order.

    It must be idempotent: after `TryLater` (connection lost, outcome unknown) the same batch is committed again, until
    it succeeds or the deadline of each item has passed.
    """

    def __init__(self, commit: Commit[ItemT, ResultT], *, batch_limit: int, deadline_seconds: float) -> None:
        self._commit = commit
        self._batch_limit = batch_limit
        self._deadline_seconds = deadline_seconds
        self._queue: list[_Waiting[ItemT, ResultT]] = []
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def submit(self, item: ItemT) -> ResultT:
        """The result of committing `item`. Raises `Undecided` at the deadline."""
        result: asyncio.Future[ResultT] = self._loop.create_future()
        self._queue.append(_Waiting(item, result, telemetry.current_context()))
        if self._task is None:
            # A context of its own: a batch is not a part of the trace of whoever came first.
            self._task = self._loop.create_task(self._run(), name="group commit", context=contextvars.Context())
        deadline = self._loop.call_later(self._deadline_seconds, self._expire, result)
        try:
            return await result
        finally:
            deadline.cancel()

    async def close(self) -> None:
        """Wait until nothing waits any more."""
        while self._task is not None:
            await self._task

    def _expire(self, result: asyncio.Future[ResultT]) -> None:
        if not result.done():
            result.set_exception(Undecided(self._deadline_seconds))

    async def _run(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue[: self._batch_limit], self._queue[self._batch_limit :]
                await self._decide(batch)
        finally:
            self._task = None

    async def _decide(self, batch: list[_Waiting[ItemT, ResultT]]) -> None:
        """Commit until everyone has an answer. Those whose deadline passed are not asked for again."""
        attempt = 0
        while batch := [waiting for waiting in batch if not waiting.result.done()]:
            try:
                results = await self._commit([one.item for one in batch], [one.sender for one in batch])
            except TryLater as exc:
                log.warning("batch not committed, trying again", extra={"asks": len(batch), "reason": str(exc)})
                await asyncio.sleep(RETRY_PAUSE_SECONDS[min(attempt, len(RETRY_PAUSE_SECONDS) - 1)])
                attempt += 1
            except Exception as exc:  # the edge: one item that cannot be committed must not fail the others
                await self._part(batch, exc)
                return
            else:
                for waiting, result in zip(batch, results, strict=True):
                    if not waiting.result.done():
                        waiting.result.set_result(result)
                return

    async def _part(self, batch: list[_Waiting[ItemT, ResultT]], reason: Exception) -> None:
        """Find the item that breaks a batch: everyone alone."""
        if len(batch) == 1:
            if not batch[0].result.done():
                batch[0].result.set_exception(reason)
            return
        log.error("batch failed, committing one by one", extra={"asks": len(batch), "error": type(reason).__name__})
        for waiting in batch:
            await self._decide([waiting])
