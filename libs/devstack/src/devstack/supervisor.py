"""Starts children in order, brings a dead one back and says so, and stops them layer by layer.

A `Supervised` child is started once and must become ready, or `StartFailed` is raised. From then on an end that nobody
asked for is answered with a restart after a growing pause. `Supervisor` is the list of them.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from devstack.children import Child, Program, how_it_ended
from devstack.errors import StartFailed
from devstack.together import side_by_side

Say = Callable[[str], None]

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0
# A child that lived this long is forgiven its earlier ends.
_STEADY_SECONDS = 30.0


def quiet(_: str) -> None:
    """Say nothing."""


class Supervised:
    """One child that is kept alive until it is halted."""

    def __init__(self, program: Program, *, say: Say = quiet, changed: Callable[[], None] = lambda: None) -> None:
        self.program = program
        self.restarts = 0
        self._say = say
        self._changed = changed
        self._child: Child | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        """None while no process runs."""
        return self._child.pid if self._child is not None and self._child.code is None else None

    async def start(self) -> None:
        """Begin it and wait until it is ready. Raises `StartFailed`; nothing is left running then."""
        child = self._child = await Child.begin(self.program)
        try:
            await child.until_ready()
        except BaseException:
            await asyncio.shield(child.end())
            raise
        self._watch = asyncio.create_task(self._keep_alive(), name=f"keep {self.name} alive")
        self._changed()

    async def halt(self) -> None:
        """End it and leave it ended. Safe to call twice."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        if self._child is not None:
            await self._child.end()
            self._changed()

    def send(self, number: signal.Signals) -> None:
        """Send the running process a signal (tests kill with it; the watch brings it back)."""
        if self._child is not None:
            self._child.tell(number)

    def kill(self) -> None:
        """Without waiting: for the second Ctrl-C."""
        if self._child is not None:
            self._child.kill()

    async def _keep_alive(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while self._child is not None:
            began = time.monotonic()
            code = await self._child.ended()
            self._changed()
            if time.monotonic() - began > _STEADY_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            self._say(f"{self.name} ended by itself ({how_it_ended(code)}); starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            await self._bring_back()

    async def _bring_back(self) -> None:
        began = time.monotonic()
        self.restarts += 1
        # What the dead one left in its group could still hold its port.
        if self._child is not None:
            self._child.kill()
        try:
            child = self._child = await Child.begin(self.program)
        except OSError as error:
            self._say(f"{self.name} could not be started again: {error}")
            return
        self._changed()
        try:
            await child.until_ready()
        except StartFailed as error:
            self._say(str(error))
            await child.end()
            return
        self._say(f"{self.name} is back (pid {self.pid}, {time.monotonic() - began:.1f} s)")


class Supervisor:
    """Children in the order they were started. As a context manager it stops them all at the end."""

    def __init__(self, *, say: Say = quiet, changed: Callable[[], None] = lambda: None) -> None:
        self.children: list[Supervised] = []
        self._say = say
        self._changed = changed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *programs: Program) -> list[Supervised]:
        """Start programs side by side; all are ready on return. The first failure cancels the others."""
        started = [Supervised(program, say=self._say, changed=self._changed) for program in programs]
        self.children.extend(started)
        await side_by_side(*(child.start() for child in started))
        return started

    async def stop(self) -> None:
        """Stop the highest layer, side by side, then the one it leans on. Cannot be cancelled half way."""
        while self.children:
            highest = max(child.program.layer for child in self.children)
            batch = [child for child in self.children if child.program.layer == highest]
            await _unstoppable(asyncio.gather(*(child.halt() for child in batch), return_exceptions=True))
            self.children = [child for child in self.children if child not in batch]

    def kill(self) -> None:
        """Everything, at once."""
        for child in self.children:
            child.kill()

    def pids(self) -> dict[str, list[int]]:
        """The current processes by program name."""
        found: dict[str, list[int]] = {}
        for child in self.children:
            found.setdefault(child.name, [])
            if child.pid is not None:
                found[child.name].append(child.pid)
        return found


async def _unstoppable(work: asyncio.Future[list[BaseException | None]]) -> None:
    """Wait for `work` to the end even when we are cancelled meanwhile; the cancellation is passed on afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
