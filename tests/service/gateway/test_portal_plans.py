"""Plans and the way to a larger one, and what Stripe posts to us: as visitors and Stripe see it."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio

from contracts.billing import (
    PaymentNotice,
    ReadSubscription,
    RequestUpgrade,
    UpcomingPlan,
    UpgradeRefused,
    WithdrawUpgrade,
)
from devstack.pytest_plugin import Databases
from tests.service.gateway.portal_house import PUBLIC_URL, Browser, PortalHouse, portal_house
from tests.service.gateway.portal_peers import BEGAN, a_reader, an_upgrade, peers

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANS = ("Free", "Plus", "Business", "Pro", "Ultimate", "Max", "Unlimited")
SIGNATURE = "t=1,v1=abc"
_BUTTON = re.compile(r"<(?:button|a)[^>]*>(Ask for [^<]*)<")
_WISH = re.compile(r'name="wish" value="([^"]+)-pro"')
_UPGRADE = re.compile(r'name="upgrade" value="([^"]+)"')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[PortalHouse]:
    async with portal_house(databases) as running:
        yield running


def card(page: str, plan: str) -> str:
    return page.partition(f'id="{plan}">')[2].partition("</li>")[0]


async def post_notice(house: PortalHouse, body: bytes, *, signature: str | None = SIGNATURE) -> httpx.Response:
    """As Stripe does: no cookie, no origin."""
    headers = {"content-type": "application/json", **({"stripe-signature": signature} if signature else {})}
    async with house.process.client() as client:
        return await client.post("/webhooks/stripe", content=body, headers=headers)


async def noted(browser: Browser) -> httpx.Response:
    page = (await browser.get("/plans")).text
    return await browser.post("/plans/noted", {"upgrade": _UPGRADE.findall(page)[0]})


async def test_who_is_not_signed_in_compares_the_plans_and_may_sign_up(house: PortalHouse) -> None:
    page = (await house.browser().get("/plans")).text
    assert re.findall(r"<h2>(\w+)</h2>", page) == list(PLANS)
    assert page.count('href="/sign-up"') >= len(PLANS)
    assert "<form" not in page
    assert "Your plan" not in page
    pro = card(page, "pro")
    for said in ("Deep reasoning", "smart-route-deep", "Heavier generation", "3,000", "30,000", "300", "50"):
        assert said in pro


async def test_the_readers_plan_is_marked_and_only_larger_ones_can_be_asked_for(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.plan = "pro"
        page = (await browser.get("/plans")).text
    assert "Your plan</span>" in card(page, "pro")
    assert page.count("Your plan</span>") == 1
    assert _BUTTON.findall(page) == ["Ask for Ultimate", "Ask for Max", "Ask for Unlimited"]


async def test_a_plan_is_asked_for_shown_and_withdrawn(house: PortalHouse) -> None:
    browser, account_id = await a_reader(house)
    async with peers(house) as told:
        asked = await browser.submit("/plans/upgrade", {"plan": "pro", "wish": "w-pro"}, page="/plans")
        page = (await browser.get("/plans")).text
        wish = told.upgrade
        assert wish is not None
        withdrawn = await browser.post("/plans/withdraw", {"upgrade": str(wish.upgrade_id)})
        after = (await browser.get("/plans")).text
        (request,) = told.asks(RequestUpgrade)
        (withdrawal,) = told.asks(WithdrawUpgrade)
    assert (asked.status_code, asked.headers["location"]) == (303, "/plans")
    assert (request.account_id, request.plan, request.return_url) == (account_id, "pro", f"{PUBLIC_URL}/plans")
    assert request.email.endswith("@example.com")
    assert "You asked for Pro" in page
    assert "Our staff decides" in page
    assert "Asked for</span>" in card(page, "pro")
    assert "Ask for Pro" not in page
    assert (withdrawn.status_code, withdrawn.headers["location"]) == (303, "/plans")
    assert (withdrawal.account_id, withdrawal.upgrade_id) == (account_id, wish.upgrade_id)
    assert "You asked for" not in after
    assert "Ask for Pro" in after


async def test_a_form_that_is_sent_twice_is_one_wish_and_another_page_is_another(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    other, _ = await a_reader(house)
    async with peers(house) as told:
        wishes = []
        for _attempt in range(2):
            told.upgrade = None
            wishes.append(_WISH.findall((await browser.get("/plans")).text)[0])
        for wish in (wishes[0], wishes[0], wishes[1]):
            await browser.post("/plans/upgrade", {"plan": "pro", "wish": wish})
        await other.submit("/plans/upgrade", {"plan": "pro", "wish": wishes[0]}, page="/plans")
        first, again, second, foreign = (each.upgrade_id for each in told.asks(RequestUpgrade))
    assert first == again
    assert len({first, second, foreign}) == 3, "a wish can be named by who does not have it"


async def test_a_wish_that_is_paid_leads_to_its_payment_page_by_a_link(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.payment, told.payment_url = "stripe", "https://pay.example/c?a=1&b=2"
        asked = await browser.submit("/plans/upgrade", {"plan": "pro", "wish": "w"}, page="/plans")
        page = (await browser.get(asked.headers["location"])).text
        plans = (await browser.get("/plans?payment=cancelled")).text
    assert (asked.status_code, asked.headers["location"]) == (303, "/plans/payment")
    link = re.search(r'<a class="button" href="([^"]+)" rel="noreferrer">Continue to payment</a>', page)
    assert link is not None
    assert unescape(link.group(1)) == "https://pay.example/c?a=1&b=2"
    assert "Nothing was paid." in plans
    assert 'href="/plans/payment"' in plans


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://pay.example/", "//pay.example/"])
async def test_nobody_is_led_to_a_payment_page_that_is_none(house: PortalHouse, url: str) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.payment, told.upgrade = "stripe", an_upgrade("pro", payment_url=url)
        payment = await browser.get("/plans/payment")
        page = (await browser.get("/plans")).text
    assert (payment.status_code, payment.headers["location"]) == (303, "/plans")
    assert url not in page
    assert "payment page cannot be shown just now" in " ".join(page.split())


async def test_a_payment_is_waited_for_until_the_plan_has_changed(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.payment, told.upgrade = "stripe", an_upgrade("pro", payment_url="https://pay.example/")
        page = (await browser.get("/plans?payment=done")).text
        mark = unescape(re.findall(r'data-mark="([^"]+)"', page)[0])
        before = (await browser.get("/plans/standing")).json()
        told.upgrade = told.upgrade.model_copy(update={"state": "approved", "decided_at": datetime.now(UTC)})
        told.plan, told.counted_plan = "pro", "free"
        half = await browser.get("/plans?payment=done")
        told.counted_plan = None
        after = (await browser.get("/plans/standing")).json()
        done = (await browser.get("/plans")).text
    assert "Your payment is being confirmed" in page
    assert before == {"mark": mark}
    assert after["mark"] != mark
    assert "Your new plan is taking effect" in half.text
    assert "data-mark" in half.text
    assert "You are on Pro now" in done
    assert "data-mark" not in done
    assert "Your plan</span>" in card(done, "pro")


async def test_the_waiting_script_is_told_nothing_while_somebody_is_away(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    assert (await browser.get("/plans/standing")).status_code == 503


async def test_a_decision_is_told_with_its_reason_until_it_is_noted(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.upgrade = an_upgrade("max", state="declined", reason="<b>no</b>", decided_at=datetime.now(UTC))
        first = (await browser.get("/plans")).text
        again = (await browser.get("/plans")).text
        seen = await noted(browser)
        after = (await browser.get("/plans")).text
        told.upgrade = an_upgrade("max", state="declined", reason="still no", decided_at=datetime.now(UTC))
        another = (await browser.get("/plans")).text
    assert "Max was not granted" in first
    assert "&lt;b&gt;no&lt;/b&gt;" in first
    assert "Max was not granted" in again
    assert seen.status_code == 303
    assert "Max was not granted" not in after
    assert "still no" in another


async def test_old_and_overtaken_decisions_are_not_told(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        old = datetime.now(UTC) - timedelta(days=15)
        told.upgrade = an_upgrade("max", state="declined", decided_at=old)
        first = (await browser.get("/plans")).text
        told.upgrade = an_upgrade("max", state="approved", decided_at=datetime.now(UTC))
        second = (await browser.get("/plans")).text
        told.upcoming = (UpcomingPlan(plan="max", effective_at=BEGAN + timedelta(days=30)),)
        third = (await browser.get("/plans")).text
    assert "was not granted" not in first
    assert "You are on" not in second
    assert "is coming" not in second
    assert "Max is coming" in third
    assert "Max from <time" in third


@pytest.mark.parametrize("reason", ["not_larger", "not_for_sale", "unknown_account", "payment_unavailable"])
async def test_a_refusal_is_told_in_words(house: PortalHouse, reason: str) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.refusal = UpgradeRefused.model_validate({"reason": reason})
        response = await browser.submit("/plans/upgrade", {"plan": "pro"}, page="/plans")
    assert response.status_code == 409
    assert "That did not work" in response.text
    assert reason not in response.text


async def test_a_plan_that_there_is_not_is_nobodys_question(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        response = await browser.submit("/plans/upgrade", {"plan": "gold"}, page="/plans")
        assert told.asks(RequestUpgrade) == []
    assert (response.status_code, "There is no such plan." in response.text) == (409, True)


async def test_a_wish_of_another_account_cannot_be_withdrawn(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house):
        foreign = await browser.submit("/plans/withdraw", {"upgrade": str(uuid4())}, page="/plans")
        malformed = await browser.post("/plans/withdraw", {"upgrade": "x"})
    assert (foreign.status_code, malformed.status_code) == (404, 404)


async def test_a_wish_that_is_being_paid_stays(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.upgrade, told.withdrawable = an_upgrade("pro"), False
        response = await browser.submit("/plans/withdraw", {"upgrade": str(told.upgrade.upgrade_id)}, page="/plans")
    assert response.status_code == 409
    assert "being paid" in response.text


@pytest.mark.parametrize("path", ["/plans/upgrade", "/plans/withdraw", "/plans/noted"])
async def test_only_a_form_of_ours_changes_anything(house: PortalHouse, path: str) -> None:
    browser, _ = await a_reader(house)
    fields = {"plan": "pro", "wish": "w", "upgrade": str(UUID(int=1))}
    async with peers(house) as told:
        await browser.get("/plans")
        unbound = await browser.post(path, fields, csrf="")
        elsewhere = await browser.post(path, fields, headers={"origin": "https://evil.example"})
        read = await browser.get(path)
        anonymous = await house.browser().submit(path, fields, page="/sign-in")
        assert [each for each in told.asked if not isinstance(each, ReadSubscription)] == []
    assert (unbound.status_code, elsewhere.status_code, read.status_code) == (403, 403, 405)
    assert anonymous.headers["location"].startswith("/sign-in")


async def test_a_larger_plan_needs_a_proof_of_who_asks_that_is_not_old(house: PortalHouse) -> None:
    browser, account_id = await a_reader(house)
    async with peers(house) as told:
        await browser.get("/plans")
        async with await psycopg.AsyncConnection.connect(house.gateway.database.admin_url) as connection:
            await connection.execute(
                """UPDATE gateway.sessions SET authenticated_at = now() - interval '2 hours' FROM gateway.users
                WHERE users.user_id = sessions.user_id AND users.account_id = %s""",
                [account_id],
            )
        response = await browser.post("/plans/upgrade", {"plan": "pro", "wish": "w"})
        page = (await browser.get("/plans")).text
        assert told.asks(RequestUpgrade) == []
    assert response.headers["location"].startswith("/account/confirm")
    assert 'href="/account/confirm?next=/plans">Ask for Pro' in page


async def test_without_billing_plans_are_shown_and_nothing_is_changed(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.is_broken = True
        page = await browser.get("/plans")
        asked = await browser.post("/plans/upgrade", {"plan": "pro", "wish": "w"})
    nobody = await browser.get("/plans")
    assert page.status_code == nobody.status_code == 200
    assert "Plans cannot be changed just now" in page.text
    assert "Your plan</span>" in card(page.text, "free"), "quota still says which"
    assert _BUTTON.findall(page.text) == []
    assert asked.status_code == 503
    assert "Nothing was changed" in asked.text


async def test_an_account_that_billing_has_not_heard_of_waits(house: PortalHouse) -> None:
    browser, _ = await a_reader(house)
    async with peers(house) as told:
        told.has_subscription = False
        page = (await browser.get("/plans")).text
    assert "Your account is being set up" in page
    assert _BUTTON.findall(page) == []


async def test_what_stripe_posts_reaches_billing_as_it_came(house: PortalHouse) -> None:
    body = '{"id": "evt_1",  "name": "ä\\u0000"}\n'
    async with peers(house) as told:
        response = await post_notice(house, body.encode())
        (notice,) = told.asks(PaymentNotice)
    assert (response.status_code, response.content) == (200, b"")
    assert (notice.provider, notice.body, notice.signature) == ("stripe", body, SIGNATURE)


async def test_a_notice_that_is_not_genuine_is_refused_and_not_repeated(house: PortalHouse) -> None:
    async with peers(house) as told:
        told.takes_notices = False
        response = await post_notice(house, b'{"canary": 1}')
    assert (response.status_code, response.content) == (400, b"")
    assert "canary" not in house.process.child.program.log.read_text()


@pytest.mark.parametrize(
    ("body", "signature", "status"),
    [(b"{}", None, 400), (b"\xff\xfe", SIGNATURE, 400), (b"x" * (256 * 1024 + 1), SIGNATURE, 413)],
)
async def test_what_cannot_be_a_notice_is_not_handed_on(
    house: PortalHouse, body: bytes, signature: str | None, status: int
) -> None:
    async with peers(house) as told:
        response = await post_notice(house, body, signature=signature)
        assert told.asks(PaymentNotice) == []
    assert (response.status_code, response.content) == (status, b"")


async def test_a_notice_that_billing_cannot_take_now_is_to_be_sent_again(house: PortalHouse) -> None:
    away = await post_notice(house, b"{}")
    async with peers(house) as told:
        told.is_broken = True
        broken = await post_notice(house, b"{}")
    for response in (away, broken):
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1


async def test_the_address_for_notices_is_no_page(house: PortalHouse) -> None:
    async with house.process.client() as client:
        assert (await client.get("/webhooks/stripe")).status_code == 405
        assert (await client.post("/webhooks/other", content=b"{}")).status_code == 404
