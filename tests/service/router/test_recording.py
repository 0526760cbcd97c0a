"""The record of decisions over a real bus: complete, found again, and in nobody's way."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis import bus
from chassis.bus import Bus, connect
from contracts.decisions import Decision
from contracts.router import Chosen
from contracts.streams import DECISIONS
from router import recording
from router.history import History
from router.recording import MOST_AT_ONCE, Recorder
from router.switchboard import Switchboard
from tests.service.router.fleet_of_routers import routers
from tests.unit.router.configurations import choose, configured
from tests.unit.router.traffic import a_file


class Counter:
    """A metric that a test can read."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int) -> None:
        self.value += amount


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter()
    monkeypatch.setattr(recording, "_dropped", counter)
    return counter


def ask_of(switchboard: Switchboard, count: int) -> None:
    for number in range(count):
        switchboard.choose(choose(plan="free", alias="alias-free", number=number), now=0.0)


async def everything(connection: Bus) -> list[Decision]:
    now = datetime.now(UTC)
    async with aclosing(History(connection).between(now - timedelta(hours=1), now + timedelta(hours=1))) as found:
        return [decision async for decision in found]


async def test_every_decision_of_all_replicas_is_kept_once(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path) as fleet:
        await fleet.choose(300)
    async with connect(nats_url, name="test", instance="test") as connection:
        kept = await everything(connection)
    assert sorted(one.ask.request_id for one in kept) == sorted(fleet.asked)
    assert {one.decided_by for one in kept} == {"router-0", "router-1"}


async def test_a_decision_is_kept_within_a_second_and_in_messages_of_many(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path, count=1) as fleet:
        await fleet.choose(60)
        async with asyncio.timeout(1.0):
            assert await fleet.kept() <= 3


async def test_without_the_stream_decisions_are_made_and_what_is_not_kept_is_counted(
    nats_url: str, tmp_path: Path, dropped: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "STORE_SECONDS", 0.3)
    async with routers(nats_url, tmp_path) as fleet:
        await fleet.gateway.client.jsm().delete_stream(DECISIONS.name)
        replies = await fleet.choose(40)
        assert all(isinstance(reply, Chosen) for reply in replies)
        async with asyncio.timeout(10):
            while dropped.value < 40:
                assert all(isinstance(reply, Chosen) for reply in await fleet.choose(1))
                await asyncio.sleep(0.1)


async def test_a_stop_does_not_wait_for_a_stream_that_is_away(
    nats_url: str, dropped: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "STORE_SECONDS", 0.3)
    async with connect(nats_url, name="router", instance="r") as connection:
        await connection.client.jsm().delete_stream(DECISIONS.name)
        recorder = Recorder(connection)
        switchboard = Switchboard(configured(a_file()), on_decision=recorder.add)
        async with asyncio.timeout(2.0):
            async with recorder.recording():
                ask_of(switchboard, 12 * MOST_AT_ONCE)
    assert dropped.value == 12 * MOST_AT_ONCE


async def test_a_stop_in_the_middle_of_storing_keeps_all_and_nothing_twice(nats_url: str, dropped: Counter) -> None:
    async with connect(nats_url, name="router", instance="r") as connection:
        for _ in range(5):
            recorder = Recorder(connection)
            switchboard = Switchboard(configured(a_file()), on_decision=recorder.add)
            async with recorder.recording():
                ask_of(switchboard, 3 * MOST_AT_ONCE)
                storing = asyncio.create_task(recorder.store())
                await asyncio.sleep(0.004)
                storing.cancel()
                await asyncio.gather(storing, return_exceptions=True)
        assert len(await everything(connection)) == 5 * 3 * MOST_AT_ONCE
    assert dropped.value == 0


async def test_more_than_can_wait_is_dropped_and_counted(
    nats_url: str, dropped: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MOST_WAITING", 50)
    async with connect(nats_url, name="router", instance="r") as connection:
        recorder = Recorder(connection)
        ask_of(Switchboard(configured(a_file()), on_decision=recorder.add), 70)
        await recorder.store()
        assert len(await everything(connection)) == 50
    assert dropped.value == 20


async def test_a_message_that_nobody_understands_is_passed_over_and_counted(nats_url: str) -> None:
    async with connect(nats_url, name="router", instance="r") as connection:
        await connection.client.jetstream().publish(DECISIONS.subjects[0], b'{"from": "the future"}')
        recorder = Recorder(connection)
        ask_of(Switchboard(configured(a_file()), on_decision=recorder.add), 3)
        await recorder.store()
        history = History(connection)
        assert len(await history.newest(10)) == 3
        assert history.unread == 1


async def test_the_newest_are_the_last_ones_and_no_more_than_asked_for(nats_url: str) -> None:
    async with connect(nats_url, name="router", instance="r") as connection:
        recorder = Recorder(connection)
        switchboard = Switchboard(configured(a_file()), on_decision=recorder.add)
        for number in range(30):
            switchboard.choose(choose(plan="free", alias="alias-free", number=number), now=0.0)
            if number % 4 == 3:
                await recorder.store()
        await recorder.store()
        history = History(connection)
        assert [one.ask.request_id.int for one in await history.newest(5)] == list(range(25, 30))
        assert len(await history.newest(100)) == 30


async def test_an_empty_record_has_nothing(nats_url: str) -> None:
    async with connect(nats_url, name="router", instance="r") as connection:
        assert await History(connection).newest(3) == ()
        assert await everything(connection) == []
        assert (await bus.stream_ends(connection, DECISIONS.name)).last == 0
