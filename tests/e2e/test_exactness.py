"""Limits hold exactly, whatever the number of replicas and callers (invariants I1 and I3, from outside)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from devstack.provider import Provider, scripts
from devstack.repository import PLANS
from devstack.stack import Stack
from tests import patience
from tests.e2e.product import Answer, chat, get, ledger, new_account, profiles

CALLERS = 64
REQUESTS = 1_500
DAILY_PROMPTS_OF_FREE = 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=scripts.answer("ok")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(provider: Provider, module_data_dir: Path) -> AsyncIterator[Stack]:
    # With room for the whole day at once: which limit an ask meets must not depend on how fast answers are folded.
    plans = yaml.safe_load(PLANS.read_text())
    plans["plans"][0]["speed"]["in_flight"] = DAILY_PROMPTS_OF_FREE
    path = module_data_dir / "plans.yaml"
    path.write_text(yaml.safe_dump(plans))
    replicas = {"gateway": 2, "quota": 3}
    async with Stack(
        module_data_dir,
        profiles=profiles({"only": provider}),
        plans=path,
        replicas=replicas,
        environment=patience.ENVIRONMENT,
    ) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("attempt", range(5))
async def test_two_gateways_and_three_quotas_answer_exactly_the_daily_prompts(
    stack: Stack, provider: Provider, attempt: int
) -> None:
    account, token = await new_account(stack)
    asked_before = len(provider.exchanges)
    answers = await _storm(stack, token)

    assert Counter(answer.status for answer in answers) == {200: DAILY_PROMPTS_OF_FREE, 429: REQUESTS - 200}
    assert len(provider.exchanges) - asked_before == DAILY_PROMPTS_OF_FREE
    for denied in (answer for answer in answers if answer.status == 429):
        assert denied.json["error"]["code"] == "insufficient_quota"
        assert "daily" in denied.json["error"]["message"]
        assert denied.headers["x-should-retry"] == "false"
        assert 0 < int(denied.headers["retry-after"]) <= 86_400
        assert denied.headers["x-smartroute-daily-remaining"] == "0"

    usage = (await get(stack, token, "usage")).json
    assert (usage["daily"]["used"], usage["daily"]["remaining"]) == (DAILY_PROMPTS_OF_FREE, 0)
    assert usage["monthly"]["used"] == DAILY_PROMPTS_OF_FREE
    lines = await ledger(stack, account, lines=DAILY_PROMPTS_OF_FREE)
    assert sum(line["prompts"] for line in lines) == DAILY_PROMPTS_OF_FREE
    assert len({line["request_id"] for line in lines}) == len(lines) == DAILY_PROMPTS_OF_FREE
    assert {line["outcome"] for line in lines} == {"completed"}


async def _storm(stack: Stack, token: str) -> list[Answer]:
    """All requests by all callers, spread over the gateways; not across midnight, where a new day begins."""
    now = datetime.now(UTC)
    if (now.hour, now.minute) == (23, 59):
        await asyncio.sleep(61 - now.second)
    numbers = iter(range(REQUESTS))
    answers: list[Answer] = []

    async def caller(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            base_url = stack.gateways[number % len(stack.gateways)]
            answers.append(await chat(stack, token, session=session, base_url=base_url))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(caller(session) for _ in range(CALLERS)))
    return answers
