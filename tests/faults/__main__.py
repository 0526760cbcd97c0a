"""`make faults`: everything that can break, broken under load, and the books checked after each fault.

make faults SEEDS=3                                              # every fault, three orders: about 15 minutes each
make faults ARGS="--short"                                       # what CI plays
make faults ARGS="--seed 7 --only gateway-killed-streaming"      # one round again
make faults ARGS="--sabotage dedupe"                             # has to fail: the suite can
"""

import argparse
import asyncio
import logging
import random
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a folder, Python knows only the folder

from rich.console import Console

from tests.faults.catalogue import FAULTS, SHORT
from tests.faults.report import Report
from tests.faults.sabotage import SABOTAGES
from tests.faults.schedule import run


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to play (default 1)")
    parser.add_argument("--seed", type=int, help="the first seed (default: a new one, printed)")
    parser.add_argument("--only", action="append", choices=sorted(FAULTS), help="only this fault; may be repeated")
    parser.add_argument("--short", action="store_true", help="the faults that CI plays")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGES), help="take this protection away first: has to fail")
    parser.add_argument("--list", action="store_true", help="name all faults, and leave")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("one seed at least")
    return options


async def _play(options: argparse.Namespace, report: Report) -> None:
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10_000)
    sabotage = SABOTAGES[options.sabotage] if options.sabotage else None
    names = options.only or ([sabotage.shown_by] if sabotage else SHORT if options.short else sorted(FAULTS))
    for seed in range(first, first + options.seeds):
        await run(report, names, seed=seed, sabotage=sabotage)


def main() -> int:
    """The exit code: 1 when an invariant broke or a fault could not be injected."""
    options = _options()
    console = Console(highlight=False)
    if options.list:
        for name, fault in sorted(FAULTS.items()):
            console.print(f"  [bold]{name:<28}[/] {fault.what} [dim]({fault.world})[/]", soft_wrap=True)
        return 0
    logging.getLogger().setLevel(logging.CRITICAL)  # our own bus connection would tell of every outage
    report = Report(console)
    asyncio.run(_play(options, report))
    return report.ends()


if __name__ == "__main__":
    sys.exit(main())
