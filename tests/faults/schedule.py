"""Which faults in which order: a seed shuffles the worlds, the faults in each, and (in `rounds`) their moments."""

import random
from collections.abc import Sequence
from dataclasses import replace

from devstack.errors import DevstackError
from tests.faults.catalogue import FAULTS, SHAPES
from tests.faults.report import Report
from tests.faults.rounds import Round, play
from tests.faults.sabotage import Sabotage
from tests.faults.world import world

MORE = 4


def order(names: Sequence[str], *, seed: int) -> dict[str, list[str]]:
    """World by world, the faults to play in it."""
    rng = random.Random(seed)
    worlds = sorted({FAULTS[name].world for name in names})
    rng.shuffle(worlds)
    found = {}
    for one in worlds:
        found[one] = sorted(name for name in names if FAULTS[name].world == one)
        rng.shuffle(found[one])
    return found


async def run(
    report: Report,
    names: Sequence[str],
    *,
    seed: int,
    sabotage: Sabotage | None = None,
    is_reconciled: bool = True,
) -> None:
    """Play all of them. A broken round does not end the run."""
    report.begins(seed, names, sabotage=sabotage)
    for name, faults in order(names, seed=seed).items():
        shape = sabotage.of(SHAPES[name]) if sabotage else SHAPES[name]
        try:
            async with world(shape, say=report.say) as made:
                if sabotage:
                    await sabotage.act(made)
                while faults:
                    done = await play(made, FAULTS[faults[0]], seed=seed, is_reconciled=is_reconciled)
                    if done.is_too_late:
                        break
                    report.round(done)
                    del faults[0]
            for fault in faults:
                report.round(await _with_more_time(report, fault, seed=seed, is_reconciled=is_reconciled))
        except DevstackError as error:
            for fault in faults:
                report.round(Round(FAULTS[fault], seed, problems=[f"the world did not start: {error}"]))


async def _with_more_time(report: Report, name: str, *, seed: int, is_reconciled: bool) -> Round:
    """Once more in a world whose moment comes later: this machine is slow today."""
    shape = SHAPES[FAULTS[name].world]
    async with world(replace(shape, start_seconds=shape.start_seconds * MORE), say=report.say) as made:
        return await play(made, FAULTS[name], seed=seed, is_reconciled=is_reconciled)
