"""The previous release and this one side by side under load: rolled forward replica by replica and back again, in the
order of the guide. On the way every new service meets every old one. No answer is cut, none is refused, and the books
balance.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from devstack.provider import Provider, scripts
from devstack.stack import Stack
from tests.e2e.product import command, profiles
from tests.production.crowd import Crowd
from tests.production.previous_release import sources
from tests.production.rollout import Restarted, restart_service
from tests.production.shape import ENVIRONMENT

TEXT = " ".join(f"word{number}" for number in range(20))
ORDER = ("quota", "router", "billing", "gateway")
REPLICAS = dict.fromkeys(ORDER, 2)
PROCESSES = [f"{service}{number}" for service in ORDER for number in ("", "-2")]


async def roll(stack: Stack, crowd: Crowd, change: Mapping[str, str]) -> list[Restarted]:
    """Every service becomes another release: the schema is there already, gateways come last."""
    done = []
    for service in ORDER:
        for child in stack.children(service):
            kept = {name: value for name, value in child.program.environment.items() if name != "PYTHONPATH"}
            child.program = replace(child.program, environment={**kept, **change})
        done += await restart_service(stack, service, crowd)
    return done


@pytest.mark.production
@pytest.mark.timeout(900)
async def test_a_release_is_rolled_forward_and_back_beside_the_one_before_it(data_dir: Path) -> None:
    old = {"PYTHONPATH": sources(data_dir / "previous")}
    async with (
        Provider(default=scripts.answer(TEXT, interval_seconds=0.2)) as provider,
        Stack(
            data_dir / "stack",
            profiles=profiles({"played": provider}),
            replicas=REPLICAS,
            environment=ENVIRONMENT,
            overrides=dict.fromkeys(PROCESSES, old),
        ) as stack,
    ):
        crowd = Crowd(stack.tokens["unlimited"], TEXT, list(stack.gateways), readers=30)
        async with crowd.reading():
            await crowd.until(lambda: len(crowd.whole) >= crowd.readers, within_seconds=60)
            forward = await roll(stack, crowd, {})
            since = len(crowd.log)
            await crowd.until(lambda: len(crowd.log) >= since + crowd.readers, within_seconds=60)
            back = await roll(stack, crowd, old)
        sys.stdout.writelines(f"\n{line}" for line in ("forward", *forward, "back", *back, crowd.told()))
        books = await command(stack, "billing", "reconcile")
        assert (crowd.cut, crowd.refused) == ([], [])
        assert (books["result"], books["figures"]["lines"]) == ("equal", len(crowd.whole))
