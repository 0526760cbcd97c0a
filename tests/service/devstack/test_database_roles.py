"""The role matrix of the database: every role tries every statement on every table of every schema.

What the runtime role may do with the tables of its own service is written out here; everything else is refused.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from devstack.database import SERVICES_WITH_TABLES, Database
from devstack.pytest_plugin import Databases

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What a runtime role may do with its own tables beside SELECT: rows in (I), rows out (D), and columns to change.
MAY: dict[str, dict[str, tuple[str, str]]] = {
    "gateway": {
        "accounts": ("I", "announced_at suspended_at suspension_reason suspension_revision suspension_told"),
        "idempotency": (
            "ID",
            "account_id body body_digest created_at expires_at headers held_until key_digest request_id state status",
        ),
        "mail_links": ("ID", ""),
        "replays": ("ID", ""),
        "responses": ("ID", "expires_at"),
        "sessions": ("ID", "authenticated_at digest expires_at last_seen_at"),
        "sign_in_failures": ("ID", "failures last_at"),
        "tokens": ("I", "blocked_at expires_at last_used_at revoked_at"),
        "users": ("I", "oidc_issuer oidc_subject password_changed_at password_hash preferred_token_id"),
    },
    "quota": {
        "accounts": (
            "I",
            "changes_at extra in_flight is_suspended plan rate_full_at revision suspension_revision version",
        ),
        "blocked_tokens": ("I", ""),
        "grants": ("I", "taken"),
        "plan_changes": ("I", ""),
        "reservations": ("I", "charged ended_as lease_until outcome settled_at settled_sequence"),
        "settlement_conflicts": ("I", ""),
        "turns": ("ID", "answered calls"),
        "windows": ("I", "drawn reserved used"),
    },
    "billing": {
        "closes": ("I", ""),
        "grants": ("I", "published_at"),
        "ledger": ("I", ""),
        "ledger_heads": ("I", "hash sequence"),
        "payment_events": ("I", ""),
        "reconciliations": ("ID", ""),
        "settlement_conflicts": ("I", ""),
        "subscription_changes": ("I", "published_at"),
        "subscriptions": ("I", "effective_at name plan revision"),
        "upgrades": (
            "I",
            "actor decided_at payment_ended_at payment_plan payment_subscription payment_told_at payment_url reason"
            " state",
        ),
        "verified_heads": ("I", "hash sequence"),
    },
}

Table = tuple[str, str, tuple[str, ...]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def whole(databases: Databases) -> AsyncIterator[Database]:
    yield await databases.fresh(*SERVICES_WITH_TABLES)


async def tables(database: Database) -> Sequence[Table]:
    """Schema, name and columns of everything that has rows."""
    query = """
        SELECT n.nspname, c.relname, array_agg(a.attname ORDER BY a.attnum)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
        GROUP BY 1, 2 ORDER BY 1, 2
    """
    async with await psycopg.AsyncConnection.connect(database.admin_url) as connection:
        rows = await (await connection.execute(query, [list(SERVICES_WITH_TABLES)])).fetchall()
    return [(schema, name, tuple(columns)) for schema, name, columns in rows]


async def is_refused(connection: psycopg.AsyncConnection, statement: sql.Composed, *, is_undone: bool = True) -> bool:
    """Whether it is for want of a right; what else is wrong with it does not matter, and nothing of it stays."""
    try:
        async with connection.transaction(force_rollback=True) if is_undone else contextlib.nullcontext():
            await connection.execute(statement)
    except InsufficientPrivilege:
        return True
    except psycopg.Error:
        return False
    return False


def statements(table: Table) -> Iterator[tuple[str, sql.Composed]]:
    """What can be done to a table, by a word for it. A right is asked for before any row is looked at."""
    schema, name, columns = table
    place = sql.Identifier(schema, name)
    yield "SELECT", sql.SQL("SELECT count(*) FROM {}").format(place)
    yield "INSERT", sql.SQL("INSERT INTO {} DEFAULT VALUES").format(place)
    yield "DELETE", sql.SQL("DELETE FROM {} WHERE false").format(place)
    yield "TRUNCATE", sql.SQL("TRUNCATE {}").format(place)
    for column in columns:
        named = sql.Identifier(column)
        yield f"UPDATE {column}", sql.SQL("UPDATE {} SET {} = DEFAULT WHERE false").format(place, named)
    yield "LOCK", sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(place)
    yield "ALTER", sql.SQL("ALTER TABLE {} ADD COLUMN made_up int").format(place)
    yield "DROP", sql.SQL("DROP TABLE {} CASCADE").format(place)
    yield "TRIGGER", sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(place)
    yield "INDEX", sql.SQL("CREATE INDEX ON {} (({}::text))").format(place, sql.Identifier(columns[0]))


def rights(service: str, table: Table) -> set[str]:
    """What `MAY` says of an own table, in the words of `statements`. Who may change rows may lock them, too."""
    _, name, _ = table
    rows, columns = MAY[service].get(name, ("", ""))
    given = {"SELECT", *(f"UPDATE {column}" for column in columns.split())}
    given |= {word for word in ("INSERT", "DELETE") if word[0] in rows}
    return given | ({"LOCK"} if "DELETE" in given else set())


@pytest.mark.parametrize("service", SERVICES_WITH_TABLES)
async def test_a_service_may_do_to_its_own_tables_what_is_written_here_and_no_more(
    whole: Database, service: str
) -> None:
    found: dict[str, set[str]] = {}
    own = [table for table in await tables(whole) if table[0] == service]
    async with await psycopg.AsyncConnection.connect(whole.url(service), autocommit=True) as connection:
        for table in own:
            found[table[1]] = {
                word for word, statement in statements(table) if not await is_refused(connection, statement)
            }
    assert found == {table[1]: rights(service, table) for table in own}


@pytest.mark.parametrize("role", [f"{service}{of}" for service in SERVICES_WITH_TABLES for of in ("", "_owner")])
async def test_a_role_may_do_nothing_to_the_tables_of_others(whole: Database, role: str) -> None:
    service = role.removesuffix("_owner")
    others = [table for table in await tables(whole) if table[0] != service]
    assert {table[0] for table in others} == set(SERVICES_WITH_TABLES) - {service}
    url = whole.owner_url(service) if role != service else whole.url(service)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        allowed = [
            f"{word} on {table[0]}.{table[1]}"
            for table in others
            for word, statement in statements(table)
            if not await is_refused(connection, statement)
        ]
    assert allowed == []


@pytest.mark.parametrize("service", SERVICES_WITH_TABLES)
async def test_a_service_can_make_nothing_and_become_nobody(whole: Database, service: str) -> None:
    attempts = [
        sql.SQL("CREATE SCHEMA made_up").format(),
        sql.SQL("CREATE TABLE public.made_up ()").format(),
        sql.SQL("CREATE ROLE made_up").format(),
        sql.SQL("CREATE DATABASE made_up").format(),
        sql.SQL("COPY (SELECT 1) TO PROGRAM 'true'").format(),
        sql.SQL("SELECT pg_read_file('PG_VERSION')").format(),
        sql.SQL("ALTER SYSTEM SET fsync = off").format(),
        sql.SQL("SET session_replication_role = replica").format(),
        *(
            attempt.format(sql.Identifier(schema))
            for schema in SERVICES_WITH_TABLES
            for attempt in (
                sql.SQL("CREATE TABLE {}.made_up ()"),
                sql.SQL("CREATE FUNCTION {}.made_up() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
                sql.SQL("DROP SCHEMA {} CASCADE"),
            )
        ),
        *(
            sql.SQL("SET ROLE {}").format(sql.Identifier(role))
            for other in SERVICES_WITH_TABLES
            for role in (other, f"{other}_owner")
            if role != service
        ),
    ]
    async with await psycopg.AsyncConnection.connect(whole.url(service), autocommit=True) as connection:
        # Some of these cannot be undone in a transaction, and each has to be refused anyway.
        allowed = [
            attempt.as_string(connection)
            for attempt in attempts
            if not await is_refused(connection, attempt, is_undone=False)
        ]
    assert allowed == []


async def test_nobody_changes_or_removes_a_line_of_the_ledger(whole: Database) -> None:
    ledger = next(table for table in await tables(whole) if table[:2] == ("billing", "ledger"))
    assert rights("billing", ledger) == {"SELECT", "INSERT"}
