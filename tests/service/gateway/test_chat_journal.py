"""Settlements that their stream does not take: on the disk before the client sees an end, and published once."""

import asyncio
import json
import resource
import signal
import time
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import nats
import psycopg
import pytest

from chassis.bus import provision
from contracts.gateway import RequestSettled
from contracts.outcomes import Outcome
from devstack.errors import StartFailed
from devstack.nats import RunningNats
from devstack.probes import until
from devstack.provider import Provider, scripts
from devstack.pytest_plugin import FreshDatabase
from gateway.journal import SUFFIX, Record, to_line
from tests.service.gateway.chat_house import Answer, House, house, target
from tests.service.gateway.chat_process import begun_streams, journaled, serving

NO_ROOM = 10
ROOM = 1024**2
QUICK = {"GATEWAY_SETTLE_TIMEOUT_SECONDS": "0.3"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def test_a_settlement_outlives_a_kill_and_is_published_once_by_the_next_process(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, data: Path
) -> None:
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
    ):
        await home.cap_requests(NO_ROOM)
        async with serving(home, data, **QUICK) as gateway:
            answer = await home.ask(stream=True)
            assert answer.events[-1] == "[DONE]"
            (kept,) = journaled(data)
            gateway.child.kill()
            await gateway.child.ended()
        await home.settlements(0)
        await home.cap_requests(ROOM)
        async with serving(home, data) as gateway:
            (settled,) = await home.settlements(1)
            assert await home.answers(), "admission did not open again"
            assert await until(lambda: _holds(data, 0), within_seconds=30)
            assert len(_journals(data)) == 1, "the dead process's journal was not removed"
        assert settled == kept.settled
        assert (str(settled.request_id), settled.outcome) == (answer.headers["x-request-id"], Outcome.COMPLETED)
        await home.settlements(2)
        assert await home.cost() == 2


async def test_while_nats_is_away_the_record_is_on_the_disk_before_the_client_sees_the_end(
    nats_server: RunningNats, fresh_database: FreshDatabase, tmp_path: Path, data: Path
) -> None:
    await provision(nats_server.url)
    failpoints = tmp_path / "failpoints"
    failpoints.mkdir()
    (failpoints / "gateway.settled").write_text("KILL")
    async with (
        Provider(default=scripts.chunks(20, interval_seconds=0.05)) as provider,
        house(nats_server.url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
    ):
        async with serving(home, data, SMARTROUTE_FAILPOINTS=str(failpoints), **QUICK) as gateway:
            (asking,) = await begun_streams(home, 1)
            await nats_server.child.halt()
            # It dies between the two: what is on the disk then was there before the end could be seen.
            answer = await asking
            assert await gateway.child.ended() == -signal.SIGKILL
        assert answer.text.endswith("word19")
        assert "[DONE]" not in answer.events
        (kept,) = journaled(data)
        assert str(kept.settled.request_id) == answer.headers["x-request-id"]
        await nats_server.child.start()
        async with serving(home, data):
            (settled,) = await home.settlements(1, within_seconds=15)
        assert settled == kept.settled


async def test_a_client_that_got_its_end_while_nats_was_away_is_charged_after_a_crash(
    nats_server: RunningNats, fresh_database: FreshDatabase, tmp_path: Path, data: Path
) -> None:
    await provision(nats_server.url)
    async with (
        Provider(default=scripts.chunks(10, interval_seconds=0.05)) as provider,
        house(nats_server.url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
    ):
        async with serving(home, data, **QUICK) as gateway:
            streams = await begun_streams(home, 5)
            await nats_server.child.halt()
            answers = await asyncio.gather(*streams)
            gateway.child.kill()
            await gateway.child.ended()
        assert [answer.events[-1] for answer in answers] == ["[DONE]"] * 5
        assert len(journaled(data)) == 5
        await nats_server.child.start()
        async with serving(home, data):
            settled = await home.settlements(5, within_seconds=15)
        assert {entry.outcome for entry in settled} == {Outcome.COMPLETED}
        assert await home.cost() == 5


async def test_once_recording_is_known_to_be_broken_nobody_waits_for_it_again(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    timeout_seconds = 3.0
    async with (
        Provider(default=scripts.chunks(80, interval_seconds=0.05)) as provider,
        house(
            nats_url,
            fresh_database,
            tmp_path,
            {"a": target(provider, "a")},
            settle_timeout_seconds=timeout_seconds,
        ) as home,
    ):
        await home.cap_requests(NO_ROOM)
        streams = await begun_streams(home, 3)
        provider.enqueue(scripts.answer("first"))
        assert (await home.ask()).status == 200
        began = time.monotonic()
        answers = await asyncio.gather(*streams)
        took = time.monotonic() - began
        assert [answer.events[-1] for answer in answers] == ["[DONE]"] * 3
        assert len(journaled(home.settings.data_dir)) == 4
        await home.cap_requests(ROOM)
        await home.settlements(4)
        assert await until(lambda: _holds(home.settings.data_dir, 0), within_seconds=30)
    assert took < timeout_seconds, "they waited for a stream that was known to refuse"


async def a_response(home: House) -> Answer:
    """One request whose answer is stored."""
    headers = {"authorization": f"Bearer {home.token}"}
    body = {"model": "smart-route", "input": "Hi"}
    async with home.session.post(f"{home.base_url}/responses", json=body, headers=headers) as response:
        return Answer(response.status, {}, await response.read())


async def stored_responses(home: House) -> int:
    async with await psycopg.AsyncConnection.connect(home.database.admin_url) as connection:
        found = await (await connection.execute("SELECT count(*) FROM gateway.responses")).fetchone()
    return int(found[0]) if found else 0


async def test_an_answer_that_can_be_recorded_nowhere_does_not_end_well_and_is_not_charged(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, data: Path
) -> None:
    async with (
        Provider(default=scripts.chunks(10, interval_seconds=0.02)) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
        serving(home, data, **QUICK) as gateway,
    ):
        pid = gateway.child.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        streams = await begun_streams(home, 1)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        await home.cap_requests(NO_ROOM)
        streamed, whole, response = await asyncio.gather(streams[0], home.ask(), a_response(home))
        refused = await home.ask()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        await home.settlements(0)
        await home.cap_requests(ROOM)
        settled = await home.settlements(3)
        cost = await home.cost()
        assert await until(home.answers, within_seconds=30)
        assert await stored_responses(home) == 0
    assert "[DONE]" not in streamed.events
    assert streamed.events[-1]["error"]["code"] == "not_recorded"
    assert (whole.status, whole.json["error"]["code"]) == (503, "not_recorded")
    assert (response.status, response.json["error"]["code"]) == (503, "not_recorded")
    assert (refused.status, refused.json["error"]["code"]) == (503, "service_unavailable")
    assert {entry.outcome for entry in settled} == {Outcome.UPSTREAM_BROKEN, Outcome.UPSTREAM_UNAVAILABLE}
    assert {entry.error_code for entry in settled} == {"not_recorded"}
    assert cost == 0


async def test_a_stop_while_nats_is_away_leaves_everything_on_the_disk(
    nats_server: RunningNats, fresh_database: FreshDatabase, tmp_path: Path, data: Path
) -> None:
    await provision(nats_server.url)
    async with (
        Provider(default=scripts.chunks(1000, interval_seconds=0.05)) as provider,
        house(nats_server.url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
    ):
        async with serving(home, data, GATEWAY_GRACE_SECONDS="1", **QUICK) as gateway:
            streams = await begun_streams(home, 20)
            await nats_server.child.halt()
            gateway.child.tell(signal.SIGTERM)
            answers = await asyncio.gather(*streams)
            assert await gateway.child.ended() == 0
            said = gateway.child.last_words(lines=200)
        assert {answer.events[-1]["error"]["code"] for answer in answers} == {"gateway_stopping"}
        assert "settlement lost" not in said
        assert len(journaled(data)) == 20
        await nats_server.child.start()
        async with serving(home, data):
            settled = await home.settlements(20, within_seconds=15)
    assert {entry.outcome for entry in settled} == {Outcome.GATEWAY_SHUTDOWN}
    assert {str(entry.request_id) for entry in settled} == {answer.headers["x-request-id"] for answer in answers}


async def test_a_running_gateway_takes_over_what_a_dead_one_has_left_in_their_folder(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.settlement.TAKE_OVER_SECONDS", 0.2)
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, data_dir=data) as home,
    ):
        await home.ask()
        settled = await home.settlement()
        other = settled.model_copy(update={"request_id": uuid4(), "settled_by": "gateway-9"})
        traceparent = f"00-{'c' * 32}-{'d' * 16}-01"
        left = to_line(Record(settled=other, traceparent=traceparent)) + b'{"checksum":"to'
        (data / f"gateway-9{SUFFIX}").write_bytes(left)
        both = await home.settlements(2)
        assert both[1] == other
        assert await _traceparent_of(home, 2) == traceparent[:35]
        assert await until(lambda: _is_alone(data), within_seconds=30)
        assert await home.answers()


async def test_a_gateway_that_cannot_write_its_folder_does_not_start(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("in the way")
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
    ):
        with pytest.raises(StartFailed, match="File exists"):
            async with serving(home, tmp_path / "data"):
                pass


async def test_a_settlement_says_what_is_left_what_it_cost_and_who_told_it(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    priced = {
        "prices": {
            "currency": "EUR",
            "input_per_million": "2.5",
            "cached_input_per_million": "0.25",
            "output_per_million": "10",
        }
    }
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a", **priced)}, instance="gateway-7") as home,
    ):
        charged = await home.ask()
        provider.enqueue(scripts.empty())
        await home.ask()
        first, second = await home.settlements(2)
    assert charged.headers["x-smartroute-daily-remaining"] == "199"
    assert _windows(first) == ((200, 1, 199), (1000, 1, 999))
    assert _windows(second) == ((200, 1, 199), (1000, 1, 999)), "it was given back"
    assert first.daily is not None
    assert first.daily.resets_at.hour == 0
    assert first.cost is not None
    tokens = first.tokens
    assert (tokens.input, tokens.cached_input, tokens.output) == (12, 0, 7)
    assert (first.cost.amount, first.cost.currency) == (Decimal("0.0001"), "EUR")
    assert first.settled_by == second.settled_by == "gateway-7"


def _windows(settled: RequestSettled) -> tuple[tuple[int | None, int, int | None], ...]:
    assert settled.daily is not None
    assert settled.monthly is not None
    return tuple((after.limit, after.used, after.remaining) for after in (settled.daily, settled.monthly))


def _journals(data: Path) -> list[Path]:
    return sorted(data.glob(f"*{SUFFIX}"))


async def _holds(data: Path, count: int) -> bool:
    return len(journaled(data)) == count


async def _is_alone(data: Path) -> bool:
    """Only the journal of the living is left."""
    return not (data / f"gateway-9{SUFFIX}").exists() and len(_journals(data)) == 1


async def _traceparent_of(home: House, sequence: int) -> str:
    """The trace (not the span) that a settlement in the stream belongs to."""
    client = await nats.connect(home.nats_url)
    try:
        message = await client.jetstream().get_msg("REQUESTS", sequence)
    finally:
        await client.close()
    return str(json.loads(message.data or b"{}")["traceparent"])[:35]
