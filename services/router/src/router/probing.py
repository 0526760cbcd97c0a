"""One probe per fleet: replicas agree on who may try a target that was set aside.

Whoever puts its name into the target's place in the bucket first may send requests there to try it, one at a time, for
`PERMIT_SECONDS`. It is done beside the requests: none of them waits for it.
"""

import asyncio
import json
import logging
import time
from contextlib import AbstractAsyncContextManager

from chassis import bus
from chassis.background import beside
from chassis.bus import Bus, BusError
from contracts.streams import ROUTER_PROBES
from router.switchboard import Switchboard

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
PERMIT_SECONDS = 10.0


class Permits:
    """Who may probe. Times in the bucket are of the wall clock: replicas need not agree better than a second."""

    def __init__(self, connection: Bus, switchboard: Switchboard) -> None:
        self._bus = connection
        self._switchboard = switchboard

    def asking(self) -> AbstractAsyncContextManager[None]:
        """Ask for what is wanted, again and again, while the block runs."""
        return beside(self._ask_for_ever(), name="probe permits")

    async def ask(self) -> None:
        """Try once for every target that wants a probe. Raises `BusError`."""
        for target in self._switchboard.wanted_probes(time.monotonic()):
            if await self._is_won(target):
                self._switchboard.permit(target, until=time.monotonic() + PERMIT_SECONDS)

    async def _ask_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.ask()
            except BusError as exc:
                log.warning("no probe permits", extra={"reason": str(exc)})

    async def _is_won(self, target: str) -> bool:
        before = await bus.read_entry(self._bus, ROUTER_PROBES, target)
        if before is not None and self._is_held_by_another(before.value):
            return False
        value = json.dumps({"by": self._bus.instance, "until": time.time() + PERMIT_SECONDS}).encode()
        return await bus.write_entry(self._bus, ROUTER_PROBES, target, value, over=before) is not None

    def _is_held_by_another(self, value: bytes) -> bool:
        try:
            held = json.loads(value)
            return bool(held["by"] != self._bus.instance) and float(held["until"]) > time.time()
        except (ValueError, LookupError, TypeError):
            return False
