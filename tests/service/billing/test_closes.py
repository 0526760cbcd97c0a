"""Daily closes: every day once, in order, signed; nothing can be posted to a closed day."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from billing import signing
from billing.closing import close_days
from billing.domain.chain import GENESIS
from billing.domain.closes import close_digest
from billing.domain.lines import Settlement
from billing.store import LedgerFilter, Store
from chassis.database import create_engine
from contracts.gateway import Cost
from contracts.outcomes import Outcome
from devstack.probes import http_get, until
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing, a_settlement

COST = Cost(amount=Decimal("0.0001"), currency="USD")


@pytest.fixture
def key(tmp_path: Path) -> signing.CloseKey:
    return signing.new_key(tmp_path / "close-key.pem")


@pytest_asyncio.fixture
async def billing(fresh_database: FreshDatabase, nats_url: str, tmp_path: Path, key: signing.CloseKey) -> Billing:
    settings = {"BILLING_CLOSE_KEY_FILE": str(tmp_path / "close-key.pem"), "BILLING_CLOSE_SECONDS": "0.2"}
    return Billing(await fresh_database("billing"), nats_url, settings)


@asynccontextmanager
async def a_store(billing: Billing) -> AsyncIterator[Store]:
    url = billing.database.url("billing")
    store = Store(create_engine(url), url)
    try:
        yield store
    finally:
        await store.close()


@pytest_asyncio.fixture
async def store(billing: Billing) -> AsyncIterator[Store]:
    async with a_store(billing) as store:
        yield store


async def move_lines_back(billing: Billing, *, days: int) -> date:
    """As if what was posted today had been posted that many days ago: closes do not look at hashes."""
    async with await psycopg.AsyncConnection.connect(billing.database.admin_url) as connection:
        await connection.execute(
            "UPDATE billing.ledger SET posted_on = posted_on - %s::int "
            "WHERE posted_on = (clock_timestamp() AT TIME ZONE 'UTC')::date",
            [days],
        )
    return datetime.now(UTC).date() - timedelta(days=days)


async def some_lines(store: Store, *, first: int, count: int, account: UUID | None = None) -> None:
    given: dict[str, object] = {"cost": COST} | ({"account_id": account} if account else {})
    outcomes = [Outcome.COMPLETED, Outcome.EXPIRED]
    await store.ledger.record(
        [Settlement(a_settlement(outcomes[n % 2], **given), n) for n in range(first, first + count)]
    )


async def test_days_that_are_over_are_closed_in_order_empty_ones_included_and_today_is_not(
    billing: Billing, store: Store, key: signing.CloseKey
) -> None:
    await some_lines(store, first=1, count=10)
    first_day = await move_lines_back(billing, days=4)
    await some_lines(store, first=11, count=5)
    await move_lines_back(billing, days=2)
    await some_lines(store, first=16, count=3)
    code, out, _ = await billing.command("close", "--json")
    closes = json.loads(out)
    assert code == 0
    assert [close["day"] for close in closes] == [(first_day + timedelta(days=n)).isoformat() for n in range(4)]
    assert [close["lines"] for close in closes] == [10, 0, 5, 0]
    assert [close["totals"]["prompts"] for close in closes] == [5, 0, 2, 0]
    assert closes[0]["totals"]["cost"] == {"USD": "0.0010000000"}
    assert closes[0]["totals"]["by_outcome"]["expired"]["lines"] == 5
    assert [close["previous_digest"] for close in closes] == [GENESIS, *(close["digest"] for close in closes[:-1])]
    assert all(key.public.is_signed(close["digest"], close["signature"]) for close in closes)
    assert {close["key_id"] for close in closes} == {key.key_id}
    code, out, _ = await billing.command("close")
    assert (code, out) == (0, "nothing to close\n")
    code, out, _ = await billing.command("closes")
    assert out.splitlines()[-1] == "4 days closed"


async def test_a_close_is_the_same_whoever_makes_it_and_reads_as_it_was_signed(
    billing: Billing, store: Store, key: signing.CloseKey
) -> None:
    await some_lines(store, first=1, count=30)
    await move_lines_back(billing, days=1)
    lines = await store.ledger.lines(LedgerFilter(limit=100))
    async with a_store(billing) as other:
        results = await asyncio.gather(
            *(each.closes.close_next(key) for each in (store, other)),
        )
    closes = await store.closes.all()
    assert sum(close is not None for close in results) == 1, "two replicas at once: one close"
    assert len(closes) == 1
    assert close_digest(closes[0]) == closes[0].digest
    assert key.public.is_signed(closes[0].digest, closes[0].signature)
    # Worked out a second time from the lines as they are read: the same digest.
    async with await psycopg.AsyncConnection.connect(billing.database.admin_url) as connection:
        await connection.execute("DELETE FROM billing.closes")
    again = await store.closes.close_next(key)
    assert again is not None
    assert replace(again, closed_at=closes[0].closed_at, digest="", signature="") == replace(
        closes[0], digest="", signature=""
    )
    assert len(lines) == closes[0].lines


async def test_a_changed_line_makes_another_digest_and_the_signature_of_the_close_does_not_fit_it(
    billing: Billing, store: Store, key: signing.CloseKey
) -> None:
    await some_lines(store, first=1, count=3)
    day = await move_lines_back(billing, days=1)
    signed = await store.closes.close_next(key)
    async with await psycopg.AsyncConnection.connect(billing.database.admin_url) as connection:
        await connection.execute("UPDATE billing.ledger SET prompts = 1, hash = 'forged' WHERE prompts = 0")
        await connection.execute("DELETE FROM billing.closes")
    forged = await store.closes.close_next(key)
    assert signed is not None
    assert forged is not None
    assert (forged.day, forged.totals["prompts"]) == (day, 3)
    assert forged.lines_digest != signed.lines_digest
    assert not key.public.is_signed(close_digest(replace(forged, closed_at=signed.closed_at)), signed.signature)


async def test_whoever_is_writing_when_a_day_is_closed_has_its_lines_in_it_or_in_the_next_one(
    billing: Billing, store: Store, key: signing.CloseKey
) -> None:
    await some_lines(store, first=1, count=1)
    day = await move_lines_back(billing, days=1)
    async with await psycopg.AsyncConnection.connect(billing.database.admin_url) as writer:
        await writer.execute("SELECT pg_advisory_xact_lock_shared(hashtext('billing posting'))")
        closing = asyncio.create_task(store.closes.close_next(key))
        await asyncio.sleep(0.5)
        assert not closing.done(), "somebody may still post to that day"
        # Recording waits behind the close: what it writes then is of a later day.
        async with a_store(billing) as other:
            recording = asyncio.create_task(some_lines(other, first=2, count=1))
            await asyncio.sleep(0.3)
            assert not recording.done()
            await writer.commit()
            close = await asyncio.wait_for(closing, 5)
            await asyncio.wait_for(recording, 5)
    assert close is not None
    assert (close.day, close.lines) == (day, 1)


async def test_a_clock_that_stepped_back_does_not_post_to_a_closed_day(
    billing: Billing, store: Store, key: signing.CloseKey
) -> None:
    await some_lines(store, first=1, count=1)
    # Closed days in the future are what a clock that stepped back looks like.
    ahead = datetime.now(UTC).date() + timedelta(days=3)
    await move_lines_back(billing, days=1)
    close = await store.closes.close_next(key)
    assert close is not None
    async with await psycopg.AsyncConnection.connect(billing.database.admin_url) as connection:
        await connection.execute("UPDATE billing.closes SET day = %s", [ahead])
    await some_lines(store, first=2, count=1)
    (line,) = (await store.ledger.lines(LedgerFilter(limit=1)))[-1:]
    assert line.line.posted_on == ahead + timedelta(days=1)
    assert await close_days(store.closes, None) == []


async def test_running_replicas_close_by_themselves_and_each_day_once(billing: Billing, store: Store) -> None:
    await some_lines(store, first=1, count=50)
    await move_lines_back(billing, days=20)

    async def all_closed() -> bool:
        return len(await store.closes.all()) >= 20

    async with billing.running() as process, billing.running():
        assert await until(all_closed, within_seconds=15)

        async def none_waits() -> bool:
            _, metrics = await http_get(f"{process.health_url}/metrics")
            return has(metrics, 0)

        assert await until(none_waits, within_seconds=30)
    assert len(await store.closes.all()) == 20


def has(metrics: bytes, days: int) -> bool:
    """Whether the gauge of days that wait shows this."""
    shown = [line for line in metrics.decode().splitlines() if line.startswith("smartroute_billing_closes_overdue")]
    return bool(shown) and all(float(line.rpartition(" ")[2]) == days for line in shown)


@pytest.mark.parametrize("settings", [{}, {"BILLING_CLOSE_KEY_FILE": "/nowhere/key.pem"}], ids=["no key", "lost key"])
async def test_without_a_key_the_service_runs_closes_nothing_and_says_how_many_days_wait(
    billing: Billing, store: Store, settings: dict[str, str]
) -> None:
    keyless = Billing(billing.database, billing.nats_url, {"BILLING_CLOSE_SECONDS": "0.2", **settings})
    await some_lines(store, first=1, count=1)
    await move_lines_back(billing, days=3)
    async with keyless.running() as process:

        async def says_so() -> bool:
            _, metrics = await http_get(f"{process.health_url}/metrics")
            return has(metrics, 3)

        assert await until(says_so, within_seconds=30)
        assert '"code": "key_refused"' in process.child.last_words(lines=40)
    code, _, err = await keyless.command("close")
    assert code == 2
    assert "BILLING_CLOSE_KEY_FILE" in err or "/nowhere/key.pem" in err
    assert await store.closes.all() == []


async def test_close_up_to_a_day_closes_no_later_one_and_never_one_that_is_not_over(
    billing: Billing, store: Store
) -> None:
    await some_lines(store, first=1, count=1)
    first = await move_lines_back(billing, days=3)
    code, out, _ = await billing.command("close", "--day", first.isoformat(), "--json")
    again, same, _ = await billing.command("close", "--day", first.isoformat(), "--json")
    assert (code, again) == (0, 0)
    assert [close["day"] for close in json.loads(out)] == [first.isoformat()]
    assert json.loads(same) == json.loads(out)
    today = datetime.now(UTC).date().isoformat()
    code, _, err = await billing.command("close", "--day", today)
    assert (code, err) == (2, f"{today} cannot be closed: it is not over\n")


async def test_a_key_is_made_once_and_its_public_half_printed(billing: Billing, tmp_path: Path) -> None:
    path = str(tmp_path / "new.pem")
    code, out, _ = await billing.command("close-key", "new", path)
    again, _, err = await billing.command("close-key", "new", path)
    _, public, _ = await billing.command("close-key", "public", path)
    _, as_json, _ = await billing.command("close-key", "public", path, "--json")
    assert (code, again) == (0, 2)
    assert "never overwritten" in err
    assert public == out
    assert json.loads(as_json)["public_key"] in out
    assert "PRIVATE" not in out


async def test_check_config_names_a_key_that_cannot_be_used(billing: Billing, tmp_path: Path) -> None:
    (tmp_path / "close-key.pem").chmod(0o644)
    code, _, err = await billing.command("check-config")
    assert (code, "chmod 600" in err) == (2, True)


async def test_a_day_of_many_lines_is_closed_in_flat_memory_of_the_reader(
    billing: Billing, store: Store, key: signing.CloseKey
) -> None:
    for start in range(1, 12_001, 1000):
        await some_lines(store, first=start, count=1000)
    await move_lines_back(billing, days=1)
    close = await store.closes.close_next(key)
    assert close is not None
    assert (close.lines, close.totals["prompts"]) == (12_000, 6_000)
