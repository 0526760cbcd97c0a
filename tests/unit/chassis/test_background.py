"""Work beside a block: it ends with the block, and the block ends with what it cannot do without."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from chassis.background import beside, vital


class Work:
    """Something endless that notes its beginning and its end."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def go_on(self) -> None:
        self.said.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.said.append("ended")


@pytest.mark.parametrize("during", [beside, vital])
async def test_work_runs_as_long_as_the_block_and_has_ended_after_it(
    during: Callable[..., AbstractAsyncContextManager[None]],
) -> None:
    work = Work()
    async with during(work.go_on(), name="work"):
        await asyncio.sleep(0)
        assert work.said == ["begun"]
    assert work.said == ["begun", "ended"]


async def test_a_block_does_not_outlive_its_vital_work() -> None:
    async def crash() -> None:
        raise LookupError("gone")

    with pytest.raises(ExceptionGroup) as caught:
        async with vital(crash(), name="work"):
            await asyncio.sleep(10)
    assert caught.group_contains(LookupError)
