"""Suspended accounts and revoked tokens: in force when the command returns 0, and told in any case, however late."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from chassis.bus import Bus, ask, connect, provision
from contracts.quota import RESERVE, Denied, Granted, Reserve
from devstack import nats
from devstack.probes import until
from devstack.provider import Provider, scripts
from devstack.pytest_plugin import FreshDatabase
from devstack.supervisor import Supervisor, quiet
from gateway import accounts
from gateway.accounts import pay_debts
from tests.service.gateway.chat_house import House, house, target
from tests.service.gateway.gateway_process import Gateway
from tests.service.quota.quota_process import replica as quota_running


async def admission(bus: Bus, account_id: UUID, *, token_id: UUID | None = None) -> str:
    """What quota says to a reservation of the account now."""
    reserve = Reserve(request_id=uuid4(), account_id=account_id, token_id=token_id or uuid4(), gateway="test")
    reply = await ask(bus, RESERVE, reserve, timeout_seconds=5)
    assert isinstance(reply, Granted | Denied)
    return "granted" if isinstance(reply, Granted) else reply.reason


async def test_an_account_is_suspended_and_resumed_and_the_list_says_so(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    database = await fresh_database("gateway", "quota")
    gateway = Gateway(database, nats_url)
    account_id = UUID((await gateway.command("create-account", "acme", "--json")).json["account_id"])
    async with quota_running(database, nats_url), connect(nats_url, name="test", instance="test") as bus:
        assert await admission(bus, account_id) == "granted"
        suspended = await gateway.command("suspend-account", "acme", "--reason", "unpaid since May")
        assert (suspended.code, suspended.out) == (0, f"account {account_id} is suspended, in force now\n"), (
            suspended.err
        )
        assert await admission(bus, account_id) == "account_suspended"
        listed = await gateway.command("list-accounts", "--json")
        (account,) = listed.json["accounts"]
        assert (account["name"], account["suspension_reason"], account["in_force"]) == (
            "acme",
            "unpaid since May",
            True,
        )
        assert datetime.fromisoformat(account["suspended_at"]) <= datetime.now(UTC)
        again = await gateway.command("suspend-account", str(account_id), "--reason", "x", "--json")
        assert (again.code, again.json["suspension_reason"]) == (0, "unpaid since May")
        assert "SUSPENDED" in (await gateway.command("list-accounts")).out
        resumed = await gateway.command("resume-account", "acme", "--json")
        assert (resumed.code, resumed.json["suspended_at"], resumed.json["in_force"]) == (0, None, True)
        assert await admission(bus, account_id) == "granted"
        assert "SUSPENDED" not in (await gateway.command("list-accounts")).out


async def test_a_suspension_without_quota_says_that_it_is_not_in_force_and_comes_into_force_later(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    database = await fresh_database("gateway", "quota")
    gateway = Gateway(database, nats_url)
    account_id = UUID((await gateway.command("create-account", "acme", "--json")).json["account_id"])
    done = await gateway.command("suspend-account", "acme", "--reason", "unpaid", "--json")
    assert (done.code, done.out) == (1, "")
    assert "is marked as suspended, but that is NOT in force: quota did not answer (no responders)" in done.err
    assert "NOT in force yet" in (await gateway.command("list-accounts")).out
    async with quota_running(database, nats_url), connect(nats_url, name="test", instance="test") as bus:
        assert await admission(bus, account_id) == "granted"
        async with gateway.running():

            async def is_suspended() -> bool:
                return await admission(bus, account_id) == "account_suspended"

            assert await until(is_suspended, within_seconds=30)
        assert "NOT in force" not in (await gateway.command("list-accounts")).out


async def test_without_nats_neither_command_claims_to_be_in_force(fresh_database: FreshDatabase) -> None:
    gateway = Gateway(await fresh_database("gateway"), "nats://127.0.0.1:9")
    async with gateway.store() as store:
        account = await accounts.open_account(store, name="acme", plan=None)
        _, token = await accounts.issue_token(store, account, name="test", scopes=("inference",))
    ended = await asyncio.gather(
        gateway.command("suspend-account", "acme", "--reason", "unpaid"),
        gateway.command("revoke-token", str(token.token_id)),
    )
    for one in ended:
        assert one.code == 1
        assert "NOT in force" in one.err


async def test_only_the_newest_of_several_untold_changes_holds(fresh_database: FreshDatabase, nats_url: str) -> None:
    database = await fresh_database("gateway", "quota")
    gateway = Gateway(database, nats_url)
    async with gateway.store() as store, connect(nats_url, name="test", instance="test") as bus:
        account = await accounts.open_account(store, name="acme", plan=None)
        older = await accounts.suspend(store, account, reason="a mistake")
        newer = await accounts.resume(store, account)
        assert (older.suspension_revision, newer.suspension_revision) == (1, 2)
        async with quota_running(database, nats_url):
            await asyncio.gather(*(pay_debts(bus, store, timeout_seconds=5) for _ in range(3)))
            assert await store.untold_suspensions(limit=10) == []
            # An old word that comes late changes nothing, neither at quota nor in what we know to be told.
            await accounts.tell_suspension(bus, store, older, timeout_seconds=5)
            assert await admission(bus, account.account_id) == "granted"
        found = await accounts.find_account(store, "acme")
        assert (found.suspension_told, found.suspended_at) == (2, None)


@asynccontextmanager
async def partly_deaf_nats(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """A server, and the same for a user who may not hear of revocations: the cache channel of its gateway is cut."""
    server = nats.prepare(folder / "nats", logs=folder)
    file = folder / "nats" / "nats.conf"
    users = (
        r'authorization { users: [ { user: smartroute, password: "\1" }, { user: smartroute-deaf, password: "\1", '
        'permissions: { publish: ">", subscribe: { allow: ">", deny: "gateway.v1.token_revoked" } } } ] }'
    )
    text, changed = re.subn(r'authorization \{ user: smartroute, password: "([^"]+)" \}', users, file.read_text())
    assert changed == 1
    file.write_text(text)
    async with Supervisor(say=quiet) as supervisor:
        await supervisor.start(server.program)
        await provision(server.url)
        yield server.url, server.url.replace("smartroute:", "smartroute-deaf:")


class Load:
    """Requests that go on until they are stopped, with the moment at which each was sent."""

    def __init__(self, home: House) -> None:
        self.statuses: list[tuple[float, int]] = []
        self._home = home

    @asynccontextmanager
    async def running(self, *, callers: int) -> AsyncIterator["Load"]:
        tasks = [asyncio.create_task(self._call()) for _ in range(callers)]
        try:
            assert await until(self._has_begun, within_seconds=20)
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def sent_after(self, moment: float) -> list[int]:
        """What the requests were told that were sent after a moment of `time.monotonic()`."""
        return [status for sent, status in self.statuses if sent > moment]

    async def _call(self) -> None:
        while True:
            sent = time.monotonic()
            self.statuses.append((sent, (await self._home.ask()).status))

    async def _has_begun(self) -> bool:
        return len(self.statuses) > 50


@pytest.mark.parametrize(("command", "refusal"), [("revoke-token", 401), ("suspend-account", 403)])
async def test_under_load_nothing_is_admitted_after_the_command_returned_although_the_gateway_never_hears_of_it(
    fresh_database: FreshDatabase, data_dir: Path, caplog: pytest.LogCaptureFixture, command: str, refusal: int
) -> None:
    async with partly_deaf_nats(data_dir) as (nats_url, deaf_url), Provider(default=scripts.answer("Hi")) as provider:
        targets = {"a": target(provider, "a")}
        async with (
            house(nats_url, fresh_database, data_dir, targets, gateway_nats_url=deaf_url) as home,
            quota_running(home.database, nats_url),
        ):
            await home.give_plan("unlimited")
            operator = Gateway(home.database, nats_url)
            if command == "revoke-token":
                (token,) = (await operator.command("list-tokens", "acme", "--json")).json["tokens"]
                arguments = ["revoke-token", token["token_id"]]
            else:
                arguments = ["suspend-account", "acme", "--reason", "unpaid"]
            async with Load(home).running(callers=20) as load:
                done = await operator.command(*arguments)
                returned = time.monotonic()
                returned_at = await database_clock(home)
                assert done.code == 0, done.err
                await asyncio.sleep(1.0)
            assert await reservations_since(home, returned_at) == 0
    denied = [record for record in caplog.records if "token_revoked" in str(getattr(record, "reason", ""))]
    assert denied, "the channel was not cut: the test shows nothing"
    after = load.sent_after(returned)
    assert after.count(refusal) > 20
    # On a busy machine quota may be too slow for the gateway: that is no admission either.
    assert set(after) <= {refusal, 503}
    assert 200 in [status for _, status in load.statuses]


async def database_clock(home: House) -> datetime:
    async with await psycopg.AsyncConnection.connect(home.database.admin_url) as connection:
        row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


async def reservations_since(home: House, moment: datetime) -> int:
    async with await psycopg.AsyncConnection.connect(home.database.admin_url) as connection:
        query = "SELECT count(*) FROM quota.reservations WHERE reserved_at > %s"
        row = await (await connection.execute(query, [moment])).fetchone()
    assert row is not None
    return int(row[0])
