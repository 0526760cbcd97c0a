"""Work that goes on beside something else, for exactly as long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """`work` runs while the block does; on the way out it is cancelled and waited for.

    For loops that deal with their own failures: one that ends early is noticed at the end of the block.
    """
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def vital(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """The same for work that the block makes no sense without: a crash of it ends the block, in an `ExceptionGroup`."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work, name=name)
        try:
            yield
        finally:
            task.cancel()
