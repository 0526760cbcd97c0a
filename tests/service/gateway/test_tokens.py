"""Authentication against a real database: what is believed, for how long, and what is asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.bus import connect, tell
from chassis.database import create_engine
from contracts.gateway import TOKEN_REVOKED, TokenRevoked
from devstack.database import Database
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from gateway import accounts, tokens
from gateway.app import forget_revoked
from gateway.auth import INFERENCE, SCOPES, USAGE_READ, Authenticator, require_scope
from gateway.errors import AuthenticationFailed, ServiceUnavailable, TokenForbidden
from gateway.store import Store


class Subject:
    """An authenticator on a database, with the number of questions that it put to it."""

    def __init__(self, engine: AsyncEngine, *, cache_seconds: float, cache_entries: int) -> None:
        self.store = Store(engine)
        self.authenticator = Authenticator(
            self.store,
            cache_seconds=cache_seconds,
            refusal_cache_seconds=0.3,
            cache_entries=cache_entries,
            lookup_timeout_seconds=2,
        )
        self.questions = 0
        event.listen(engine.sync_engine, "before_cursor_execute", self._count)

    def _count(self, *arguments: object) -> None:
        statement = str(arguments[2])
        self.questions += statement.startswith("SELECT") and "digest = " in statement

    async def token(self, **options: timedelta | tuple[str, ...]) -> tuple[bytes, UUID]:
        """The header of a new token, and its id."""
        account = await self.store.find_account("acme") or await accounts.open_account(
            self.store, name="acme", plan=None
        )
        given = {"scopes": SCOPES, **options}
        secret, token = await accounts.issue_token(self.store, account, name="test", **given)  # type: ignore[arg-type]
        return f"Bearer {secret}".encode(), token.token_id

    async def refuses(self, authorization: bytes | None) -> bool:
        try:
            await self.authenticator.authenticate(authorization)
        except AuthenticationFailed:
            return True
        return False


@asynccontextmanager
async def subject(database: Database, *, cache_seconds: float = 30, cache_entries: int = 100) -> AsyncIterator[Subject]:
    engine = create_engine(database.url("gateway"))
    try:
        yield Subject(engine, cache_seconds=cache_seconds, cache_entries=cache_entries)
    finally:
        await engine.dispose()


async def test_a_token_stands_for_its_account_with_its_scopes(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway")) as it:
        header, token_id = await it.token(scopes=(USAGE_READ,))
        caller = await it.authenticator.authenticate(header)
        account = await accounts.find_account(it.store, "acme")
    assert (caller.account_id, caller.token_id) == (account.account_id, token_id)
    require_scope(caller, USAGE_READ)
    with pytest.raises(TokenForbidden):
        require_scope(caller, INFERENCE)


async def test_only_a_digest_of_a_token_is_in_the_database(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    async with subject(database) as it:
        header, _ = await it.token()
    secret = header.removeprefix(b"Bearer ")
    async with await psycopg.AsyncConnection.connect(database.admin_url) as connection:
        row = await (await connection.execute("SELECT t.*, t::text FROM gateway.tokens t")).fetchone()
    assert row is not None
    assert tokens.digest(secret) in row
    assert secret.decode() not in repr(row)
    assert secret[8:40].decode() not in repr(row)


async def test_what_cannot_be_a_token_is_refused_without_asking_the_database(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway")) as it:
        header, _ = await it.token()
        broken = header[:-1] + (b"0" if header[-1:] != b"0" else b"1")
        for guess in (None, b"", b"Bearer", b"Bearer ", b"Bearer sk-123", b"Basic " + header[7:], broken, header[7:]):
            assert await it.refuses(guess), guess
        assert it.questions == 0
        assert not await it.refuses(header.replace(b"Bearer", b"bEARER"))


async def test_unknown_revoked_and_expired_tokens_are_refused_in_the_same_words(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    async with subject(database) as it:
        revoked, token_id = await it.token()
        await accounts.mark_revoked(it.store, token_id)
        expired, _ = await it.token(lifetime=timedelta(seconds=-1))
        said = []
        for header in (None, b"Bearer x", f"Bearer {tokens.mint()}".encode(), revoked, expired):
            with pytest.raises(AuthenticationFailed) as refused:
                await it.authenticator.authenticate(header)
            said.append((refused.value.body(), refused.value.headers))
    assert all(words == said[0] for words in said)


async def test_the_database_is_asked_once_for_many_that_come_together(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway")) as it:
        header, _ = await it.token()
        callers = await asyncio.gather(*(it.authenticator.authenticate(header) for _ in range(50)))
        await it.authenticator.authenticate(header)
        assert it.questions == 1
        assert len(set(callers)) == 1


async def test_a_client_that_leaves_does_not_spoil_the_look_up_for_others(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway")) as it:
        header, _ = await it.token()
        first = asyncio.create_task(it.authenticator.authenticate(header))
        second = asyncio.create_task(it.authenticator.authenticate(header))
        await asyncio.sleep(0)
        first.cancel()
        assert await second
        assert it.questions == 1


async def test_a_token_is_looked_up_again_after_its_time_in_the_cache(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway"), cache_seconds=0.2) as it:
        header, token_id = await it.token()
        await it.authenticator.authenticate(header)
        await accounts.mark_revoked(it.store, token_id)
        await asyncio.sleep(0.25)
        assert await it.refuses(header)


async def test_a_token_is_not_believed_beyond_its_expiry(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway")) as it:
        header, _ = await it.token(lifetime=timedelta(seconds=0.5))
        await it.authenticator.authenticate(header)
        await asyncio.sleep(0.6)
        assert await it.refuses(header)


async def test_a_refusal_is_remembered_for_a_moment_only(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway")) as it:
        guess = f"Bearer {tokens.mint()}".encode()
        for _ in range(5):
            assert await it.refuses(guess)
        assert it.questions == 1
        await asyncio.sleep(0.35)
        assert await it.refuses(guess)
        assert it.questions == 2


async def test_the_cache_is_bounded_and_guesses_do_not_push_customers_out(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway"), cache_entries=2) as it:
        headers = [(await it.token())[0] for _ in range(3)]
        for header in headers:
            await it.authenticator.authenticate(header)
        for _ in range(5):
            await it.refuses(f"Bearer {tokens.mint()}".encode())
        asked = it.questions
        await it.authenticator.authenticate(headers[1])
        await it.authenticator.authenticate(headers[2])
        assert it.questions == asked
        await it.authenticator.authenticate(headers[0])
        assert it.questions == asked + 1


async def test_the_signal_of_a_revocation_empties_the_cache(fresh_database: FreshDatabase, nats_url: str) -> None:
    async with (
        subject(await fresh_database("gateway")) as it,
        connect(nats_url, name="test", instance="test") as bus,
    ):
        await forget_revoked(bus, it.authenticator)
        await bus.flush()
        header, token_id = await it.token()
        await it.authenticator.authenticate(header)
        await accounts.mark_revoked(it.store, token_id)
        assert not await it.refuses(header)
        await tell(bus, TOKEN_REVOKED, TokenRevoked(token_id=token_id))
        assert await until(lambda: it.refuses(header), within_seconds=20)


async def test_a_look_up_that_a_revocation_overtakes_is_not_remembered(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway")) as it:
        header, token_id = await it.token()
        running = asyncio.create_task(it.authenticator.authenticate(header))
        while it.questions == 0:  # noqa: ASYNC110 - an engine's listener cannot be awaited
            await asyncio.sleep(0)
        it.authenticator.forget(token_id)
        await running
        await it.authenticator.authenticate(header)
        assert it.questions == 2


async def test_without_the_database_known_tokens_go_on_and_others_are_told_to_wait(database: Database) -> None:
    nowhere = replace(database, admin_url="postgresql://x@127.0.0.1:9/nowhere")
    async with subject(nowhere) as it:
        with pytest.raises(ServiceUnavailable):
            await it.authenticator.authenticate(f"Bearer {tokens.mint()}".encode())


async def test_the_use_of_a_token_is_noted_once_in_an_interval(fresh_database: FreshDatabase) -> None:
    async with subject(await fresh_database("gateway")) as it:
        header, _ = await it.token()
        account = await accounts.find_account(it.store, "acme")
        async with accounts.noting_use(it.store, it.authenticator, interval_seconds=60):
            await it.authenticator.authenticate(header)
        (noted,) = await it.store.tokens_of(account.account_id)
        async with accounts.noting_use(it.store, it.authenticator, interval_seconds=60):
            await it.authenticator.authenticate(header)
        (again,) = await it.store.tokens_of(account.account_id)
    assert noted.last_used_at is not None
    assert again.last_used_at == noted.last_used_at


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM gateway.tokens",
        "DELETE FROM gateway.accounts",
        "UPDATE gateway.tokens SET account_id = gen_random_uuid()",
        "UPDATE gateway.tokens SET digest = '\\x00'",
        "UPDATE gateway.tokens SET scopes = '{}'",
        "UPDATE gateway.accounts SET name = 'x'",
        "UPDATE gateway.accounts SET plan = 'max'",
        "TRUNCATE gateway.tokens",
        "UPDATE gateway.alembic_version SET version_num = 'x'",
    ],
)
async def test_the_runtime_role_may_not_change_who_a_token_belongs_to(
    fresh_database: FreshDatabase, statement: str
) -> None:
    database = await fresh_database("gateway")
    async with await psycopg.AsyncConnection.connect(database.url("gateway")) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())
