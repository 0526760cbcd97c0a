"""`Idempotency-Key`: charged once, whatever dies in between; and never another answer than that of the same request."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from chassis.database import create_engine
from contracts.outcomes import Outcome
from devstack.probes import until
from devstack.provider import Provider, Script, ToolCall, faults, scripts
from devstack.pytest_plugin import FreshDatabase
from gateway import accounts
from gateway.store import Store
from tests.service.gateway.chat_house import House, house, target

KEY = "order 4711"


async def claims_in(home: House) -> list[tuple[str, bool]]:
    """State of every key, and whether an answer is kept."""
    async with await psycopg.AsyncConnection.connect(home.database.admin_url) as connection:
        rows = await connection.execute("SELECT state, body IS NOT NULL FROM gateway.idempotency ORDER BY created_at")
        return [(state, is_kept) for state, is_kept in await rows.fetchall()]


async def sql(home: House, statement: str) -> None:
    """Done as the administrator, behind the gateway's back."""
    async with await psycopg.AsyncConnection.connect(home.database.admin_url, autocommit=True) as connection:
        await connection.execute(statement.encode())


async def test_the_same_key_and_body_are_answered_from_the_store_and_charged_once(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        first = await home.ask(key=KEY)
        again = [await home.ask(key=KEY) for _ in range(2)]
        settled = await home.settlement()
        assert await home.cost() == 1
    assert len(provider.exchanges) == 1
    assert first.status == 200
    assert "idempotent-replayed" not in first.headers
    for answer in again:
        assert (answer.status, answer.body) == (200, first.body)
        assert answer.headers["content-type"] == first.headers["content-type"]
        assert answer.headers["idempotent-replayed"] == "true"
        assert answer.headers["x-smartroute-replay-of"] == first.headers["x-request-id"] == str(settled.request_id)
        assert answer.headers["x-smartroute-turn"] == first.headers["x-smartroute-turn"]
        assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert len({answer.headers["x-request-id"] for answer in (first, *again)}) == 3


async def test_another_body_with_the_same_key_is_refused_and_another_account_has_its_own_keys(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        await home.ask(key=KEY)
        other = await home.ask(key=KEY, seed=7)
        streamed = await home.ask(key=KEY, stream=True)
        engine = create_engine(home.database.url("gateway"))
        try:
            store = Store(engine)
            stranger = await accounts.open_account(store, name="stranger", plan=None)
            token, _ = await accounts.issue_token(store, stranger, name="test", scopes=("inference",))
        finally:
            await engine.dispose()
        strangers = await home.ask(key=KEY, token=token, seed=7)
        await home.settlements(2)
    for answer in (other, streamed):
        assert (answer.status, answer.json["error"]["code"]) == (422, "idempotency_key_reused")
    assert strangers.status == 200
    assert "idempotent-replayed" not in strangers.headers


async def test_a_key_whose_request_runs_is_a_conflict_until_it_is_done(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.answer("Hi", delay_seconds=1.0)) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        answers = await asyncio.gather(*(home.ask(key=KEY) for _ in range(20)))
        late = await home.ask(key=KEY)
        await home.settlements(1)
        assert await home.cost() == 1
    conflicts = [answer for answer in answers if answer.status == 409]
    fresh = [answer for answer in answers if answer.status == 200 and "idempotent-replayed" not in answer.headers]
    assert len(conflicts) > 5
    assert len(fresh) == 1
    assert {answer.status for answer in answers} == {200, 409}
    for answer in conflicts:
        assert answer.json["error"]["code"] == "idempotency_conflict"
        assert int(answer.headers["retry-after"]) >= 1
    assert late.headers["idempotent-replayed"] == "true"
    assert len(provider.exchanges) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel"])
async def test_what_is_no_key_is_refused(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, key: str
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        answer = await home.ask(key=key)
        longest = await home.ask(key="~" * 255)
        await home.settlements(1)
    assert (answer.status, answer.json["error"]["param"]) == (400, "Idempotency-Key")
    assert longest.status == 200


@pytest.mark.parametrize(
    ("script", "status"),
    [(scripts.http_error(500), 502), (scripts.http_error(400), 400), (scripts.empty(), 200)],
    ids=["unavailable", "refused", "empty"],
)
async def test_what_cost_nothing_is_tried_anew(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, script: Script, status: int
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        provider.enqueue(script)
        failed = await home.ask(key=KEY)
        assert await claims_in(home) == []
        retried = await home.ask(key=KEY)
        await home.settlements(2)
        assert await home.cost() == 1
    assert failed.status == status
    assert (retried.status, "idempotent-replayed" in retried.headers) == (200, False)


async def test_what_was_not_admitted_leaves_the_key_free(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider:
        targets = {"a": target(provider, "a")}
        async with house(nats_url, fresh_database, tmp_path, targets, without=["quota"]) as home:
            answer = await home.ask(key=KEY)
            assert await claims_in(home) == []
    assert answer.status == 503


async def test_a_client_that_leaves_early_leaves_the_key_free_and_one_that_leaves_late_does_not(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.chunks(1000, interval_seconds=0.02)) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        provider.enqueue(faults.hang_before_headers())
        asking = asyncio.create_task(home.ask(key="early"))
        await provider.exchange(0)
        assert await claims_in(home) == [("running", False)]
        asking.cancel()
        await home.settlements(1)
        assert await claims_in(home) == []
        async with home.post(key="late", stream=True) as response:
            await response.content.readany()
            running = await home.ask(key="late", stream=True)
            response.close()
        await home.settlements(2)
        assert await claims_in(home) == [("done", False)]
    assert running.status == 409


async def test_a_stream_is_not_kept_and_its_key_says_where_its_receipt_is(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        first = await home.ask(key=KEY, stream=True)
        again = await home.ask(key=KEY, stream=True)
        await home.settlements(1)
    assert first.events[-1] == "[DONE]"
    assert (again.status, again.json["error"]["code"]) == (409, "idempotency_conflict")
    assert f"receipts/{first.headers['x-request-id']}" in again.json["error"]["message"]
    assert again.headers["x-should-retry"] == "false"
    assert "retry-after" not in again.headers


async def test_an_answer_over_the_limit_is_not_kept(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.answer("x" * 3000)) as provider,
        house(
            nats_url,
            fresh_database,
            tmp_path,
            {"a": target(provider, "a")},
            idempotency_body_limit_bytes=3000,
        ) as home,
    ):
        first = await home.ask(key=KEY)
        again = await home.ask(key=KEY)
        await home.settlements(1)
    assert first.status == 200
    assert (again.status, "too large" in again.json["error"]["message"]) == (409, True)


async def test_a_claim_is_renewed_as_long_as_its_request_is_open(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.answer("Hi", delay_seconds=4.0)) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, idempotency_hold_seconds=1.5) as home,
    ):
        asking = asyncio.create_task(home.ask(key=KEY))
        await asyncio.sleep(3.0)
        conflict = await home.ask(key=KEY)
        first = await asking
        await home.settlements(1)
    assert (conflict.status, first.status) == (409, 200)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_whoever_lost_its_claim_to_another_one_does_not_charge(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, is_stream: bool
) -> None:
    script = scripts.chunks(10, interval_seconds=0.1) if is_stream else scripts.answer("Hi", delay_seconds=0.5)
    async with (
        Provider(default=script) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        asking = asyncio.create_task(home.ask(key=KEY, stream=is_stream))
        await provider.exchange(0)
        await sql(home, "UPDATE gateway.idempotency SET request_id = gen_random_uuid()")
        answer = await asking
        settled = await home.settlement()
        assert await home.cost() == 0
        assert await claims_in(home) == [("running", False)], "the other one's claim is as it was"
    if is_stream:
        assert settled.outcome is Outcome.UPSTREAM_BROKEN
        assert answer.events[-1]["error"]["code"] == "service_unavailable"
    else:
        assert settled.outcome is Outcome.UPSTREAM_UNAVAILABLE
        assert (answer.status, answer.json["error"]["code"]) == (503, "service_unavailable")


async def test_without_the_database_keys_are_refused_and_other_requests_go_on(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        house(
            nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, idempotency_timeout_seconds=0.5
        ) as home,
    ):
        await home.ask()
        async with await psycopg.AsyncConnection.connect(home.database.admin_url) as holder:
            await holder.execute("LOCK TABLE gateway.idempotency")
            hanging, unkeyed = await home.ask(key=KEY), await home.ask()
        name = home.database.admin_url.rpartition("/")[2].partition("?")[0]
        await sql(home, f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC, gateway")
        await sql(home, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway'")
        refused, others = await home.ask(key="another"), await home.ask()
        await home.settlements(3)
        assert len(provider.exchanges) == 3
    for answer in (hanging, refused):
        assert (answer.status, answer.json["error"]["code"]) == (503, "service_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert (unkeyed.status, others.status) == (200, 200)


async def test_an_answer_that_cannot_be_stored_is_not_charged(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.answer("Hi", delay_seconds=0.3)) as provider,
        house(
            nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, idempotency_timeout_seconds=0.4
        ) as home,
    ):
        asking = asyncio.create_task(home.ask(key=KEY))
        await provider.exchange(0)
        async with await psycopg.AsyncConnection.connect(home.database.admin_url) as holder:
            await holder.execute("LOCK TABLE gateway.idempotency")
            answer = await asking
        await home.settlement()
        assert await home.cost() == 0
    assert answer.status == 503


async def test_a_request_without_a_key_asks_the_database_nothing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    asked: list[str] = []

    def note(*arguments: object) -> None:
        asked.append(str(arguments[2]))

    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        await home.ask()
        event.listen(Engine, "before_cursor_execute", note)
        try:
            await home.ask()
            without = [statement for statement in asked if "gateway." in statement]
            await home.ask(key=KEY)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        await home.settlements(3)
    assert without == []
    assert sum("gateway.idempotency" in statement for statement in asked) == 2


async def test_neither_key_nor_question_is_in_the_database(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.answer("the-answer")) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        await home.ask(key="the-secret-key")
        async with await psycopg.AsyncConnection.connect(home.database.admin_url) as connection:
            row = await (await connection.execute("SELECT * FROM gateway.idempotency")).fetchone()
    assert b"the-answer" in repr(row).encode()
    assert "the-secret-key" not in repr(row)
    assert "Hello?" not in repr(row)


async def test_a_key_that_was_claimed_too_late_is_given_back(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        house(
            nats_url,
            fresh_database,
            tmp_path,
            {"a": target(provider, "a")},
            idempotency_timeout_seconds=0.3,
            idempotency_hold_seconds=1.5,
        ) as home,
    ):
        async with await psycopg.AsyncConnection.connect(home.database.admin_url) as holder:
            await holder.execute("LOCK TABLE gateway.idempotency")
            assert (await home.ask(key=KEY)).status == 503

        async def is_free() -> bool:
            return await claims_in(home) == []

        assert await until(is_free, within_seconds=30)
        assert (await home.ask(key=KEY)).status == 200
        await home.settlements(1)


async def test_the_answer_to_the_results_of_tools_is_kept_although_it_costs_nothing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        provider.enqueue(scripts.answer(tool_calls=[ToolCall("look")]))
        said = (await home.ask(tools=tools)).json["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "a door"}
        messages = [{"role": "user", "content": "Hello?"}, said, result]
        first, again = [await home.ask(tools=tools, messages=messages, key=KEY) for _ in range(2)]
        assert "; call=2; " in first.headers["x-smartroute-turn"]
        assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
        assert await home.cost() == 1
    assert len(provider.exchanges) == 2
