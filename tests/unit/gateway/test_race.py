"""Two attempts beside each other, without a network: whatever the moment, none of them is left open."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.race import race
from gateway.upstream import AttemptFailed, RequestRefused

FAILED = AttemptFailed("http_error", "status", status=503)
REFUSED = RequestRefused(status=400, is_context_too_long=False, param=None)


class Run:
    """An attempt that is ready, or fails, after a time. `slow_end`: how long it takes to let go when cancelled."""

    def __init__(self, seconds: float, failure: Any = None, *, slow_end: float = 0.0) -> None:
        self.failure: Any = None
        self.is_waiting = False
        self.has_lost = False
        self.is_open = False
        self.drops = 0
        self.number = 0
        self._seconds = seconds
        self._ends_with = failure
        self._slow_end = slow_end

    async def begin(self, *, number: int) -> None:
        self.number, self.is_waiting, self.is_open = number, True, True
        try:
            await asyncio.sleep(self._seconds)
            if isinstance(self._ends_with, AssertionError):
                raise self._ends_with
            self.failure = self._ends_with
            self.is_open = self.failure is None
        except BaseException:
            await asyncio.sleep(self._slow_end)
            self.is_open = False
            raise
        finally:
            self.is_waiting = False

    def drop(self) -> None:
        self.drops += 1
        self.is_open = False


async def raced(first: Run, second: Run | None, *, after: float = 0.02) -> tuple[Run, Run | None]:
    one: Any = first
    other: Any = second
    return await race(one, lambda: other, after_seconds=after)  # type: ignore[return-value]


async def test_a_first_one_that_speaks_in_time_is_alone() -> None:
    first, second = Run(0.0), Run(0.0)
    assert await raced(first, second) == (first, None)
    assert second.number == 0


async def test_a_first_one_that_fails_in_time_is_for_others_to_follow() -> None:
    first, second = Run(0.0, FAILED), Run(0.0)
    assert await raced(first, second) == (first, None)
    assert second.number == 0


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        (Run(9), Run(0.0), "second"),
        (Run(0.05), Run(9), "first"),
        (Run(0.05), Run(0.0, FAILED), "first"),
        (Run(0.05, FAILED), Run(0.1), "second"),
        (Run(0.05, REFUSED), Run(9), "first"),
        (Run(0.05, FAILED), Run(0.1, REFUSED), "second"),
        (Run(0.1, FAILED), Run(0.05, REFUSED), "second"),
        (Run(0.1, FAILED), Run(0.05, FAILED), "second"),
    ],
    ids=["silent", "late", "second fails", "first fails", "refused", "refused late", "refused early", "both fail"],
)
async def test_who_is_the_answer_and_that_the_other_is_over(first: Run, second: Run, wins: str) -> None:
    best, other = await raced(first, second)
    expected = (first, second) if wins == "first" else (second, first)
    assert (best, other) == expected
    assert not expected[1].is_open
    assert expected[1].has_lost
    assert not best.has_lost


async def test_nobody_beside_it_means_waiting_on() -> None:
    first = Run(0.06)
    assert await raced(first, None) == (first, None)


async def test_a_fault_of_ours_ends_both() -> None:
    first, second = Run(9), Run(0.0, AssertionError())
    with pytest.raises(AssertionError):
        await raced(first, second)
    assert not first.is_open
    assert not first.has_lost


async def test_who_leaves_while_the_loser_lets_go_leaves_no_winner_open() -> None:
    first, second = Run(9, slow_end=0.2), Run(0.0)
    task = asyncio.create_task(raced(first, second))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (second.is_open, second.drops) == (False, 1)
    await asyncio.sleep(0.3)
    assert not first.is_open


FAILURES = st.sampled_from([None, FAILED, REFUSED])
MOMENTS = st.sampled_from([0.0, 0.005, 0.01, 0.015, 0.02])


@settings(max_examples=100, deadline=None)
@given(first=st.tuples(MOMENTS, FAILURES), second=st.tuples(MOMENTS, FAILURES), leaves=st.none() | MOMENTS)
async def test_at_most_the_answer_is_open_at_the_end(
    first: tuple[float, Any], second: tuple[float, Any], leaves: float | None
) -> None:
    one, other = Run(*first), Run(*second)
    task = asyncio.create_task(raced(one, other, after=0.005))
    if leaves is not None:
        await asyncio.sleep(leaves)
        task.cancel()
    await asyncio.wait([task])
    if task.cancelled():
        assert not one.is_open
        assert not other.is_open
        return
    best, beside = task.result()
    assert best.is_open == (best.failure is None)
    assert beside is None or not beside.is_open
    if best.failure is not None and beside is not None:
        assert beside.failure is not None or (best is one and best.failure is REFUSED)
