"""What routers are told of calls: loads while they are open, first bytes when they come, turns before they go on."""

import asyncio
from itertools import pairwise
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from contracts.gateway import ATTEMPTS_FINISHED, REQUEST_SETTLED, AttemptsFinished
from devstack.probes import until
from devstack.provider import Provider, Script, ToolCall, faults, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import house
from tests.service.gateway.plan_house import hearing, late, plan, router_saying

TOOLS = [{"type": "function", "function": {"name": "look"}}]


async def test_the_age_of_a_silent_call_is_told_again_and_again(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=late(scripts.answer(), 2.6)) as provider,
        hearing(nats_url) as heard,
        router_saying(nats_url, plan(("a", provider), bucket=5)),
        house(nats_url, fresh_database, tmp_path, {}, without=("router",)) as home,
    ):
        assert (await home.ask(stream=True)).status == 200
        assert await until(lambda: heard.at_rest("a"), within_seconds=30)
        waiting = [load for load in heard.loads("a") if load.waiting]
        assert [(load.in_flight, load.waiting) for load in waiting] == [(1, 1)] * len(waiting)
        ages = [load.oldest_seconds[5] for load in waiting]
        assert len(ages) >= 3
        assert ages == sorted(ages)
        assert all(later - earlier < 1.5 for earlier, later in pairwise(ages))
        assert ages[-1] > 1.5
        assert sum(load.started for load in heard.loads("a")) == 1
        assert [(first.bucket, first.is_censored) for first in heard.first_bytes] == [(5, False)]
        assert heard.first_bytes[0].seconds > 2.5
        assert heard.attempts[0].first_byte_ms is None


async def test_a_first_byte_is_told_before_its_answer_has_ended(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.chunks(12, interval_seconds=0.1)) as provider,
        hearing(nats_url) as heard,
        router_saying(nats_url, plan(("a", provider))),
        house(nats_url, fresh_database, tmp_path, {}, without=("router",)) as home,
    ):
        asking = asyncio.create_task(home.ask(stream=True))

        async def is_told() -> bool:
            return bool(heard.first_bytes)

        assert await until(is_told, within_seconds=30)
        assert not asking.done()
        assert heard.loads("a")[-1].in_flight == 1
        assert heard.loads("a")[-1].waiting == 0
        assert heard.attempts == []
        await asking


async def test_a_client_that_leaves_says_something_of_a_target_only_after_a_while(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=faults.hang_before_headers()) as provider,
        hearing(nats_url) as heard,
        router_saying(nats_url, plan(("a", provider))),
        house(nats_url, fresh_database, tmp_path, {}, without=("router",)) as home,
    ):
        for seconds in (0.3, 1.3):
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(seconds), home.post(stream=True):
                    pass
        await home.settlements(2)
        assert await until(lambda: heard.at_rest("a"), within_seconds=30)
        assert [first.is_censored for first in heard.first_bytes] == [True]
        assert 1.0 <= heard.first_bytes[0].seconds < 3
        assert heard.attempts == []


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
async def test_who_made_tool_calls_is_told_before_the_settlement(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, is_stream: bool
) -> None:
    """One listener hears both, in the order in which the bus has them."""
    subjects: list[str] = []
    async with (
        Provider(default=scripts.answer(tool_calls=[ToolCall("look")])) as provider,
        router_saying(nats_url, plan(("a", provider))),
        house(nats_url, fresh_database, tmp_path, {}, without=("router",)) as home,
    ):
        client = await nats.connect(nats_url)

        async def listen(message: Msg) -> None:
            if message.subject != ATTEMPTS_FINISHED.subject:
                subjects.append(REQUEST_SETTLED.subject)
            elif AttemptsFinished.model_validate_json(message.data).attempts:
                subjects.append(message.subject)

        await client.subscribe("gateway.v1.>", cb=listen)
        await client.flush()
        for _ in range(5):
            assert (await home.ask(stream=is_stream, tools=TOOLS)).status == 200
        await home.settlements(5)
        await client.drain()
    assert subjects == [ATTEMPTS_FINISHED.subject, REQUEST_SETTLED.subject] * 5


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        (scripts.answer(), None),
        (scripts.empty(), "empty"),
        (faults.reset_midway(events=3), "broken"),
    ],
    ids=["good", "empty", "broken"],
)
async def test_what_is_wrong_with_an_answer_is_told_with_its_end(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, script: Script, fault: str | None
) -> None:
    async with (
        Provider(default=script) as provider,
        hearing(nats_url) as heard,
        router_saying(nats_url, plan(("a", provider))),
        house(nats_url, fresh_database, tmp_path, {}, without=("router",)) as home,
    ):
        await home.ask(stream=True, tools=TOOLS)
        assert await until(lambda: heard.at_rest("a"), within_seconds=30)
    assert [(attempt.request_class, attempt.fault) for attempt in heard.attempts] == [("tools", fault)]


async def test_a_failure_before_the_first_word_is_nothing_to_learn_of_the_class(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.http_error(503)) as provider,
        hearing(nats_url) as heard,
        router_saying(nats_url, plan(("a", provider))),
        house(nats_url, fresh_database, tmp_path, {}, without=("router",)) as home,
    ):
        await home.ask(stream=True, tools=TOOLS)
        assert await until(lambda: heard.at_rest("a"), within_seconds=30)
    assert [(attempt.status, attempt.request_class, attempt.fault) for attempt in heard.attempts] == [(503, None, None)]
    assert heard.first_bytes == []


async def test_who_asks_the_same_again_tells_something_of_the_answer_before(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        hearing(nats_url) as heard,
        router_saying(nats_url, plan(("a", provider), ("b", provider))) as router,
        house(nats_url, fresh_database, tmp_path, {}, without=("router",)) as home,
    ):
        await home.ask(tools=TOOLS)
        router.says(plan(("b", provider), ("a", provider)))
        await home.ask(tools=TOOLS)
        await home.ask(tools=TOOLS, messages=[{"role": "user", "content": "Something else."}])
        for _ in range(2):
            await home.ask(tools=TOOLS, messages=[{"role": "user", "content": "Once."}], key="one request")
        assert await until(lambda: heard.at_rest("a", "b"), within_seconds=30)
    faults_told = [(attempt.target, attempt.request_class, attempt.fault) for attempt in heard.attempts]
    assert sorted(faults_told, key=str) == sorted(
        [("a", "tools", None), ("a", "tools", "resubmitted"), *[("b", "tools", None)] * 3], key=str
    )
