"""Questions to the database whose answer is worth only so much time."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

ResultT = TypeVar("ResultT")


class Questions:
    """A limit for each. One that is late goes on by itself: to cancel it would wait for the same database."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._asking: set[asyncio.Task[object]] = set()

    async def ask(self, question: Coroutine[None, None, ResultT]) -> ResultT:
        """The answer, in time. Raises `TimeoutError`, and what the question raises."""
        task = asyncio.create_task(question)
        self._asking.add(task)
        task.add_done_callback(self._asked)
        return await asyncio.wait_for(asyncio.shield(task), self._timeout_seconds)

    async def close(self) -> None:
        """Give up what is still asked."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _asked(self, task: asyncio.Task[object]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits has it; asyncio must not complain when nobody does
