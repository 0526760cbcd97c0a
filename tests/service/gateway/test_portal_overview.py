"""The overview and the receipts of requests: the figures of the interface, for their own reader, whatever is away."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from contracts.billing import DayActivity, ReadActivity, ReadReceipt
from contracts.gateway import TokenUsage
from contracts.outcomes import Outcome
from devstack.pytest_plugin import Databases
from gateway import accounts
from gateway.auth import SCOPES
from tests.service.gateway.portal_house import PortalHouse, portal_house, without_secrets
from tests.service.gateway.portal_peers import a_reader, a_receipt, peers

pytestmark = pytest.mark.asyncio(loop_scope="module")

_CHART = re.compile(r'<script type="application/json" id="chart-figures">(.*?)</script>', re.DOTALL)
_ROW = re.compile(r"<tr>(.*?)</tr>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[PortalHouse]:
    async with portal_house(databases) as running:
        yield running


async def a_token(house: PortalHouse, account_id: UUID) -> str:
    async with house.gateway.store() as store:
        account = await store.find_account(str(account_id))
        assert account is not None
        secret, _ = await accounts.issue_token(store, account, name="test", scopes=SCOPES)
        return secret


def words_of(page: str) -> str:
    """What a reader sees, with single spaces."""
    return " ".join(unescape(_TAG.sub(" ", page)).split())


def rows_of(page: str, *, below: str) -> list[str]:
    """The rows of the first table after a heading."""
    table = page.partition(below)[2].partition("<tbody>")[2].partition("</tbody>")[0]
    return [words_of(row) for row in _ROW.findall(table)]


async def test_the_figures_are_those_of_the_usage_endpoint(house: PortalHouse) -> None:
    browser, account_id = await a_reader(house)
    async with peers(house) as told, house.process.client(await a_token(house, account_id)) as client:
        told.used, told.granted = 37, 5
        page = words_of((await browser.get("/overview")).text)
        usage = (await client.get("/v1/usage")).json()
    assert f"{usage['daily']['remaining']} of {usage['daily']['limit']} left" in page
    assert f"{usage['monthly']['remaining']} of 1,000 left" in page
    assert f"{usage['daily']['used']} used · resets 29 Nov 2026, 12:00 UTC" in page
    assert "5 of today's prompts are extra prompts." in page
    assert usage["alias"] in page


async def test_the_chart_and_its_table_have_the_same_figures(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    today = datetime.now(UTC).date()
    async with peers(house) as told:
        told.days = [
            DayActivity(day=today - timedelta(days=2), result=Outcome.COMPLETED, requests=3, prompts=3),
            DayActivity(day=today - timedelta(days=2), result=Outcome.EMPTY, requests=2, prompts=0),
            DayActivity(day=today, result=Outcome.CONTINUATION, requests=1400, prompts=0),
        ]
        page = (await browser.get("/overview")).text
        asked = told.asks(ReadActivity)
    figures = json.loads(_CHART.search(page).group(1))  # type: ignore[union-attr]
    assert (len(figures["days"]), figures["days"][-1]) == (30, today.isoformat())
    assert figures["prompts"][-3:] == [3, 0, 0]
    assert [each["name"] for each in figures["outcomes"]] == ["completed", "continuation", "empty"]
    assert [each["requests"][-3:] for each in figures["outcomes"]] == [[3, 0, 0], [0, 0, 1400], [2, 0, 0]]
    rows = rows_of(page, below="The same figures as a table")
    assert [row.partition(" 20")[2][3:] for row in rows] == ["0 1,400 0 1,400 0", "3 5 3 0 2"]
    assert "3 prompts for 1,405 requests" in words_of(page)
    assert (asked[0].since, asked[0].limit) == (today - timedelta(days=29), 20)


async def test_scripts_come_with_the_nonce_and_figures_are_not_run(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.days = [DayActivity(day=datetime.now(UTC).date(), result=Outcome.COMPLETED, requests=1, prompts=1)]
        response = await browser.get("/overview")
    nonce = re.search(r"'nonce-([^']+)'", response.headers["content-security-policy"])
    assert nonce is not None
    run = [tag for tag in re.findall(r"<script[^>]*>", response.text) if "application/json" not in tag]
    assert len(run) == 3
    assert all(f'nonce="{nonce.group(1)}"' in tag for tag in run)


async def test_each_recent_request_says_what_its_receipt_says(house: PortalHouse) -> None:
    browser, account_id = await a_reader(house)
    async with peers(house) as told:
        told.receipts = [
            a_receipt(account_id, ledger_sequence=9),
            a_receipt(account_id, ledger_sequence=8, result=Outcome.CONTINUATION, prompts=0, call=2),
            a_receipt(account_id, ledger_sequence=7, credited_prompts=1, tokens=TokenUsage(), is_stream=False),
        ]
        page = (await browser.get("/overview")).text
    first, second, third = rows_of(page, below='id="requests"')
    assert "Completed 1 smart-route-deep → served by smart-route-mini chat/completions streamed 1,234, 567" in first
    assert first.endswith("412 ms, 1.8 s")
    assert "Continuation free" in second
    assert "1 given back" in third
    assert "not told" in third
    assert page.index(f"/overview/requests/{told.receipts[0].request_id}") < page.index(
        f"/overview/requests/{told.receipts[1].request_id}"
    )


async def test_earlier_requests_are_a_page_away(house: PortalHouse) -> None:
    browser, account_id = await a_reader(house)
    async with peers(house) as told:
        told.receipts = [a_receipt(account_id, ledger_sequence=sequence) for sequence in (9, 8)]
        told.more_before = 9
        first = (await browser.get("/overview")).text
        told.more_before = None
        second = (await browser.get("/overview?before=9")).text
        asked = [each.before for each in told.asks(ReadActivity)]
    assert '"/overview?before=9#requests"' in first
    assert asked == [None, 9]
    assert str(told.receipts[1].request_id) in second
    assert str(told.receipts[0].request_id) not in second
    assert "before=" not in second


@pytest.mark.parametrize("before", ["0", "-1", "x", "", str(2**63), "9;DROP"])
async def test_a_place_that_cannot_be_is_no_page(house: PortalHouse, before: str) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        assert (await browser.get(f"/overview?before={before}")).status_code == 404
        assert told.asks(ReadActivity) == []


async def test_a_receipt_page_says_everything_that_the_interface_says(house: PortalHouse) -> None:
    browser, account_id = await a_reader(house)
    async with peers(house) as told, house.process.client(await a_token(house, account_id)) as client:
        told.receipts = [a_receipt(account_id, credited_prompts=1, error_code="upstream_broken")]
        request_id = told.receipts[0].request_id
        receipt = (await client.get(f"/v1/receipts/{request_id}")).json()
        text = (await browser.get(f"/overview/requests/{request_id}")).text
    page = words_of(text)
    plain = ("request_id", "outcome", "reason", "model_asked", "model_served", "endpoint", "error_code", "trace_id")
    assert [name for name in plain if str(receipt[name]) not in page] == []
    assert receipt["ledger"]["hash"] in page
    assert receipt["turn"]["id"] in page
    shown = (
        "Completed 1 prompt",
        "Later 1 was given back",
        "Call 1 of at most 50",
        "Input 1,234 (200 from a cache) Output 567 (89 for reasoning)",
        "Admitted 3 ms First word 412 ms In all 1,835 ms",
        "Day 188 of 200 left",
        "Month 988 of 1,000 left",
        "choice 2 of 3, of 5 that were considered",
        "22 Nov 2026, 12:00 UTC",
        "Plan Free",
    )
    assert [said for said in shown if said not in page] == []
    assert f"/v1/receipts/{request_id}" in page


@pytest.mark.parametrize("path", ["unknown", "malformed", "oddly spelled", "foreign"])
async def test_unknown_malformed_and_foreign_receipts_are_one_page(house: PortalHouse, path: str) -> None:
    browser, _ = await a_reader(house)
    foreign = a_receipt(uuid4())
    named = {
        "unknown": str(uuid4()),
        "malformed": "x",
        "oddly spelled": uuid4().hex,
        "foreign": str(foreign.request_id),
    }
    async with peers(house) as told:
        told.receipts = [foreign]
        response = await browser.get(f"/overview/requests/{named[path]}")
        nothing = await browser.get("/overview/nothing")
    assert response.status_code == 404
    assert without_secrets(response.text) == without_secrets(nothing.text)


async def test_a_receipt_is_asked_for_under_the_readers_own_account(house: PortalHouse) -> None:
    browser, account_id = await a_reader(house)
    async with peers(house) as told:
        await browser.get(f"/overview/requests/{uuid4()}")
        assert {each.account_id for each in told.asks(ReadReceipt)} == {account_id}


async def test_what_others_chose_is_text(house: PortalHouse) -> None:
    browser, account_id = await a_reader(house)
    evil = "<script>alert(1)</script>"
    async with peers(house) as told:
        told.receipts = [a_receipt(account_id, alias_asked=evil, endpoint=evil, error_code=evil, trace_id=evil)]
        pages = [
            (await browser.get("/overview")).text,
            (await browser.get(f"/overview/requests/{told.receipts[0].request_id}")).text,
        ]
    assert all("<script>alert" not in page and "&lt;script&gt;alert" in page for page in pages)


async def test_without_billing_what_is_left_is_shown_and_the_rest_is_excused(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.is_broken = True
        response = await browser.get("/overview")
    assert response.status_code == 200
    assert "188 of 200 left" in words_of(response.text)
    assert "Your activity cannot be shown just now" in response.text
    assert "chart-figures" not in response.text


async def test_with_everything_away_the_overview_is_a_page_and_a_receipt_is_a_503(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    response = await browser.get("/overview")
    receipt = await browser.get(f"/overview/requests/{uuid4()}")
    assert response.status_code == 200
    assert "cannot be shown just now" in response.text
    assert (receipt.status_code, receipt.headers["retry-after"]) == (503, "2")


async def test_a_plan_without_limits_has_no_pace_and_nobody_counts_down(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.plan, told.limits = "unlimited", (None, None)
        page = words_of((await browser.get("/overview")).text)
    assert page.count("No limit") == 2
    assert "pace" not in page


async def test_who_has_done_nothing_is_shown_where_to_begin(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house):
        page = (await browser.get("/overview")).text
    assert "There were no requests." in page
    assert "chart-figures" not in page


@pytest.mark.parametrize("path", ["/overview?before=7", f"/overview/requests/{UUID(int=1)}"])
async def test_who_is_not_signed_in_signs_in_first_and_comes_back(house: PortalHouse, path: str) -> None:
    response = await house.browser().get(path)
    assert response.status_code == 303
    assert unescape(response.headers["location"]).startswith("/sign-in?next=/overview")
