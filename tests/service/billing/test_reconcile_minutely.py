"""The comparison that billing makes by itself: it goes on where the last one ended, and forgets no difference."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from billing.domain.differences import Report
from billing.reconcile import comparison
from billing.reconcile.minutely import Minutely
from billing.store.audit import audit
from contracts.outcomes import Outcome
from devstack.probes import http_get, until
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing, a_settlement, settle
from tests.service.billing.books import Books, books, named
from tests.service.quota.quota_process import quota_here

COMPLETED, EMPTY = Outcome.COMPLETED, Outcome.EMPTY


@pytest_asyncio.fixture
async def house(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Books]:
    async with books(await fresh_database("quota", "billing"), nats_url) as opened:
        yield opened


@pytest_asyncio.fixture
async def account(house: Books) -> UUID:
    """An account with three lines that were compared once."""
    account = uuid4()
    await house.spend(account, COMPLETED, EMPTY, COMPLETED)
    report = await once(house.minutely())
    assert (report.result, report.from_sequence, report.through_sequence) == ("equal", 1, 3)
    return account


async def once(minutely: Minutely) -> Report:
    report = await minutely.once()
    assert report is not None
    return report


async def again(house: Books) -> Report:
    """The next one, without waiting for its minute."""
    return await once(house.minutely(every_seconds=0.001))


async def test_only_what_is_new_is_read(house: Books, account: UUID) -> None:
    await house.spend(account, COMPLETED)
    report = await again(house)
    assert (report.result, report.from_sequence, report.through_sequence) == ("equal", 4, 4)
    assert (report.figures["messages"], report.figures["lines"]) == (1, 1)


async def test_after_a_long_pause_it_catches_up_in_portions(
    house: Books, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "PORTION", 2)
    await house.spend(account, *[COMPLETED] * 5)
    ends = [(await again(house)).through_sequence for _ in range(4)]
    assert ends == [5, 7, 8, 8]


async def test_a_stream_that_ends_before_what_was_compared_is_read_from_its_beginning(
    house: Books, account: UUID
) -> None:
    last = await house.store.reconciliations.last()
    assert last is not None
    await house.store.reconciliations.add(replace(last, through_sequence=99))
    report = await again(house)
    assert (report.result, report.from_sequence, report.figures["messages"]) == ("equal", 1, 3)


@pytest.mark.parametrize(
    ("tampering", "repair", "kinds"),
    [
        (
            "DELETE FROM billing.ledger WHERE stream_sequence = 4",
            None,
            {"line_missing", "head_differs", "settled_differs", "used_differs"},
        ),
        (
            "UPDATE billing.ledger SET prompts = 0 WHERE stream_sequence = 4",
            "UPDATE billing.ledger SET prompts = 1 WHERE stream_sequence = 4",
            {"line_differs", "hash_differs", "used_differs"},
        ),
        (
            "UPDATE quota.windows SET used = used + 1 WHERE kind = 'day' AND account_id = '{0}'",
            "UPDATE quota.windows SET used = used - 1 WHERE kind = 'day' AND account_id = '{0}'",
            {"used_differs", "counters_differ"},
        ),
    ],
)
async def test_a_difference_stays_until_it_is_gone_and_is_said_when_it_comes_and_goes(
    house: Books,
    account: UUID,
    caplog: pytest.LogCaptureFixture,
    tampering: str,
    repair: str | None,
    kinds: set[str],
) -> None:
    await house.spend(account, COMPLETED)
    assert len(await house.billing.wait_for_lines(4)) == 4
    await house.tamper(tampering.format(account))
    first = await again(house)
    assert set(named(first)) == kinds
    said = [record for record in caplog.records if record.message == "books differ"]
    assert len(said) == first.found
    assert all(record.levelno == logging.ERROR for record in said)

    caplog.clear()
    await house.spend(uuid4(), COMPLETED)
    assert set(named(await again(house))) == kinds, "also when what is new has nothing to do with it"
    assert not any(record.message == "books differ" for record in caplog.records), "said once"
    assert any(record.message == "differences in the books" for record in caplog.records)

    if repair is not None:
        await house.tamper(repair.format(account))
        assert (await again(house)).result == "equal"
        gone = [record for record in caplog.records if record.message == "a difference in the books is gone"]
        assert len(gone) == first.found


async def test_what_a_whole_comparison_found_in_old_lines_is_looked_at_every_minute(
    house: Books, account: UUID
) -> None:
    await house.tamper("UPDATE billing.ledger SET target = 'elsewhere' WHERE stream_sequence = 1")
    assert (await again(house)).result == "equal", "old lines are compared by whole comparisons"
    whole = await house.compare()
    assert named(whole) == ["hash_differs", "line_differs"]
    await house.store.reconciliations.add(whole)
    assert named(await again(house)) == ["hash_differs", "line_differs"]
    await house.tamper("UPDATE billing.ledger SET target = 'local' WHERE stream_sequence = 1")
    assert (await again(house)).result == "equal"


async def test_a_chain_that_got_shorter_is_noticed(house: Books, account: UUID) -> None:
    await house.tamper(
        "DELETE FROM billing.ledger WHERE sequence = 3",
        """UPDATE billing.ledger_heads AS h SET sequence = 2, hash = l.hash FROM billing.ledger AS l
           WHERE l.account_id = h.account_id AND l.sequence = 2""",
    )
    assert "head_differs" in named(await again(house))


async def test_replicas_take_turns(house: Books, account: UUID) -> None:
    assert await house.minutely(every_seconds=60).once() is None, "somebody just did"
    async with audit(house.url) as session:
        assert session is not None
        assert await house.minutely(every_seconds=0.001).once() is None, "somebody does"


async def test_what_cannot_be_compared_is_kept_as_such_and_compared_later(
    house: Books, account: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    await house.bus.client.jsm().delete_consumer("REQUESTS", "quota_requests")
    report = await again(house)
    assert (report.result, report.differences) == ("not_comparable", ())
    assert any(record.message == "books not compared" for record in caplog.records)
    last = await house.store.reconciliations.last_compared()
    assert last is not None
    assert (last.result, last.through_sequence) == ("equal", 3)


async def test_the_running_service_compares_and_tells_metrics(fresh_database: FreshDatabase, nats_url: str) -> None:
    database = await fresh_database("quota", "billing")
    billing = Billing(database, nats_url, {"BILLING_RECONCILE_SECONDS": "0.3"})
    async with quota_here(database, nats_url), billing.running() as process, billing.bus() as bus:
        await settle(bus, a_settlement())

        async def metrics() -> dict[str, float]:
            _, body = await http_get(f"{process.health_url}/metrics")
            told = [line for line in body.decode().splitlines() if line.startswith("smartroute_reconciliation")]
            lines = [line.rpartition(" ") for line in told]
            return {name.partition("{")[0]: float(value) for name, _, value in lines}

        async def differ() -> bool:
            return (await metrics()).get("smartroute_reconciliation_differences") == 2

        assert await until(differ, within_seconds=15), await metrics()
        told = await metrics()
        assert 0 <= told["smartroute_reconciliation_age_seconds"] < 5
        assert told["smartroute_reconciliation_duration_seconds_count"] >= 1
        assert "books differ" in process.child.last_words(lines=400)
        code, out, _ = await billing.command("reconcile", "--last")
        assert (code, "differ: 2 differences" in out) == (1, True)
