"""Plan and allowance of an account, asked of the real quota service."""

import re
import time
from datetime import UTC, datetime
from uuid import UUID

from chassis.bus import ask, connect
from contracts.quota import RESERVE, Granted, Reserve
from devstack.pytest_plugin import FreshDatabase
from gateway import accounts
from gateway.auth import INFERENCE
from tests.service.gateway.gateway_process import Gateway
from tests.service.quota.quota_process import replica as quota_running


async def test_usage_is_what_quota_counts_now(fresh_database: FreshDatabase, nats_url: str) -> None:
    database = await fresh_database("gateway", "quota")
    gateway = Gateway(database, nats_url)
    token = await gateway.token()
    async with gateway.store() as store:
        account = await accounts.find_account(store, "acme")
    async with quota_running(database, nats_url), gateway.running() as process, process.client(token) as client:
        fresh = (await client.get("/v1/usage")).json()
        async with connect(nats_url, name="test", instance="test") as bus:
            held = Reserve(request_id=UUID(int=1), account_id=account.account_id, token_id=UUID(int=2), gateway="test")
            granted = await ask(bus, RESERVE, held, timeout_seconds=5)
        assert isinstance(granted, Granted)
        after = (await client.get("/api/smart-routing-ai-model/v1/usage")).json()
    daily = {"limit": 200, "used": 0, "remaining": 200, "reserved": 0}
    monthly = {"limit": 1000, "used": 0, "remaining": 1000, "reserved": 0}
    for report in (fresh, after):
        for window in (report["daily"], report["monthly"]):
            resets_at = window.pop("resets_at")
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", resets_at)
            assert datetime.fromisoformat(resets_at) > datetime.now(UTC)
    assert fresh == {"plan": "free", "alias": "smart-route-mini", "daily": daily, "monthly": monthly}
    held_one = {"used": 1, "reserved": 1}
    assert after["daily"] == daily | held_one | {"remaining": 199}
    assert after["monthly"] == monthly | held_one | {"remaining": 999}


async def test_a_token_without_the_scope_may_not_read_usage(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    token = await gateway.token(scopes=(INFERENCE,))
    async with gateway.running() as process, process.client(token) as client:
        response = await client.get("/v1/usage")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "insufficient_permissions")
    assert "usage:read" in response.json()["error"]["message"]


async def test_without_quota_the_answer_is_a_503_at_once(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url, {"GATEWAY_USAGE_TIMEOUT_SECONDS": "30"})
    token = await gateway.token()
    async with gateway.running() as process, process.client(token) as client:
        await client.get("/v1/models")
        began = time.monotonic()
        response = await client.get("/v1/usage")
    assert time.monotonic() - began < 15
    assert (response.status_code, response.json()["error"]["code"]) == (503, "service_unavailable")
    assert int(response.headers["retry-after"]) >= 1
