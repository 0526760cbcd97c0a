"""The command line, as an operator and the development stack use it."""

import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from chassis.bus import Bus, ask, connect
from chassis.migrations import check, migrate
from chassis.watched import load
from contracts.plans import PlanCatalogue
from contracts.quota import RESERVE, Denied, Granted, Reserve
from devstack.nats import RunningNats
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from devstack.repository import PLANS
from gateway import accounts
from tests.service.gateway.events import accounts_opened
from tests.service.gateway.gateway_process import Gateway
from tests.service.quota.quota_process import replica as quota_running


async def test_an_account_is_opened_and_announced(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    done = await gateway.command("create-account", "acme", "--plan", "pro", "--json")
    assert done.code == 0, done.err
    account_id = UUID(done.json["account_id"])
    assert done.json == {"account_id": str(account_id), "name": "acme", "plan": "pro", "announced": True}
    (opened,) = await accounts_opened(nats_url, count=1)
    assert (opened.account_id, opened.name, opened.plan) == (account_id, "acme", "pro")
    again = await gateway.command("create-account", "acme")
    unknown = await gateway.command("create-account", "other", "--plan", "gold")
    assert (again.code, again.err) == (1, "error: there is an account `acme` already\n")
    assert unknown.code == 1
    assert "choose one of: free, plus" in unknown.err
    async with gateway.store() as store:
        assert await store.find_account("other") is None


async def test_an_account_that_could_not_be_announced_is_announced_by_a_running_gateway(
    fresh_database: FreshDatabase, nats_url: str, nats_server: RunningNats
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    await nats_server.child.halt()
    done = await gateway.command("create-account", "acme", "--json")
    assert (done.code, done.json["announced"]) == (0, False)
    assert "not announced yet" in done.err
    await nats_server.child.start()
    async with gateway.running():
        (opened,) = await accounts_opened(nats_url, count=1)
    assert str(opened.account_id) == done.json["account_id"]


async def test_a_token_is_printed_once_and_works_until_it_is_revoked(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    database = await fresh_database("gateway", "quota")
    gateway = Gateway(database, nats_url)
    await gateway.command("create-account", "acme")
    made = await gateway.command(
        "create-token", "acme", "--name", "ci", "--expires-days", "3", "--scopes", "usage:read, inference", "--json"
    )
    assert made.code == 0, made.err
    token, token_id = made.json["token"], made.json["token_id"]
    expires_at = datetime.fromisoformat(made.json["expires_at"])
    assert abs(expires_at - datetime.now(UTC) - timedelta(days=3)) < timedelta(minutes=1)
    assert (made.json["name"], made.json["scopes"]) == ("ci", ["usage:read", "inference"])
    listed = await gateway.command("list-tokens", "acme", "--json")
    assert [entry["token_id"] for entry in listed.json["tokens"]] == [token_id]
    assert token not in listed.out
    assert token[:-4] not in (await gateway.command("list-tokens", "acme")).out
    async with quota_running(database, nats_url), gateway.running() as process, process.client(token) as client:
        assert (await client.get("/v1/models")).status_code == 200
        revoked = await gateway.command("revoke-token", token_id)
        assert (revoked.code, revoked.out) == (0, f"token {token_id} is revoked, in force now\n"), revoked.err
        # Well within the time that the cache would have believed it.
        assert (await client.get("/v1/models")).status_code == 401
        async with connect(nats_url, name="test", instance="test") as bus:
            reserve = Reserve(
                request_id=uuid4(),
                account_id=UUID(made.json["account_id"]),
                token_id=UUID(token_id),
                gateway="a gateway that has not heard of it",
            )
            reply = await ask(bus, RESERVE, reserve, timeout_seconds=5)
        assert isinstance(reply, Denied)
        assert reply.reason == "token_blocked"
        assert (await gateway.command("revoke-token", token_id)).code == 0


async def test_a_revocation_without_quota_says_that_it_is_not_in_force_and_comes_into_force_later(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    database = await fresh_database("gateway", "quota")
    gateway = Gateway(database, nats_url)
    token = await gateway.token()
    async with gateway.store() as store:
        account = await accounts.find_account(store, "acme")
        (row,) = await store.tokens_of(account.account_id)
    revoked = await gateway.command("revoke-token", str(row.token_id), "--json")
    assert (revoked.code, revoked.out) == (1, "")
    assert "NOT in force: quota did not answer (no responders)" in revoked.err
    reserve = Reserve(request_id=uuid4(), account_id=account.account_id, token_id=row.token_id, gateway="test")
    async with quota_running(database, nats_url), connect(nats_url, name="test", instance="test") as bus:
        before = await ask(bus, RESERVE, reserve, timeout_seconds=5)
        assert isinstance(before, Granted)
        async with gateway.running() as process, process.client(token) as client:
            assert (await client.get("/v1/models")).status_code == 401
            assert await until(lambda: _is_blocked(bus, reserve), within_seconds=30)


async def _is_blocked(bus: Bus, reserve: Reserve) -> bool:
    reply = await ask(bus, RESERVE, reserve.model_copy(update={"request_id": uuid4()}), timeout_seconds=5)
    return isinstance(reply, Denied) and reply.reason == "token_blocked"


async def test_what_does_not_exist_is_said_so(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    commands = (
        ("create-token", "nobody"),
        ("list-tokens", str(uuid4())),
        ("revoke-token", str(uuid4())),
    )
    ended = await asyncio.gather(*(gateway.command(*command) for command in commands))
    assert [(one.code, one.out) for one in ended] == [(1, "")] * 3
    assert all(one.err.startswith("error: there is no ") and one.err.count("\n") == 1 for one in ended)
    await gateway.command("create-account", "acme")
    scope = await gateway.command("create-token", "acme", "--scopes", "root")
    assert (scope.code, scope.err) == (1, "error: there is no scope `root`; choose from: inference, usage:read\n")


async def test_demo_accounts_are_made_once_and_mended(
    fresh_database: FreshDatabase, nats_url: str, tmp_path: Path
) -> None:
    database = await fresh_database("gateway")
    gateway = Gateway(database, nats_url)
    file = tmp_path / "tokens.json"
    plans = load(PLANS, PlanCatalogue).names
    first = await gateway.command("seed-demo", "--tokens-file", str(file))
    assert first.code == 0, first.err
    tokens = json.loads(file.read_text())
    assert list(tokens) == plans
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    opened = await accounts_opened(nats_url, count=7)
    assert sorted((one.name, one.plan) for one in opened) == sorted((f"demo-{plan}", plan) for plan in plans)
    assert not any(token in first.out + first.err for token in tokens.values())

    assert (await gateway.command("seed-demo", "--tokens-file", str(file))).code == 0
    assert json.loads(file.read_text()) == tokens

    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
        revoke = "UPDATE gateway.tokens SET revoked_at = now() WHERE last_four = %s"
        await connection.execute(revoke, [tokens["pro"][-4:]])
    file.write_text(json.dumps({plan: token for plan, token in tokens.items() if plan != "max"}))
    assert (await gateway.command("seed-demo", "--tokens-file", str(file))).code == 0
    mended = json.loads(file.read_text())
    assert {plan for plan in plans if mended[plan] != tokens[plan]} == {"pro", "max"}
    assert len(await accounts_opened(nats_url, count=7)) == 7


async def test_a_bad_configuration_is_told_in_one_line_without_secrets(
    fresh_database: FreshDatabase, nats_url: str, tmp_path: Path
) -> None:
    database = await fresh_database("gateway")
    good = await Gateway(database, nats_url).command("check-config")
    assert (good.code, good.out) == (0, "configuration is good\n")
    short = await Gateway(database, nats_url, {"GATEWAY_SIGNING_KEY": "hunter2"}).command("check-config")
    assert short.code == 1
    assert short.err.startswith("error: GATEWAY_SIGNING_KEY: ")
    assert "hunter2" not in short.err
    plans = tmp_path / "plans.yaml"
    plans.write_text("version: 1\n")
    for command in ("check-config", "serve"):
        wrong = await Gateway(database, nats_url, {"GATEWAY_PLANS_FILE": str(plans)}).command(command)
        assert wrong.code == 1
        assert f"{plans}: default_plan: Field required" in wrong.err
        assert "Traceback" not in wrong.err


async def test_the_committed_description_of_the_interface_is_up_to_date(
    fresh_database: FreshDatabase, nats_url: str, tmp_path: Path
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    assert (await gateway.command("openapi", "--check")).code == 0
    other = tmp_path / "openapi.json"
    other.write_text("{}")
    stale = await gateway.command("openapi", "--check", "--file", str(other))
    assert stale.code == 1
    assert "out of date" in stale.err


async def test_tables_and_migrations_agree(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    await asyncio.to_thread(check, "gateway", database.owner_url("gateway"))
    await asyncio.to_thread(migrate, "gateway", database.owner_url("gateway"))
