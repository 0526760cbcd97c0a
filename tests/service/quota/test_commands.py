"""What staff do on the command line: see settlements without effect, and deal with messages that were given up."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from chassis.bus import Bus, connect
from contracts.streams import QUOTA_REQUESTS, dead_letter_subject
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from tests import commands
from tests.service.quota.quota_process import quota_here, variables
from tests.service.quota.requests import a_reserve, becomes, held, settle
from tests.service.quota.scene import rows


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="test") as bus:
        yield bus


class Staff:
    """Runs `python -m quota` as staff do."""

    def __init__(self, database: Database, nats_url: str) -> None:
        self._variables = variables(database, nats_url)

    async def run(self, *arguments: str) -> tuple[int, str]:
        finished = await commands.run("quota", *arguments, environment=self._variables)
        return finished.code, finished.out + (finished.err if finished.code else "")

    async def json(self, *arguments: str) -> Any:
        code, out = await self.run(*arguments, "--json")
        assert code == 0, out
        return json.loads(out)


async def given_up(bus: Bus, data: bytes, *, sequence: int, reason: str) -> int:
    headers = {
        "Smartroute-Reason": reason,
        "Smartroute-Stream": "REQUESTS",
        "Smartroute-Sequence": str(sequence),
    }
    return (await bus.client.jetstream().publish(dead_letter_subject(QUOTA_REQUESTS), data, headers=headers)).seq


async def test_late_and_stray_settlements_are_listed_with_what_won(database: Database, nats_url: str, bus: Bus) -> None:
    staff = Staff(database, nats_url)
    async with quota_here(database, nats_url):
        question, stray = await held(bus, uuid4()), a_reserve(uuid4())
        await settle(bus, question)
        await settle(bus, question, event_id="again")
        await settle(bus, stray)
        await becomes(database, "SELECT count(*) FROM quota.settlement_conflicts", [(2,)])
        found = await staff.json("conflicts")
        assert await staff.json("conflicts", "--account", str(uuid4())) == []
        code, table = await staff.run("conflicts", "--account", str(question.account_id))
    told = {(one["request_id"], one["sequence"], one["reason"], one["winner"], one["winner_sequence"]) for one in found}
    assert told == {
        (str(question.request_id), 2, "later", "completed", 1),
        (str(stray.request_id), 3, "no_reservation", None, None),
    }
    assert code == 0
    assert str(question.request_id) in table


async def test_a_letter_is_shown_replayed_in_its_place_and_gone(database: Database, nats_url: str, bus: Bus) -> None:
    staff = Staff(database, nats_url)
    async with quota_here(database, nats_url):
        question = await held(bus, uuid4())
    await settle(bus, question)
    stored = await bus.client.jsm().get_msg("REQUESTS", 1)
    place = await given_up(bus, stored.data or b"", sequence=1, reason="failed 10 times")
    (listed,) = await staff.json("dead-letters", "list")
    assert (listed["place"], listed["sequence"], listed["reason"]) == (place, 1, "failed 10 times")
    shown = await staff.json("dead-letters", "show", str(place))
    assert str(question.request_id) in shown["data"]
    code, out = await staff.run("dead-letters", "replay", str(place))
    assert (code, "processed" in out) == (0, True)
    assert await rows(database, "SELECT outcome, settled_sequence FROM quota.reservations") == [("completed", 1)]
    assert await staff.json("dead-letters", "list") == []


async def test_a_letter_that_still_cannot_be_processed_says_why_and_can_be_put_aside(
    database: Database, nats_url: str, bus: Bus
) -> None:
    staff = Staff(database, nats_url)
    place = await given_up(bus, b"not json", sequence=1, reason="unreadable")
    code, out = await staff.run("dead-letters", "replay", "--all")
    assert (code, "unreadable" in out) == (1, True)
    assert len(await staff.json("dead-letters", "list", "--durable", "quota_requests")) == 1
    code, out = await staff.run("dead-letters", "discard", str(place), "--reason", " ")
    assert code == 2
    assert await staff.json("dead-letters", "discard", str(place), "--reason", "a test", "--author", "Ada") == {
        "place": place,
        "author": "Ada",
        "reason": "a test",
    }
    assert await staff.json("dead-letters", "list") == []
    code, out = await staff.run("dead-letters", "show", str(place))
    assert (code, "no letter of this service" in out) == (2, True)
