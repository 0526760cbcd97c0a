"""Work that is carried to its end, whatever happens to the request that began it."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


async def to_the_end(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """The result of `work`. A cancellation of the caller meanwhile does not reach it and is not raised either.

    The caller can see that there was one in `asyncio.current_task().cancelling()`.
    """
    task = asyncio.create_task(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()


def is_cancelled() -> bool:
    """Whether somebody has asked the current task to end, and it has not dealt with that yet."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def take_cancellation() -> None:
    """The cancellation is dealt with here: the task goes on to settle and to say goodbye."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
