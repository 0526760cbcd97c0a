"""Several real quota processes: exact together, and stopped without losing an ask."""

import asyncio
import json
import re
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from chassis.bus import Bus, connect
from contracts.quota import Denied, Granted
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from tests import commands
from tests.service.quota.quota_process import metrics, plans_at_speed, replica, reserve, variables
from tests.service.quota.requests import continued, held
from tests.service.quota.scene import rows


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


async def test_three_processes_and_sixty_four_callers_hold_exactly_the_limit(
    database: Database, nats_url: str, tmp_path: Path
) -> None:
    """Every caller repeats one request in five under the same id, as a gateway does after a time-out."""
    account_id = uuid4()
    answers: dict[UUID, set[str]] = {}

    async def caller(bus: Bus) -> None:
        for number in range(12):
            request_id = uuid4()
            for _ in range(2 if number % 5 == 0 else 1):
                reply = await reserve(bus, account_id, request_id=request_id)
                answers.setdefault(request_id, set()).add(reply.outcome)
                assert isinstance(reply, Granted | Denied)

    async with AsyncExitStack() as stack:
        plans = {"QUOTA_PLANS_FILE": str(plans_at_speed(tmp_path))}
        replicas = [await stack.enter_async_context(replica(database, nats_url, extra=plans)) for _ in range(3)]
        buses = [await stack.enter_async_context(connect(nats_url, name="t", instance=str(n))) for n in range(2)]
        await asyncio.gather(*(caller(buses[n % 2]) for n in range(64)))
        shares = ["smartroute_quota_reservations_total" in await metrics(each) for each in replicas]
    assert all(shares), "every replica decided some"
    assert Counter(tuple(sorted(given)) for given in answers.values()) == {
        ("granted",): 200,
        ("denied",): 64 * 12 - 200,
    }
    assert await rows(database, "SELECT count(*) FROM quota.reservations") == [(200,)]
    assert set(await rows(database, "SELECT kind, used, reserved FROM quota.windows")) == {
        ("day", 0, 200),
        ("month", 0, 200),
    }


async def test_what_was_decided_is_counted_by_what_it_was(database: Database, nats_url: str) -> None:
    async with replica(database, nats_url) as quota, connect(nats_url, name="t", instance="t") as bus:
        opener = await held(bus, uuid4())
        await continued(bus, opener)
        await continued(bus, opener, answers=2)
        await reserve(bus, opener.account_id, request_id=opener.request_id)
        found = await metrics(quota)
    lines = [line for line in found.splitlines() if line.startswith("smartroute_quota_reservations_total")]
    counted = sorted((*re.findall(r'smartroute_admission="(\w+)"', line), line.rpartition(" ")[2]) for line in lines)
    assert counted == [("continued", "2.0"), ("granted", "1.0"), ("replayed", "1.0")]


async def test_a_process_that_is_told_to_stop_answers_what_it_was_asked(database: Database, nats_url: str) -> None:
    async with (
        replica(database, nats_url) as leaving,
        replica(database, nats_url),
        connect(nats_url, name="t", instance="t") as bus,
    ):
        await reserve(bus, uuid4())
        asked = []
        for wave in range(20):
            asked += [asyncio.create_task(reserve(bus, uuid4())) for _ in range(20)]
            if wave == 8:
                leaving.child.tell(signal.SIGTERM)
            await asyncio.sleep(0.01)
        replies = await asyncio.gather(*asked)
        code = await asyncio.wait_for(leaving.child.ended(), 15)
        log = leaving.log.read_text()
    assert Counter(reply.outcome for reply in replies) == {"granted": 400}
    assert code == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["message"] for line in lines if line["level"] in ("ERROR", "CRITICAL")] == []


async def test_a_killed_process_takes_no_prompt_with_it(database: Database, nats_url: str, tmp_path: Path) -> None:
    account_id = uuid4()
    requests = [uuid4() for _ in range(150)]

    async def stubborn(bus: Bus, request_id: UUID) -> str:
        for _ in range(20):
            try:
                async with asyncio.timeout(0.5):
                    reply = await reserve(bus, account_id, request_id=request_id)
            except TimeoutError:
                continue
            return reply.outcome
        return "never answered"

    plans = {"QUOTA_PLANS_FILE": str(plans_at_speed(tmp_path))}
    async with (
        replica(database, nats_url, extra=plans) as dying,
        replica(database, nats_url, extra=plans),
        connect(nats_url, name="t", instance="t") as bus,
    ):
        asked = [asyncio.create_task(stubborn(bus, request_id)) for request_id in requests]
        await asyncio.sleep(0.005)
        dying.child.kill()
        outcomes = await asyncio.gather(*asked)
    assert Counter(outcomes) == {"granted": 150}
    assert await rows(database, "SELECT count(*) FROM quota.reservations") == [(150,)]
    assert set(await rows(database, "SELECT used, reserved FROM quota.windows")) == {(0, 150)}


async def test_the_configuration_can_be_checked_without_touching_anything(database: Database) -> None:
    good = variables(database, "nats://127.0.0.1:1")
    checked = await commands.run("quota", "check-config", environment=good)
    assert (checked.code, "version 1" in checked.out) == (0, True)
    refused = await commands.run("quota", "check-config", environment=good | {"QUOTA_PLANS_FILE": "/nowhere.yaml"})
    assert (refused.code, "/nowhere.yaml" in refused.err) == (2, True)
    refused = await commands.run("quota", "check-config", environment=good | {"QUOTA_BATCH_LIMIT": "none"})
    assert (refused.code, "QUOTA_BATCH_LIMIT" in refused.err) == (2, True)
    assert database.passwords["quota"] not in refused.err
