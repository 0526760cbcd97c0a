"""What is over is removed by a portal that runs: sessions, links and counters; and what is not over stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg

from chassis.database import create_engine
from devstack.database import Database
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from gateway.portal.identity import links
from gateway.portal.identity.purging import purging
from gateway.portal.visit import digest, new_secret
from gateway.store import SessionStore
from gateway.store.mail_links import MailLinkStore
from gateway.store.throttle import Counter, Pace, ThrottleStore
from gateway.store.users import UserStore
from gateway.tables import Account, Session, User

NOW = datetime.now(UTC)
PACE = Pace(free=3, first_seconds=2, cap_seconds=60, decay_seconds=600)


@asynccontextmanager
async def _purging(database: Database) -> AsyncIterator[None]:
    engine = create_engine(database.url("gateway"))
    stores = SessionStore(engine, idle=timedelta(days=1)), MailLinkStore(engine), ThrottleStore(engine)
    try:
        async with purging(*stores, interval_seconds=0.05):
            yield
    finally:
        await engine.dispose()


async def _counts(database: Database) -> tuple[int, ...]:
    async with await psycopg.AsyncConnection.connect(database.admin_url) as connection:
        counted = await connection.execute(
            "SELECT (SELECT count(*) FROM gateway.sessions), (SELECT count(*) FROM gateway.mail_links),"
            " (SELECT count(*) FROM gateway.sign_in_failures)"
        )
        return tuple(await counted.fetchone() or ())


async def _fill(database: Database) -> None:
    """Of each kind one that is over, and one that is not."""
    engine = create_engine(database.url("gateway"))
    account = Account(account_id=uuid4(), name="ada", opened_at=NOW)
    user = User(user_id=uuid4(), account_id=account.account_id, email="ada@example.com", created_at=NOW)
    await UserStore(engine).open(account, user)
    sessions, mail_links = SessionStore(engine, idle=timedelta(days=1)), MailLinkStore(engine)
    counters = ThrottleStore(engine)
    for lasting in (timedelta(days=1), timedelta(seconds=-1)):
        await sessions.add(
            Session(
                session_id=uuid4(),
                user_id=user.user_id,
                digest=digest(new_secret()),
                browser="",
                created_at=NOW,
                authenticated_at=NOW,
                last_seen_at=NOW,
                expires_at=NOW + lasting,
            )
        )
    for valid in (timedelta(hours=1), timedelta(seconds=-1)):
        await mail_links.add(links.made("reset", "ada@example.com", valid=valid)[1])
    await counters.count([Counter(b"old", PACE)])
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
        await connection.execute("UPDATE gateway.sign_in_failures SET last_at = now() - interval '2 days'")
    await counters.count([Counter(b"new", PACE)])
    await engine.dispose()


async def test_what_is_over_is_removed_and_what_is_not_stays(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    await _fill(database)
    assert await _counts(database) == (2, 2, 2)

    async def is_purged() -> bool:
        return await _counts(database) == (1, 1, 1)

    async with _purging(database), _purging(database):
        assert await until(is_purged, within_seconds=30)
    assert await _counts(database) == (1, 1, 1)


async def test_a_link_is_used_up_by_one_of_many_at_once(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    await _fill(database)
    engine = create_engine(database.url("gateway"), pool_size=8)
    try:
        users = UserStore(engine)
        _, link = links.made("reset", "ada@example.com", valid=timedelta(hours=1))
        await MailLinkStore(engine).add(link)
        resets = (users.reset_by_link(link.digest, password_hash=f"hash {number}") for number in range(8))
        done = [each for each in await asyncio.gather(*resets) if each is not None]
        assert len(done) == 1
        found = await users.by_email("ada@example.com")
        assert found is not None
        assert found.password_hash == done[0][0].password_hash
        assert (await _counts(database))[:2] == (0, 1), "its sessions have ended, and what is left is over"
    finally:
        await engine.dispose()
