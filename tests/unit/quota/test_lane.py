"""Group commit: who shares a batch, who gets which answer, and what happens when a commit fails."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext

from chassis.bus import TryLater
from quota.errors import Undecided
from quota.lane import GroupCommit


class Ledger:
    """Commits numbers by doubling them; slow, and failing as often as it is told to."""

    def __init__(self, *, failures: int = 0, poison: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self.has_begun = asyncio.Event()
        self.failures = failures
        self.poison = poison

    async def commit(self, items: Sequence[int], _: Sequence[SpanContext]) -> list[int]:
        self.batches.append(list(items))
        self.has_begun.set()
        await asyncio.sleep(0.001)
        if self.failures:
            self.failures -= 1
            raise TryLater("away")
        if self.poison in items:
            raise ValueError("poison")
        return [2 * item for item in items]


def a_lane(ledger: Ledger, *, batch_limit: int = 512, deadline_seconds: float = 5) -> GroupCommit[int, int]:
    return GroupCommit(ledger.commit, batch_limit=batch_limit, deadline_seconds=deadline_seconds)


async def test_a_lone_item_is_committed_at_once() -> None:
    ledger = Ledger()
    assert await a_lane(ledger).submit(4) == 8
    assert ledger.batches == [[4]]


async def test_what_waits_while_one_commit_runs_goes_into_the_next() -> None:
    ledger = Ledger()
    lane = a_lane(ledger)
    first = asyncio.create_task(lane.submit(1))
    await ledger.has_begun.wait()
    rest = [asyncio.create_task(lane.submit(n)) for n in range(2, 40)]
    assert await asyncio.gather(first, *rest) == [2 * n for n in range(1, 40)]
    assert ledger.batches == [[1], list(range(2, 40))]


async def test_a_batch_has_a_limit() -> None:
    ledger = Ledger()
    lane = a_lane(ledger, batch_limit=10)
    await asyncio.gather(*(lane.submit(n) for n in range(25)))
    assert [len(batch) for batch in ledger.batches] == [10, 10, 5]


async def test_a_batch_whose_outcome_is_unknown_is_committed_again() -> None:
    ledger = Ledger(failures=2)
    lane = a_lane(ledger)
    assert list(await asyncio.gather(lane.submit(1), lane.submit(2))) == [2, 4]
    assert ledger.batches == [[1, 2]] * 3


async def test_at_its_deadline_an_item_is_undecided_and_not_asked_for_again() -> None:
    ledger = Ledger(failures=10**9)
    lane = a_lane(ledger, deadline_seconds=0.05)
    with pytest.raises(Undecided):
        await lane.submit(1)
    await lane.close()
    seen = len(ledger.batches)
    ledger.failures = 0
    assert await lane.submit(2) == 4
    assert ledger.batches[seen:] == [[2]]


async def test_one_item_that_cannot_be_committed_does_not_fail_the_others() -> None:
    lane = a_lane(Ledger(poison=3))
    results = await asyncio.gather(*(lane.submit(n) for n in range(6)), return_exceptions=True)
    assert results[:3] + results[4:] == [0, 2, 4, 8, 10]
    assert isinstance(results[3], ValueError)


async def test_closing_waits_for_those_who_wait() -> None:
    lane = a_lane(Ledger())
    asked = asyncio.create_task(lane.submit(1))
    await asyncio.sleep(0)
    await lane.close()
    assert asked.done() or await asyncio.wait_for(asked, 0.1) == 2


async def test_a_caller_that_leaves_does_not_disturb_its_batch() -> None:
    ledger = Ledger()
    lane = a_lane(ledger)
    leaving, staying = asyncio.create_task(lane.submit(1)), asyncio.create_task(lane.submit(2))
    await ledger.has_begun.wait()
    leaving.cancel()
    assert await staying == 4


@settings(deadline=None, max_examples=40)
@given(
    waves=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    batch_limit=st.integers(1, 12),
    failures=st.integers(0, 3),
    poison=st.none() | st.integers(0, 60),
)
def test_everyone_gets_the_answer_to_what_was_asked(
    waves: list[int], batch_limit: int, failures: int, poison: int | None
) -> None:
    async def scenario() -> list[int | BaseException]:
        lane = a_lane(Ledger(failures=failures, poison=poison), batch_limit=batch_limit)
        asked: list[asyncio.Task[int]] = []
        for wave in waves:
            asked += [asyncio.create_task(lane.submit(len(asked) + n)) for n in range(wave)]
            await asyncio.sleep(0)
        return await asyncio.gather(*asked, return_exceptions=True)

    for number, answer in enumerate(asyncio.run(scenario())):
        assert isinstance(answer, ValueError) if number == poison else answer == 2 * number
