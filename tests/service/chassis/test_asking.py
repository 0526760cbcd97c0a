"""Ask and answer on a real server: typed replies, failures at once, a stop that loses nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from nats.aio.msg import Msg
from opentelemetry import trace
from pydantic import TypeAdapter

from chassis import telemetry
from chassis.bus import Bus, PeerUnavailable, TryLater, ask, connect, serve
from chassis.bus.connection import DRAIN_SECONDS
from contracts.failures import Failure
from contracts.router import CHOOSE, Candidate, Choose, ChooseReply, Chosen, Unroutable
from devstack.nats import RunningNats
from tests.service.chassis.bus_things import a_choose

REFUSAL = Unroutable(reason="unknown_alias")
TRACE = telemetry.parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")


@pytest.fixture
async def asker(nats_server: RunningNats) -> AsyncIterator[Bus]:
    async with connect(nats_server.url, name="asker", instance="test") as bus:
        yield bus


@pytest.fixture
async def peer(nats_server: RunningNats) -> AsyncIterator[Bus]:
    async with connect(nats_server.url, name="peer", instance="test") as bus:
        yield bus


async def refuse(_: Choose) -> ChooseReply:
    return REFUSAL


def chosen(alias: str) -> Chosen:
    candidate = Candidate(target="t", base_url="http://127.0.0.1:1/v1", model="m", key=None)
    return Chosen(alias=alias, plans_version=1, profiles_version=2, candidates=(candidate,))


async def test_each_variant_of_a_reply_arrives_as_its_own_type(asker: Bus, peer: Bus) -> None:
    async def answer(request: Choose) -> ChooseReply:
        return chosen(request.alias) if request.plan == "pro" else REFUSAL

    await serve(peer, CHOOSE, answer, queue="router")
    assert await ask(asker, CHOOSE, a_choose(), timeout_seconds=2) == chosen("smart-route")
    refused = a_choose().model_copy(update={"plan": "gold"})
    assert await ask(asker, CHOOSE, refused, timeout_seconds=2) == REFUSAL


async def test_every_one_of_many_askers_gets_its_own_reply(asker: Bus, peer: Bus) -> None:
    async def echo(request: Choose) -> ChooseReply:
        await asyncio.sleep(0.001 * (request.request_id.int % 7))
        return chosen(str(request.request_id))

    await serve(peer, CHOOSE, echo, queue="router")
    questions = [a_choose() for _ in range(300)]
    replies = await asyncio.gather(*(ask(asker, CHOOSE, question, timeout_seconds=5) for question in questions))
    aliases = [reply.alias for reply in replies if isinstance(reply, Chosen)]
    assert aliases == [str(question.request_id) for question in questions]


async def test_a_crash_is_answered_at_once_and_logged_without_its_text_in_the_reply(
    asker: Bus, peer: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(_: Choose) -> ChooseReply:
        raise RuntimeError("canary")

    await serve(peer, CHOOSE, crash, queue="router")
    began = time.perf_counter()
    reply = await ask(asker, CHOOSE, a_choose(), timeout_seconds=30)
    assert time.perf_counter() - began < 15
    assert isinstance(reply, Failure)
    assert reply.code == "crashed"
    assert "canary" not in reply.message
    assert "canary" in caplog.text


async def test_a_store_that_is_away_is_a_failure_that_says_so(asker: Bus, peer: Bus) -> None:
    async def away(_: Choose) -> ChooseReply:
        raise TryLater("OperationalError")

    await serve(peer, CHOOSE, away, queue="router")
    reply = await ask(asker, CHOOSE, a_choose(), timeout_seconds=2)
    assert isinstance(reply, Failure)
    assert reply.code == "unavailable"


@pytest.mark.parametrize("raw", [b"", b"{", b"{}", b"[]", b'{"request_id":"x","plan":"p","alias":"a"}', b"\xff\xfe"])
async def test_a_request_that_cannot_be_read_is_answered_as_malformed(asker: Bus, peer: Bus, raw: bytes) -> None:
    await serve(peer, CHOOSE, refuse, queue="router")
    message = await asker.request(CHOOSE.subject, raw, headers=None, timeout_seconds=2)
    reply = CHOOSE.reply.validate_json(message.data)
    assert isinstance(reply, Failure)
    assert reply.code == "malformed"


async def test_a_handler_that_builds_a_wrong_message_crashed_and_does_not_blame_the_caller(
    asker: Bus, peer: Bus
) -> None:
    async def wrong(_: Choose) -> ChooseReply:
        return TypeAdapter(Chosen).validate_python({"alias": 1})

    await serve(peer, CHOOSE, wrong, queue="router")
    reply = await ask(asker, CHOOSE, a_choose(), timeout_seconds=2)
    assert isinstance(reply, Failure)
    assert reply.code == "crashed"


async def test_that_a_peer_is_not_there_is_known_at_once(asker: Bus) -> None:
    began = time.perf_counter()
    with pytest.raises(PeerUnavailable, match="no responders"):
        await ask(asker, CHOOSE, a_choose(), timeout_seconds=30)
    assert time.perf_counter() - began < 15


async def test_a_peer_that_is_silent_costs_the_deadline_and_no_more(asker: Bus, peer: Bus) -> None:
    async def silent(_: Choose) -> ChooseReply:
        await asyncio.sleep(1)
        return REFUSAL

    await serve(peer, CHOOSE, silent, queue="router")
    began = time.perf_counter()
    with pytest.raises(PeerUnavailable, match=r"0\.2 s"):
        await ask(asker, CHOOSE, a_choose(), timeout_seconds=0.2)
    assert 0.19 < time.perf_counter() - began < 10


async def test_a_late_reply_goes_to_nobody(asker: Bus, peer: Bus) -> None:
    async def slow_for_gold(request: Choose) -> ChooseReply:
        await asyncio.sleep(0.3 if request.plan == "gold" else 0.0)
        return chosen(request.plan)

    await serve(peer, CHOOSE, slow_for_gold, queue="router")
    with pytest.raises(PeerUnavailable):
        await ask(asker, CHOOSE, a_choose().model_copy(update={"plan": "gold"}), timeout_seconds=0.1)
    for _ in range(8):
        reply = await ask(asker, CHOOSE, a_choose(), timeout_seconds=2)
        assert isinstance(reply, Chosen)
        assert reply.alias == "pro"
        await asyncio.sleep(0.05)


async def test_a_reply_that_is_not_of_the_contract_is_no_answer(asker: Bus, peer: Bus) -> None:
    async def stranger(message: Msg) -> None:
        await message.respond(b'{"outcome":"other"}')

    await peer.client.subscribe(CHOOSE.subject, cb=stranger)
    await peer.flush()
    with pytest.raises(PeerUnavailable, match="not what the contract says"):
        await ask(asker, CHOOSE, a_choose(), timeout_seconds=2)


async def test_a_slow_ask_does_not_hold_up_the_others(asker: Bus, peer: Bus) -> None:
    first = a_choose()
    other_is_answered = asyncio.Event()

    async def slow_once(request: Choose) -> ChooseReply:
        if request.request_id == first.request_id:
            await other_is_answered.wait()
        return REFUSAL

    await serve(peer, CHOOSE, slow_once, queue="router")
    slow = asyncio.create_task(ask(asker, CHOOSE, first, timeout_seconds=30))
    await asyncio.sleep(0.05)
    await ask(asker, CHOOSE, a_choose(), timeout_seconds=30)
    other_is_answered.set()
    await slow


async def test_replicas_of_a_queue_group_share_the_asks(asker: Bus, peer: Bus, nats_server: RunningNats) -> None:
    answered: dict[str, int] = {"one": 0, "two": 0}

    async def one(_: Choose) -> ChooseReply:
        answered["one"] += 1
        return REFUSAL

    async def two(_: Choose) -> ChooseReply:
        answered["two"] += 1
        return REFUSAL

    async with connect(nats_server.url, name="peer", instance="other") as other:
        await serve(peer, CHOOSE, one, queue="router")
        await serve(other, CHOOSE, two, queue="router")
        await asyncio.gather(*(ask(asker, CHOOSE, a_choose(), timeout_seconds=5) for _ in range(200)))
    assert sum(answered.values()) == 200
    assert min(answered.values()) > 20


async def test_a_peer_that_stops_answers_all_sixty_asks_it_was_given(asker: Bus, nats_server: RunningNats) -> None:
    seen: set[UUID] = set()

    async def slow(request: Choose) -> ChooseReply:
        seen.add(request.request_id)
        await asyncio.sleep(0.2)
        return REFUSAL

    async with connect(nats_server.url, name="peer", instance="leaving") as leaving:
        await serve(leaving, CHOOSE, slow, queue="router")
        asks = [asyncio.create_task(ask(asker, CHOOSE, a_choose(), timeout_seconds=5)) for _ in range(60)]
        await asyncio.sleep(0)
        await asker.flush()
    assert await asyncio.gather(*asks) == [REFUSAL] * 60
    assert len(seen) == 60
    with pytest.raises(PeerUnavailable, match="no responders"):
        await ask(asker, CHOOSE, a_choose(), timeout_seconds=1)


async def test_asks_fail_at_once_while_nats_is_away_and_work_again_after(
    asker: Bus, peer: Bus, nats_server: RunningNats
) -> None:
    await serve(peer, CHOOSE, refuse, queue="router")
    await nats_server.child.halt()
    await asyncio.sleep(0.1)
    began = time.perf_counter()
    with pytest.raises(PeerUnavailable, match="not connected"):
        await ask(asker, CHOOSE, a_choose(), timeout_seconds=30)
    assert time.perf_counter() - began < 15
    assert not asker.is_connected
    await nats_server.child.start()
    for _ in range(200):
        try:
            assert await ask(asker, CHOOSE, a_choose(), timeout_seconds=1) == REFUSAL
            return
        except PeerUnavailable:
            await asyncio.sleep(0.1)
    pytest.fail("no answer after NATS came back")


async def test_asks_under_way_when_nats_goes_do_not_wait_for_their_deadline(
    asker: Bus, peer: Bus, nats_server: RunningNats
) -> None:
    async def silent(_: Choose) -> ChooseReply:
        await asyncio.sleep(3)
        return REFUSAL

    await serve(peer, CHOOSE, silent, queue="router")
    waiting = asyncio.create_task(ask(asker, CHOOSE, a_choose(), timeout_seconds=60))
    await asyncio.sleep(0.1)
    began = time.perf_counter()
    await nats_server.child.halt()
    with pytest.raises(PeerUnavailable, match="connection"):
        await waiting
    assert time.perf_counter() - began < 20


async def test_a_connection_is_closed_promptly_while_nats_is_away(nats_server: RunningNats) -> None:
    async with connect(nats_server.url, name="peer", instance="leaving") as leaving:
        await serve(leaving, CHOOSE, refuse, queue="router")
        await nats_server.child.halt()
        await asyncio.sleep(0.1)
        began = time.perf_counter()
    assert time.perf_counter() - began < DRAIN_SECONDS / 2


async def test_the_trace_of_the_asker_is_the_trace_of_the_handler(asker: Bus, peer: Bus) -> None:
    seen: list[str | None] = []

    async def look(_: Choose) -> ChooseReply:
        seen.append(telemetry.trace_id())
        return REFUSAL

    assert TRACE is not None
    await serve(peer, CHOOSE, look, queue="router")
    with trace.use_span(trace.NonRecordingSpan(TRACE)):
        await ask(asker, CHOOSE, a_choose(), timeout_seconds=2)
    await ask(asker, CHOOSE, a_choose(), timeout_seconds=2)
    assert seen[0] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert seen[1] != seen[0]
