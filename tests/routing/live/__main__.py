"""`python tests/routing/live`: the faults of the simulator, end to end: providers over HTTP, two gateways, two routers.

Starts and stops all that it measures; about a minute for each scenario and alias.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # run as a folder, Python knows only the folder

from devstack.stack import Stack
from tests.e2e.product import new_account
from tests.routing.live.clients import Clients
from tests.routing.live.scenarios import SCENARIOS, Figures, new_targets, play

ALIASES = {"smart-route-deep": "without hedging", "smart-route-turbo": "with hedging"}
HEAD = (
    f"{'':24}{'':17}{'requests':>9}{'errors':>9}{'> 5 s':>9}{'p50':>8}{'p99':>8}{'calls':>7}"
    f"{'switches':>10}{'faithful':>10}{'agents given up':>17}"
)


def _row(name: str, alias: str, found: Figures) -> str:
    return (
        f"{name:24}{alias:17}{found.requests:>9}{found.errors:>9.2%}{found.slow:>9.2%}{found.p50:>7.2f}s{found.p99:>7.2f}s"
        f"{found.calls_per_request:>7.3f}{found.switches:>10}{found.faithful:>10.1%}"
        f"{found.agents_given_up:>12} of {found.agents}"
    )


async def run(*, seconds: float, per_second: float, only: str | None) -> None:
    """Play them all and print a line for each."""
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        async with (
            new_targets(seed=1) as targets,
            Stack(Path(folder), profiles=targets.profiles(), replicas={"gateway": 2, "router": 2}) as stack,
        ):
            _, token = await new_account(stack, plan="unlimited")
            sys.stdout.write(HEAD + "\n")
            for scenario in SCENARIOS:
                if only not in (None, scenario.name):
                    continue
                for alias, title in ALIASES.items():
                    clients = Clients(stack.gateways, token, alias, seed=1)
                    found = await play(scenario, targets, clients, seconds=seconds, per_second=per_second)
                    sys.stdout.write(_row(scenario.name, title, found) + "\n")
                    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python tests/routing/live", description=__doc__)
    parser.add_argument("--seconds", type=float, default=45.0, help="of each scenario; the fault begins after a third")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--only", choices=[scenario.name for scenario in SCENARIOS])
    options = parser.parse_args()
    asyncio.run(run(seconds=options.seconds, per_second=options.rate, only=options.only))


if __name__ == "__main__":
    main()
