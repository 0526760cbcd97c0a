"""Closed days are compared with the lines that they closed, with the day before, and with the key that signed them."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from billing.closing import close_days
from billing.domain.closes import Close, close_digest
from billing.domain.differences import Kind
from billing.reconcile import known_keys
from billing.signing import new_key
from contracts.outcomes import Outcome
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.books import Books, books, named

COMPLETED = Outcome.COMPLETED


@pytest_asyncio.fixture
async def house(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Books]:
    async with books(await fresh_database("quota", "billing"), nats_url) as opened:
        yield opened


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "close.pem")
    return tmp_path / "close.pem"


@pytest_asyncio.fixture
async def closed(house: Books, key: Path) -> list[Close]:
    """Three closed days: two lines on the first, none on the two others."""
    await house.spend(uuid4(), COMPLETED, Outcome.EMPTY)
    await house.billing.wait_for_lines(2)
    await house.backdate(days=3)
    return await close_days(house.store.closes, key)


async def test_closed_days_that_nobody_touched_are_equal(house: Books, key: Path, closed: list[Close]) -> None:
    report = await house.compare(keys=known_keys(key))
    assert (report.result, report.notes, report.figures["closes"]) == ("equal", [], 3)


async def test_a_key_that_is_not_known_is_said(house: Books, closed: list[Close]) -> None:
    report = await house.compare()
    assert report.result == "equal"
    assert report.notes == [f"closes are signed with keys that are not known here: {closed[0].key_id}"]


@pytest.mark.parametrize(
    ("tampering", "day", "kinds"),
    [
        ("UPDATE billing.closes SET lines = 3 WHERE day = '{0}'", 0, ["close_differs", "close_forged"]),
        (
            "UPDATE billing.closes SET totals = jsonb_set(totals, '{{prompts}}', '0') WHERE day = '{0}'",
            0,
            ["close_differs", "close_forged"],
        ),
        ("UPDATE billing.closes SET lines_digest = '00' WHERE day = '{0}'", 0, ["close_differs", "close_forged"]),
        ("UPDATE billing.closes SET signature = repeat('0', 128) WHERE day = '{0}'", 1, ["close_forged"]),
        (
            "UPDATE billing.closes SET closed_at = closed_at + interval '1 second' WHERE day = '{0}'",
            2,
            ["close_forged"],
        ),
    ],
)
async def test_a_forged_close_is_named_with_its_day(
    house: Books, key: Path, closed: list[Close], tampering: str, day: int, kinds: list[str]
) -> None:
    await house.tamper(tampering.format(closed[day].day))
    report = await house.compare(keys=known_keys(key))
    assert named(report) == kinds
    assert {each.day for each in report.differences} == {closed[day].day}


async def test_a_close_that_was_made_anew_has_no_signature_of_ours_and_breaks_the_link(
    house: Books, key: Path, closed: list[Close]
) -> None:
    first = closed[0]
    forged = Close(
        first.day,
        first.lines,
        first.totals,
        first.lines_digest,
        hashlib.sha256(b"elsewhere").hexdigest(),
        "",
        first.signature,
        first.key_id,
        first.closed_at,
    )
    digest = close_digest(forged)
    await house.tamper(
        f"UPDATE billing.closes SET previous_digest = '{forged.previous_digest}', digest = '{digest}'"
        f" WHERE day = '{first.day}'"
    )
    report = await house.compare(keys=known_keys(key))
    assert [(each.kind, each.day) for each in report.differences] == [
        (Kind.CLOSE_LINK_BROKEN, first.day),
        (Kind.CLOSE_FORGED, first.day),
        (Kind.CLOSE_LINK_BROKEN, closed[1].day),
    ]


async def test_a_close_that_was_deleted_is_named(house: Books, key: Path, closed: list[Close]) -> None:
    await house.tamper(f"DELETE FROM billing.closes WHERE day = '{closed[1].day}'")
    report = await house.compare(keys=known_keys(key))
    assert [(each.kind, each.day) for each in report.differences] == [
        (Kind.CLOSE_MISSING, closed[1].day),
        (Kind.CLOSE_LINK_BROKEN, closed[2].day),
    ]


async def test_a_changed_line_of_a_closed_day_is_named_by_its_close_too(
    house: Books, key: Path, closed: list[Close]
) -> None:
    await house.tamper("UPDATE billing.ledger SET input_tokens = 12 WHERE sequence = 2")
    report = await house.compare(keys=known_keys(key))
    assert named(report) == ["close_differs", "hash_differs", "line_differs"]
    (found,) = (each for each in report.differences if each.kind is Kind.CLOSE_DIFFERS)
    assert found.day == closed[0].day
    assert "tokens" in str(found.figures["totals_that_differ"])


async def test_only_the_close_of_the_day_that_was_asked_for_is_added_up_again(
    house: Books, key: Path, closed: list[Close]
) -> None:
    await house.tamper(f"UPDATE billing.closes SET lines = 3 WHERE day = '{closed[0].day}'")
    assert (await house.compare(day=closed[1].day, keys=known_keys(key))).figures["closes"] == 1
    assert named(await house.compare(day=closed[0].day, keys=known_keys(key))) == ["close_differs", "close_forged"]


async def test_a_new_close_is_compared_within_the_minute_and_once(house: Books, closed: list[Close]) -> None:
    first = await house.minutely(every_seconds=0.001).once()
    second = await house.minutely(every_seconds=0.001).once()
    assert first is not None
    assert second is not None
    assert (first.figures["closes"], second.figures["closes"]) == (3, 0)
    assert first.result == "equal"
