"""A call beside a silent one: whichever has something to say first is the answer, and of the other nothing is left."""

import asyncio
from collections.abc import Callable

from gateway.attempt import Attempt
from gateway.upstream import RequestRefused


async def race(
    first: Attempt, second: Callable[[], Attempt | None], *, after_seconds: float
) -> tuple[Attempt, Attempt | None]:
    """`first`, and beside it, when it has been silent for so long, the `second` one: whichever has something to say.

    Both, the better one first: the one that is ready, or when none is, one whose failure says more. The other one is
    over by then, its socket closed. Whatever happens here, none of the two goes on.
    """
    running: dict[asyncio.Task[None], Attempt] = {asyncio.create_task(first.begin(number=1)): first}
    best: Attempt | None = None
    try:
        await asyncio.wait(running, timeout=after_seconds)
        if first.is_waiting and (beside := second()) is not None:
            first.is_late = True
            running[asyncio.create_task(beside.begin(number=2))] = beside
        best = await _best(running)
    finally:
        await _end_others(running, best)
    other = next((attempt for attempt in running.values() if attempt is not best), None)
    return best, other


async def _best(running: dict[asyncio.Task[None], Attempt]) -> Attempt:
    attempts = list(running.values())
    while True:
        for task, attempt in running.items():
            if task.done():
                task.result()  # a fault of ours ends both
                if attempt.failure is None:
                    return attempt
                if attempt is attempts[0] and isinstance(attempt.failure, RequestRefused):
                    return attempt
        waiting = [task for task in running if not task.done()]
        if not waiting:
            refused = (attempt for attempt in attempts if isinstance(attempt.failure, RequestRefused))
            return next(refused, attempts[-1])
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


async def _end_others(running: dict[asyncio.Task[None], Attempt], best: Attempt | None) -> None:
    """End all but the best one. Without one all are ended: nobody waits for an answer any more."""
    for task, attempt in running.items():
        if attempt is not best:
            attempt.has_lost = best is not None
            if not task.cancel():
                _drop(task, attempt)
    ending = [task for task in running if not task.done()]
    if not ending:
        return
    try:
        await asyncio.wait(ending)
    except asyncio.CancelledError:  # the client left at this very moment: the best one has nobody either
        for task, attempt in running.items():
            if attempt is best:
                _drop(task, attempt)
        raise


def _drop(task: asyncio.Task[None], attempt: Attempt) -> None:
    """Let go of one that was ready."""
    if not task.cancelled() and task.exception() is None and attempt.failure is None:
        attempt.drop()
