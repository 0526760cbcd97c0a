"""How answers turned out, learnt by all replicas together and kept over restarts.

Of every report one replica of the queue group counts the outcomes. It adds them to the counts in the bucket (compare
and set: sums are never overwritten, whoever writes last), and every replica reads the sums. A report that is lost, and
one that is counted twice after a failure in the middle of a write, moves a rate by less than its own uncertainty.
"""

import asyncio
import json
import logging
import time
from collections import defaultdict
from contextlib import AbstractAsyncContextManager
from typing import cast, get_args

from chassis import bus
from chassis.background import beside
from chassis.bus import Bus, BusError
from contracts.gateway import ATTEMPTS_FINISHED, AttemptFinished, AttemptsFinished
from contracts.router import RequestClass
from contracts.streams import ROUTER_OUTCOMES
from router.domain.outcomes import Cell, Count
from router.switchboard import Switchboard

log = logging.getLogger(__name__)

SHARE_SECONDS = 5.0
QUEUE = "router"
_CLASSES = frozenset(get_args(RequestClass))


class Learner:
    """Counts outcomes, and tells the switchboard what all replicas counted."""

    def __init__(self, connection: Bus, switchboard: Switchboard) -> None:
        self._bus = connection
        self._switchboard = switchboard
        self._new: defaultdict[Cell, list[int]] = defaultdict(lambda: [0, 0])

    async def listen(self) -> None:
        """Count what gateways tell, until the bus is drained."""
        await bus.hear(self._bus, ATTEMPTS_FINISHED, self.count, queue=QUEUE)

    def learning(self) -> AbstractAsyncContextManager[None]:
        """Share again and again while the block runs."""
        return beside(self._share_for_ever(), name="learn outcomes")

    def count(self, report: AttemptsFinished) -> None:
        """Take the outcomes of a report into account."""
        known = self._switchboard.configuration.candidates
        for attempt in report.attempts:
            if attempt.request_class is not None and attempt.target in known and _is_answer(attempt):
                self._new[attempt.request_class, attempt.target][_is_bad(attempt)] += 1

    async def share(self) -> None:
        """Add what is new to the sums, and read the sums of all. Raises `BusError`; what was not added stays new."""
        for cell in list(self._new):
            good, bad = self._new[cell]
            if await self._is_added(cell, good, bad):
                left = self._new[cell]
                left[0] -= good
                left[1] -= bad
                if not any(left):
                    del self._new[cell]
        for key, entry in (await bus.read_entries(self._bus, ROUTER_OUTCOMES)).items():
            found, count = _cell_of(key), _count_of(entry.value)
            if found is not None and count is not None:
                self._switchboard.learn(found, count)

    async def _share_for_ever(self) -> None:
        while True:
            try:
                await self.share()
            except BusError as exc:
                log.warning("outcomes not shared", extra={"reason": str(exc)})
            await asyncio.sleep(SHARE_SECONDS)

    async def _is_added(self, cell: Cell, good: int, bad: int) -> bool:
        """False when another replica was quicker: the next round adds it."""
        key = f"{cell[0]}.{cell[1]}"
        before = await bus.read_entry(self._bus, ROUTER_OUTCOMES, key)
        count = (_count_of(before.value) if before is not None else None) or Count(at=time.time())
        now = count.plus(good, bad, now=time.time())
        value = json.dumps({"good": now.good, "bad": now.bad, "at": now.at}).encode()
        return await bus.write_entry(self._bus, ROUTER_OUTCOMES, key, value, over=before) is not None


def _is_answer(attempt: AttemptFinished) -> bool:
    """Whether there was an answer to judge. A call that brought none is a matter of health, not of quality."""
    return attempt.result == "ok" or attempt.fault is not None


def _is_bad(attempt: AttemptFinished) -> bool:
    return attempt.fault is not None


def _cell_of(key: str) -> Cell | None:
    request_class, _, target = key.partition(".")
    return (cast(RequestClass, request_class), target) if request_class in _CLASSES and target else None


def _count_of(value: bytes) -> Count | None:
    """None for what is no count: it is begun again."""
    try:
        said = json.loads(value)
        return Count(float(said["good"]), float(said["bad"]), float(said["at"]))
    except (ValueError, LookupError, TypeError):
        return None
