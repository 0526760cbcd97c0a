"""Sign-up, sign-in and sign-out as visitors see them, against a gateway that runs."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from devstack.pytest_plugin import Databases
from tests.service.gateway.portal_house import PASSWORD, PortalHouse, portal_house, secret_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[PortalHouse]:
    async with portal_house(databases) as running:
        yield running


async def test_a_visitor_signs_up_follows_the_link_and_is_signed_in(house: PortalHouse) -> None:
    browser = await house.signed_up("ada@example.com")
    page = await browser.get("/account")
    assert page.status_code == 200
    assert "ada@example.com" in page.text
    async with house.users() as users:
        user = await users.by_email("ada@example.com")
    async with house.gateway.store() as store:
        account = await store.find_account("ada@example.com")
    assert user is not None
    assert account is not None
    assert (account.account_id, account.plan) == (user.account_id, None)
    assert account.announced_at is not None, "told at once, because its plan is to be seen now"


async def test_a_sign_up_link_works_once(house: PortalHouse) -> None:
    await house.signed_up("once@example.com")
    link = await house.link_to("once@example.com")
    again = await house.browser().get(link)
    assert again.status_code == 410
    assert "not good any more" in again.text
    posted = await house.browser().submit(link, secret_of(link), page="/sign-in")
    assert posted.status_code == 410
