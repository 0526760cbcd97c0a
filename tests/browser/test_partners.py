"""Pages that are there only with others: with a provider of identities, and with a payment page.

Both are real processes, and a visitor comes to them and back as a customer does, by links alone.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from devstack.ports import free_port
from devstack.settings import Choices
from tests.browser import accessibility, budgets, house
from tests.browser.conftest import OpenVisit
from tests.browser.house import House
from tests.browser.screenshots import Album
from tests.browser.visit import Scheme, Visit
from tests.service.billing.stripe_process import Stripe, stripe_running
from tests.service.gateway.oidc_house import NAME, ProviderProcess, provider_process

# A page that waits for a decision looks for it every second or two.
BY_ITSELF_MS = 15_000
SCHEMES: dict[str, Scheme] = {"desktop": "light", "telephone": "dark"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Partners:
    """A stack, and those that it sends people to."""

    house: House
    identities: ProviderProcess
    stripe: Stripe

    @property
    def origins(self) -> tuple[str, ...]:
        return (self.identities.issuer, self.stripe.origin)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def partners(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Partners]:
    # Where people are sent back to is agreed on with the provider before the stack starts.
    port = free_port()
    choices = Choices(tmp_path_factory.mktemp("choices"), port=port)
    async with provider_process(f"http://127.0.0.1:{port}") as identities, stripe_running() as stripe:
        told = {**identities.settings, **stripe.settings}
        async with house.opened(environment=told, choices=choices) as opened:
            await stripe.post_notices_to(f"{opened.origin}/webhooks/stripe")
            yield Partners(opened, identities, stripe)


async def _looked_at(seen: Visit, name: str, album: Album) -> None:
    """On each screen, in the scheme that a plain page is looked at there."""
    await expect(seen.page.get_by_role("heading", level=1)).to_have_count(1)
    await budgets.stays_put(seen.page)
    async for screen in album.add_state(seen.page, name):
        await seen.page.emulate_media(color_scheme=SCHEMES[screen])
        await budgets.fits(seen.page)
        await accessibility.axe(seen.page, is_known=screen != "desktop")
    await seen.page.emulate_media(color_scheme="light")
    await accessibility.keyboard(seen.page)


async def test_an_account_is_connected_with_a_provider_by_its_owner(
    partners: Partners, browser: Browser, new_visit: OpenVisit, album: Album
) -> None:
    member = await house.new_member(browser, partners.house.stack)
    await partners.identities.will("none", sub="sub-ada", email=member.email, email_verified=True)
    seen = await new_visit(partners.house.origin, partners=partners.origins)
    main = seen.page.get_by_role("main")

    await seen.go("/sign-in")
    await _looked_at(seen, "sign-in-provider", album)
    await main.get_by_role("link", name=f"Sign in with {NAME}").click()
    await expect(main).to_contain_text("There is an account with")
    await _looked_at(seen, "account-known", album)

    await main.get_by_role("link", name="Sign in and connect").click()
    await seen.page.get_by_label("E-mail").fill(member.email)
    await seen.page.get_by_label("Password").fill(house.PASSWORD)
    await main.get_by_role("button", name="Sign in").click()
    await seen.page.wait_for_url("**/sign-in/oidc/connect")
    await _looked_at(seen, "connect", album)

    await main.get_by_role("button", name=f"Connect {NAME}").click()
    await seen.page.wait_for_url("**/account")
    fresh = await new_visit(partners.house.origin, partners=partners.origins)
    await fresh.go("/sign-in")
    await fresh.page.get_by_role("link", name=f"Sign in with {NAME}").click()
    await fresh.page.wait_for_url("**/overview")


async def test_an_account_page_offers_to_connect_the_provider(
    partners: Partners, browser: Browser, new_visit: OpenVisit, album: Album
) -> None:
    member = await house.new_member(browser, partners.house.stack)
    await partners.identities.will("none", sub="sub-grace", email=member.email, email_verified=True)
    seen = await new_visit(partners.house.origin, storage_state=member.state, partners=partners.origins)
    await seen.go("/account")
    await _looked_at(seen, "account-provider", album)
    await seen.page.get_by_role("link", name=f"Connect {NAME}").click()
    await seen.page.wait_for_url("**/sign-in/oidc/connect")


async def test_who_stops_at_the_provider_is_told_calmly(partners: Partners, new_visit: OpenVisit, album: Album) -> None:
    await partners.identities.will("cancelled", sub="sub-no", email="no@customer.example", email_verified=True)
    seen = await new_visit(partners.house.origin, partners=partners.origins)
    await seen.go("/sign-in")
    await seen.page.get_by_role("link", name=f"Sign in with {NAME}").click()
    await expect(seen.page.get_by_role("main")).to_contain_text("Nothing was changed")
    await _looked_at(seen, "sign-in-stopped", album)
    await seen.page.get_by_role("link", name="To the sign-in page").click()
    await seen.page.wait_for_url("**/sign-in")


async def test_a_larger_plan_is_paid_on_another_page_and_waited_for_on_ours(
    partners: Partners, browser: Browser, new_visit: OpenVisit, album: Album
) -> None:
    member = await house.new_member(browser, partners.house.stack)
    seen = await new_visit(partners.house.origin, storage_state=member.state, partners=partners.origins)
    ask = seen.page.get_by_role("button", name="Ask for Plus")
    await seen.go("/plans")
    await house.reloaded_until(seen, ask)
    await ask.click()
    await seen.page.wait_for_url("**/plans/payment")
    await _looked_at(seen, "payment", album)

    await seen.page.get_by_role("link", name="Continue to payment").click()
    await seen.page.wait_for_url(f"{partners.stripe.origin}/**")
    payment = seen.page.url
    # A customer who pays by bank: the money comes when the test says so.
    await seen.page.goto(f"{payment}?slowly")
    await seen.page.get_by_role("button", name="Pay").click()
    await seen.page.wait_for_url("**/plans?payment=done")
    await expect(seen.page.get_by_role("status")).to_contain_text("Your payment is being confirmed")
    await _looked_at(seen, "payment-confirmed", album)

    await partners.stripe.arrive(payment.rpartition("/")[2], "succeeded")
    # The page that was left open shows it by itself.
    await expect(seen.page.locator("#plus")).to_contain_text("Your plan", timeout=BY_ITSELF_MS)
