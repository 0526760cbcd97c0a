"""`GET receipts/{request_id}`: what a customer is told of a request, when, and what of those of others.

Billing's part is played over the real bus: what it answers is the contract's, and it answers when the test says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import uuid_utils

from chassis import bus
from contracts.billing import READ_RECEIPT, NoReceipt, ReadReceipt, Receipt
from contracts.failures import Failure
from contracts.gateway import RequestSettled, Timings, TokenUsage, WindowAfter
from contracts.outcomes import Outcome
from devstack.provider import Provider
from devstack.pytest_plugin import FreshDatabase
from gateway.auth import INFERENCE
from tests.routes import a_route_taken
from tests.service.gateway.chat_house import Answer, House, house, target

NOW = datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC)
ROUTE = a_route_taken()
SHOWN = {
    "profiles_version": 7,
    "class": "code",
    "tier": "strong",
    "rule": "difficulty",
    "placement": "affinity",
    "target": 2,
    "of": 3,
    "considered": 5,
    "hedges": 1,
}


def receipt_of(settled: RequestSettled, **fields: object) -> Receipt:
    """What billing would say of a settlement."""
    values = {
        "request_id": settled.request_id,
        "account_id": settled.account_id,
        "turn_id": settled.turn_id,
        "call": settled.call,
        "result": settled.outcome,
        "prompts": settled.prompts,
        "plan": settled.plan,
        "plans_version": settled.plans_version,
        "alias_asked": settled.alias_asked,
        "alias_served": settled.alias_served,
        "endpoint": settled.endpoint,
        "is_stream": settled.is_stream,
        "started_at": settled.started_at,
        "ended_at": settled.ended_at,
        "timings": settled.timings,
        "tokens": settled.tokens,
        "daily": settled.daily,
        "monthly": settled.monthly,
        "route": settled.route,
        "error_code": settled.error_code,
        "trace_id": settled.trace_id,
        "ledger_sequence": 1,
        "ledger_hash": "ab" * 32,
        "recorded_at": NOW,
        **fields,
    }
    return Receipt.model_validate(values)


class Billing:
    """Knows the receipts that it is given, from a moment on; counts how often it was asked."""

    def __init__(self) -> None:
        self.receipts: dict[tuple[UUID, UUID], Receipt] = {}
        self.known_from = 0.0
        self.asked = 0
        self.is_broken = False

    def know(self, receipt: Receipt, *, in_seconds: float = 0.0) -> None:
        self.receipts[receipt.account_id, receipt.request_id] = receipt
        self.known_from = time.monotonic() + in_seconds

    async def answer(self, asked: ReadReceipt) -> Receipt | NoReceipt | Failure:
        self.asked += 1
        if self.is_broken:
            return Failure(code="unavailable", message="a store is away")
        known = self.receipts.get((asked.account_id, asked.request_id))
        if known is None or time.monotonic() < self.known_from:
            return NoReceipt(request_id=asked.request_id)
        return known


@asynccontextmanager
async def answering(nats_url: str) -> AsyncIterator[Billing]:
    async with bus.connect(nats_url, name="billing", instance="test") as connection:
        billing = Billing()
        await bus.serve(connection, READ_RECEIPT, billing.answer, queue="billing")
        yield billing


async def receipt(home: House, request_id: object, *, token: str | None = None, base: str | None = None) -> Answer:
    headers = {"authorization": f"Bearer {token or home.token}"}
    async with home.session.get(f"{base or home.base_url}/receipts/{request_id}", headers=headers) as response:
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read())


def new_id(*, age: timedelta = timedelta(0)) -> UUID:
    """A request id as a gateway would have minted it some time ago."""
    milliseconds = int((datetime.now(UTC) - age).timestamp() * 1000)
    return UUID(int=milliseconds << 80 | uuid_utils.uuid7().int & (1 << 80) - 1)


async def test_a_receipt_says_all_that_the_ledger_line_knows(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        answering(nats_url) as billing,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        answered = await home.ask()
        settled = await home.settlement()
        window = WindowAfter(limit=200, used=1, remaining=199, resets_at=NOW)
        tokens = TokenUsage(input=12, cached_input=2, output=7, reasoning=1, source="provider")
        timings = Timings(admitted_ms=3.5, first_content_ms=20.25, total_ms=40.0)
        settled = settled.model_copy(update={"tokens": tokens, "timings": timings})
        billing.know(
            receipt_of(settled, daily=window, monthly=None, credited_prompts=1, trace_id="ab" * 16, route=ROUTE)
        )
        path = "/api/smart-routing-ai-model/v1"
        answers = [
            await receipt(home, answered.headers["x-request-id"]),
            await receipt(
                home, answered.headers["x-request-id"].upper(), base=home.base_url.removesuffix("/v1") + path
            ),
        ]
    for answer in answers:
        assert answer.status == 200
        assert answer.json == {
            "object": "receipt",
            "request_id": str(settled.request_id),
            "outcome": "completed",
            "charged": True,
            "prompts": 1,
            "credited_prompts": 1,
            "reason": Outcome.COMPLETED.reason,
            "plan": "free",
            "plans_version": 1,
            "model_asked": "smart-route",
            "model_served": "smart-route-mini",
            "endpoint": "chat/completions",
            "stream": False,
            "turn": {"id": str(settled.turn_id), "call": 1, "calls": 50},
            "started_at": settled.started_at.isoformat().replace("+00:00", "Z"),
            "ended_at": settled.ended_at.isoformat().replace("+00:00", "Z"),
            "timings": {"admitted_ms": 3.5, "first_content_ms": 20.25, "total_ms": 40.0},
            "tokens": {"input": 12, "cached_input": 2, "output": 7, "reasoning": 1, "source": "provider"},
            "windows": {
                "daily": {"limit": 200, "used": 1, "remaining": 199, "resets_at": "2026-11-22T12:00:01Z"},
                "monthly": None,
            },
            "error_code": None,
            "trace_id": "ab" * 16,
            "ledger": {"sequence": 1, "hash": "ab" * 32, "recorded_at": "2026-11-22T12:00:01Z"},
            "replay_of": None,
            "route": SHOWN,
        }


async def test_the_route_of_a_receipt_never_has_a_targets_name_and_is_null_where_nobody_told_it(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        answering(nats_url) as billing,
        house(nats_url, fresh_database, tmp_path, {"canary-of-nebula": target(provider, "canary-model")}) as home,
    ):
        await home.ask()
        settled = await home.settlement()
        answers = []
        # As it was told, answered by the second target, by none, and told by nobody.
        for route in (settled.route, ROUTE, ROUTE.model_copy(update={"target": None}), None):
            billing.know(receipt_of(settled, route=route))
            answers.append(await receipt(home, settled.request_id))
    assert settled.target == "canary-of-nebula"
    assert all(answer.status == 200 and b"canary" not in answer.body for answer in answers)
    assert [answer.json["route"] for answer in answers[1:]] == [SHOWN, {**SHOWN, "target": None}, None]


async def test_a_receipt_that_is_on_its_way_is_waited_for(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        answering(nats_url) as billing,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, receipt_wait_seconds=20.0) as home,
    ):
        await home.ask()
        settled = await home.settlement()
        began = time.monotonic()
        billing.know(receipt_of(settled), in_seconds=0.7)
        answer = await receipt(home, settled.request_id)
        waited = time.monotonic() - began
        # A stream may have begun long before it ended just now.
        old = receipt_of(settled, request_id=new_id(age=timedelta(minutes=50)))
        billing.know(old, in_seconds=0.5)
        long_stream = await receipt(home, old.request_id)
    assert (answer.status, long_stream.status) == (200, 200)
    assert 0.6 < waited < 15


async def test_what_cannot_come_any_more_is_a_404_at_once_and_what_can_is_one_after_the_wait(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        answering(nats_url) as billing,
        house(nats_url, fresh_database, tmp_path, {}, without=["router"], receipt_wait_seconds=1.0) as home,
    ):
        bodies, asked = [], {}
        ids = {
            "old": new_id(age=timedelta(hours=2)),
            "future": new_id(age=-timedelta(hours=2)),
            "not ours": uuid4(),
            "malformed": "chatcmpl-123",
            "oddly spelled": "{" + str(new_id()) + "}",
            "recent": new_id(),
        }
        for name, request_id in ids.items():
            before = billing.asked
            answer = await receipt(home, request_id)
            asked[name] = billing.asked - before
            assert answer.status == 404, name
            bodies.append(answer.json)
        assert billing.asked < 15
    assert all(body == bodies[0] for body in bodies), "ids can be told apart"
    assert bodies[0]["error"]["code"] == "receipt_not_found"
    assert "rejected before a prompt was held" in bodies[0]["error"]["message"]
    assert asked.pop("recent") > 1
    assert all(times <= 1 for times in asked.values()), asked


async def test_a_foreign_request_is_unknown_and_a_token_needs_the_scope(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        answering(nats_url) as billing,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, receipt_wait_seconds=0.2) as home,
    ):
        await home.ask()
        settled = await home.settlement()
        billing.know(receipt_of(settled, account_id=uuid4()))
        foreign = await receipt(home, settled.request_id)
        unknown = await receipt(home, new_id())
        unscoped = await receipt(home, settled.request_id, token=await home.new_token(scopes=(INFERENCE,)))
        anonymous = await receipt(home, settled.request_id, token="sr_live_nonsense")
    assert (foreign.status, foreign.body) == (404, unknown.body)
    assert (unscoped.status, unscoped.json["error"]["code"]) == (403, "insufficient_permissions")
    assert anonymous.status == 401


async def test_without_billing_the_answer_is_a_503_at_once(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with house(
        nats_url,
        fresh_database,
        tmp_path,
        {},
        without=["router"],
        receipt_timeout_seconds=30.0,
        receipt_wait_seconds=30.0,
    ) as home:
        began = time.monotonic()
        away = await receipt(home, new_id())
        assert time.monotonic() - began < 15
        async with answering(nats_url) as billing:
            billing.is_broken = True
            broken = await receipt(home, new_id())
    for answer in (away, broken):
        assert (answer.status, answer.json["error"]["code"]) == (503, "service_unavailable")
        assert int(answer.headers["retry-after"]) >= 1


async def test_a_replay_has_a_receipt_of_its_own_that_costs_nothing_and_names_the_first(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        answering(nats_url) as billing,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        first = await home.ask(key="again")
        settled = await home.settlement()
        replayed = await home.ask(key="again")
        billing.know(receipt_of(settled, route=ROUTE))
        of_first = (await receipt(home, first.headers["x-request-id"])).json
        answer = await receipt(home, replayed.headers["x-request-id"])
        asked = billing.asked
        await receipt(home, replayed.headers["x-request-id"])
        assert billing.asked == asked + 2, "it is waited for although it is there"
    assert answer.status == 200
    of_replay = answer.json
    assert of_replay["request_id"] == replayed.headers["x-request-id"]
    assert (of_replay["outcome"], of_replay["charged"], of_replay["prompts"]) == ("replay", False, 0)
    assert of_replay["reason"] == Outcome.REPLAY.reason
    assert of_replay["replay_of"] == first.headers["x-request-id"]
    assert (of_replay["ledger"], of_replay["windows"], of_replay["timings"]) == (None, None, None)
    assert of_replay["tokens"] == {"input": 0, "cached_input": 0, "output": 0, "reasoning": 0, "source": "none"}
    same = ("plan", "model_asked", "model_served", "endpoint", "stream", "turn", "route")
    assert of_first["route"] == SHOWN
    assert {name: of_replay[name] for name in same} == {name: of_first[name] for name in same}


@pytest.mark.parametrize("count", [30])
async def test_many_that_wait_do_not_hold_each_other_up(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, count: int
) -> None:
    async with (
        Provider() as provider,
        answering(nats_url) as billing,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, receipt_wait_seconds=20.0) as home,
    ):
        await home.ask()
        settled = await home.settlement()
        billing.know(receipt_of(settled), in_seconds=0.5)
        answers = await asyncio.gather(*(receipt(home, settled.request_id) for _ in range(count)))
    assert {answer.status for answer in answers} == {200}
