"""The short form of the fault suite: some faults of each kind, with the same checks as all of them (`make faults`)."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.catalogue import FAULTS, SHAPES, SHORT
from tests.faults.rounds import Round, play, reconciled
from tests.faults.schedule import order
from tests.faults.world import World, world

SEED = 1
IN_ORDER = order(SHORT, seed=SEED)["house"]

pytestmark = pytest.mark.timeout(300)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[World]:
    async with world(SHAPES["house"]) as made:
        yield made


def _told(done: Round) -> str:
    broken = [f"{name}: {sentence}" for name, sentences in done.verdict.broken.items() for sentence in sentences]
    return f"{done.fault.what}\n" + "\n".join([*broken[:10], *done.problems])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", IN_ORDER)
async def test_the_books_hold_after(house: World, name: str) -> None:
    done = await play(house, FAULTS[name], seed=SEED, is_reconciled=False)
    assert done.holds, _told(done)
    assert done.verdict.figures["client complete"] > 10
    assert done.verdict.figures["ledger charged"] == done.verdict.figures["quota charged"] > 10


@pytest.mark.asyncio(loop_scope="module")
async def test_the_product_itself_finds_no_difference_after_all_of_them(house: World) -> None:
    assert await reconciled(house) == []


def test_a_seed_is_an_order() -> None:
    names = sorted(FAULTS)
    random.Random(0).shuffle(names)
    assert order(names, seed=3) == order(sorted(names), seed=3)
    assert order(names, seed=3) != order(names, seed=4)
    assert sorted(name for played in order(names, seed=3).values() for name in played) == sorted(FAULTS)


def test_every_fault_is_in_the_table_of_the_folder() -> None:
    table = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    assert [name for name in FAULTS if f"| `{name}` |" not in table] == []
    assert [name for name in SHORT if name not in FAULTS] == []
