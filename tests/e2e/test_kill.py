"""`kill -9` of each service in turn, under light load: it comes back by itself, and the books still balance."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from devstack.provider import Provider, scripts
from devstack.stack import Stack
from tests.e2e.product import chat, eventually, get, ledger, new_account, profiles

BACK_WITHIN_SECONDS = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(module_data_dir: Path) -> AsyncIterator[Stack]:
    async with (
        Provider(default=scripts.answer("ok")) as provider,
        Stack(module_data_dir, profiles=profiles({"only": provider})) as running,
    ):
        yield running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("service", ["gateway", "quota", "router", "billing", "nats", "postgres"])
async def test_a_killed_service_comes_back_and_the_books_balance(stack: Stack, service: str) -> None:
    account, token = await new_account(stack, plan="max")
    statuses: list[int] = []
    load = asyncio.create_task(_light_load(stack, token, statuses))
    await asyncio.sleep(0.5)
    killed = stack.processes[service]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    before = len(statuses)
    await _answered_again(stack, token)
    await asyncio.sleep(0.5)
    load.cancel()

    assert stack.processes[service] != killed
    assert 200 in statuses[before:] or 200 in statuses
    answered = statuses.count(200) + 1
    # What a killed consumer had in hand comes again when the durable's ack_wait has passed.
    await eventually(lambda: _books_balance(stack, account, token, answered=answered), timeout_seconds=30.0)
    if service != "gateway":
        assert set(statuses) <= {200, 502, 503}


async def _books_balance(stack: Stack, account: str, token: str, *, answered: int) -> bool:
    """Every answer is charged, and what quota counts as finished is what billing has charged (I3).

    A gateway that dies takes the answers it was giving with it; their holds stay open until their leases end.
    """
    usage = await get(stack, token, "usage")
    charged = sum(line["prompts"] for line in await ledger(stack, account, lines=0))
    daily = usage.json["daily"] if usage.status == 200 else {"used": -1, "reserved": 0}
    return bool(charged >= answered and daily["used"] - daily["reserved"] == charged)


async def _light_load(stack: Stack, token: str, statuses: list[int]) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                statuses.append((await chat(stack, token, session=session)).status)
            except aiohttp.ClientError:
                statuses.append(0)
            await asyncio.sleep(0.05)


async def _answered_again(stack: Stack, token: str) -> None:
    """The first answered request after the kill, within a bound."""
    async with asyncio.timeout(BACK_WITHIN_SECONDS):
        await asyncio.sleep(0.2)
        while True:
            try:
                if (await chat(stack, token)).status == 200:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
