"""The router on a real bus: what gateways ask, what they tell, and files that change under it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from chassis import bus
from chassis.bus import Bus
from contracts.failures import Failure
from contracts.gateway import ATTEMPTS_FINISHED, AttemptFinished, AttemptsFinished, FirstByte
from contracts.router import CHOOSE, Choose, Chosen, Unroutable
from router.app import answering
from router.settings import Settings
from tests.unit.router.configurations import plans, profiles, write


@pytest_asyncio.fixture
async def files(tmp_path: Path) -> Path:
    write(tmp_path / "plans.yaml", plans())
    write(tmp_path / "profiles.yaml", profiles())
    return tmp_path


@pytest_asyncio.fixture
async def replicas(nats_url: str, files: Path) -> AsyncIterator[int]:
    """Two routers in one queue group."""
    async with AsyncExitStack() as stack:
        for number in range(2):
            settings = Settings(
                nats_url=nats_url,
                instance=f"router-{number}",
                health_port=0,
                plans_file=files / "plans.yaml",
                profiles_file=files / "profiles.yaml",
            )
            await stack.enter_async_context(answering(settings))
        yield 2


@pytest_asyncio.fixture
async def gateway(nats_url: str, replicas: int) -> AsyncIterator[Bus]:
    async with bus.connect(nats_url, name="gateway", instance="test") as connection:
        yield connection


async def choose(gateway: Bus, *, plan: str = "pro", alias: str = "alias-pro") -> Chosen | Unroutable | Failure:
    ask = Choose(request_id=uuid4(), plan=plan, alias=alias)
    return await bus.ask(gateway, CHOOSE, ask, timeout_seconds=2)


async def orders(gateway: Bus, *, asks: int) -> set[tuple[str, ...]]:
    """Every order that any replica gives; with enough asks each replica is among those who answered."""
    replies = await asyncio.gather(*(choose(gateway) for _ in range(asks)))
    return {tuple(c.target for c in reply.candidates) for reply in replies if isinstance(reply, Chosen)}


async def tell(gateway: Bus, *attempts: AttemptFinished) -> None:
    await bus.tell(gateway, ATTEMPTS_FINISHED, AttemptsFinished(gateway="test", attempts=attempts))
    await gateway.flush()
    await asyncio.sleep(0.05)


async def begin(gateway: Bus, *firsts: FirstByte) -> None:
    await bus.tell(gateway, ATTEMPTS_FINISHED, AttemptsFinished(gateway="test", attempts=(), first_bytes=firsts))
    await gateway.flush()
    await asyncio.sleep(0.05)


async def test_an_ambitious_ask_gets_the_alias_of_the_plan_and_a_modest_one_its_own(gateway: Bus) -> None:
    ambitious = await choose(gateway, plan="free", alias="alias-pro")
    modest = await choose(gateway, plan="pro", alias="alias-free")
    assert isinstance(ambitious, Chosen)
    assert isinstance(modest, Chosen)
    assert (ambitious.alias, modest.alias) == ("alias-free", "alias-free")
    assert [candidate.target for candidate in modest.candidates] == ["near", "far"]


async def test_unknown_names_are_refusals_not_failures(gateway: Bus) -> None:
    assert await choose(gateway, alias="gpt-4") == Unroutable(reason="unknown_alias")
    assert await choose(gateway, plan="gold") == Unroutable(reason="unknown_plan")


async def test_every_replica_hears_of_failures_and_sets_the_target_aside(gateway: Bus) -> None:
    assert await orders(gateway, asks=40) == {("near", "far")}
    await tell(gateway, *[AttemptFinished(target="near", result="rate_limited", retry_after_seconds=30)])
    assert await orders(gateway, asks=40) == {("far", "near")}


async def test_one_request_of_the_whole_fleet_probes_and_a_success_brings_the_target_back_on_all(gateway: Bus) -> None:
    failed = AttemptFinished(target="near", result="timed_out")
    await tell(gateway, failed, failed, failed)
    await asyncio.sleep(1.6)
    replies = await asyncio.gather(*(choose(gateway) for _ in range(60)))
    probes = [r for r in replies if isinstance(r, Chosen) and r.candidates[0].target == "near"]
    assert len(probes) == 1
    assert probes[0].route is not None
    assert probes[0].route.placement == "probe"
    await begin(gateway, FirstByte(target="near", bucket=0, seconds=0.2))
    assert await orders(gateway, asks=40) == {("near", "far")}


async def test_a_changed_profiles_file_is_answered_from_in_seconds_and_a_bad_one_never(
    gateway: Bus, files: Path
) -> None:
    write(files / "profiles.yaml", profiles(version=2, names=("free",)))
    await asyncio.sleep(1.3)
    assert await orders(gateway, asks=20) == {("near", "far")}
    write(files / "profiles.yaml", profiles(version=3, order=("far",)))
    for _ in range(30):
        if await orders(gateway, asks=20) == {("far",)}:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the new file is not in force after three seconds")
