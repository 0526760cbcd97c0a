"""`python tests/routing/live`: what a decision costs, and the faults of the simulator end to end.

Providers over HTTP, two gateways, two routers. Starts and stops all that it measures; about a minute for each scenario
and alias.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # run as a folder, Python knows only the folder

from chassis.watched import load
from contracts.plans import PlanCatalogue
from devstack import repository
from devstack.stack import Stack
from tests.e2e.product import new_account
from tests.routing.live import decisions
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


def _cost_row(cost: decisions.Cost) -> str:
    judged = ""
    if cost.goal_p99 is not None:
        judged = f"   {'met' if cost.p99 <= cost.goal_p99 else 'MISSED'}: p99 at most {cost.goal_p99:g} ms"
    return f"{cost.name:34}{cost.p50:>8.3f} ms{cost.p99:>8.3f} ms{judged}"


async def cost(*, seconds: float) -> None:
    """Measure what a decision costs, and print it."""
    plans = load(repository.PLANS, PlanCatalogue)
    _say(f"{'':34}{'p50':>11}{'p99':>11}")
    for found in decisions.in_process(plans):
        _say(_cost_row(found))
    document = decisions.profiles(plans.plans[0].alias)
    document["profiles"] = dict.fromkeys(plans.aliases, next(iter(document["profiles"].values())))  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        async with Stack(Path(folder), profiles=document, replicas={"router": 2}) as stack:
            plan = plans.plans[-1]
            for found in await decisions.over_bus(stack.nats_url, plan=plan.name, alias=plan.alias, seconds=seconds):
                _say(_cost_row(found))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def run(*, seconds: float, per_second: float, only: str | None) -> None:
    """Play them all and print a line for each."""
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        async with (
            new_targets(seed=1) as targets,
            Stack(Path(folder), profiles=targets.profiles(), replicas={"gateway": 2, "router": 2}) as stack,
        ):
            _, token = await new_account(stack, plan="unlimited")
            _say(HEAD)
            for scenario in SCENARIOS:
                if only not in (None, scenario.name):
                    continue
                for alias, title in ALIASES.items():
                    clients = Clients(stack.gateways, token, alias, seed=1)
                    found = await play(scenario, targets, clients, seconds=seconds, per_second=per_second)
                    _say(_row(scenario.name, title, found))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python tests/routing/live", description=__doc__)
    parser.add_argument("--seconds", type=float, default=45.0, help="of each scenario; the fault begins after a third")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--only", choices=["decisions", *(scenario.name for scenario in SCENARIOS)])
    options = parser.parse_args()
    if options.only in (None, "decisions"):
        asyncio.run(cost(seconds=min(options.seconds, 20.0)))
    if options.only != "decisions":
        asyncio.run(run(seconds=options.seconds, per_second=options.rate, only=options.only))


if __name__ == "__main__":
    main()
