"""Sign-in at an OpenID provider as users see it, with a real provider: accounts stay their owners'."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from devstack.pytest_plugin import Databases
from gateway.portal.identity.joining import COOKIE as PENDING_COOKIE
from tests.service.gateway.oidc_house import CALLBACK, NAME, OidcHouse, oidc_house, query_of
from tests.service.gateway.portal_house import PASSWORD, portal_house

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[OidcHouse]:
    async with oidc_house(databases) as running:
        yield running


async def test_a_first_sign_in_opens_an_account_and_a_second_one_finds_it(house: OidcHouse) -> None:
    await house.provider.will(sub="sub-ada", email="Ada@Example.com", email_verified=True)
    first = house.portal.browser()
    opened = await house.visit(first)
    assert (opened.status_code, opened.headers["location"]) == (303, "/overview")
    assert "ada@example.com" in (await first.get("/account")).text
    async with house.portal.gateway.store() as store:
        account = await store.find_account("ada@example.com")
    assert account is not None
    assert account.plan is None
    assert account.announced_at is not None
    # An e-mail that has changed at the provider changes nothing: who it is, is the subject.
    await house.provider.will(sub="sub-ada", email="ada.lovelace@example.com", email_verified=True)
    second = house.portal.browser()
    assert (await house.visit(second, to="/tokens")).headers["location"] == "/tokens"
    assert "ada@example.com" in (await second.get("/account")).text


async def test_the_provider_is_asked_for_a_code_with_a_proof_key_a_state_and_a_nonce(house: OidcHouse) -> None:
    asked = query_of(await house.asked(house.portal.browser()))
    again = query_of(await house.asked(house.portal.browser()))
    assert (asked["response_type"], asked["scope"], asked["code_challenge_method"]) == ("code", "openid email", "S256")
    assert asked["redirect_uri"] == f"http://portal.example{CALLBACK}"
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[name]) == 43
        assert asked[name] != again[name]
    assert "max_age" not in asked


async def test_the_sign_in_page_names_the_provider_where_there_is_one(house: OidcHouse) -> None:
    assert f"Sign in with {NAME}" in (await house.portal.browser().get("/sign-in")).text


async def test_without_a_provider_there_is_no_such_page(databases: Databases) -> None:
    async with portal_house(databases) as portal:
        browser = portal.browser()
        for path in ("/sign-in/oidc", CALLBACK, "/sign-in/oidc/connect"):
            assert (await browser.get(path)).status_code == 404
        assert "/sign-in/oidc" not in (await browser.get("/sign-in")).text


async def test_a_session_after_the_way_back_is_a_new_one(house: OidcHouse) -> None:
    await house.provider.will(sub="sub-fix", email="fix@example.com", email_verified=True)
    browser = house.portal.browser()
    planted = "p" * 43
    browser.cookies["__Host-smartroute_session"] = planted
    await house.visit(browser)
    assert browser.session not in (None, planted)


async def test_next_leads_nowhere_else(house: OidcHouse) -> None:
    await house.provider.will(sub="sub-next", email="next@example.com", email_verified=True)
    done = await house.visit(house.portal.browser(), to="https://evil.example/")
    assert done.headers["location"] == "/overview"


async def test_an_account_with_the_same_e_mail_is_entered_only_after_its_user_has_connected_it(
    house: OidcHouse,
) -> None:
    owner = await house.portal.signed_up("grace@example.com")
    await house.provider.will(sub="sub-grace", email="grace@example.com", email_verified=True)
    stranger = house.portal.browser()
    stopped = await house.visit(stranger)
    assert stopped.status_code == 200
    assert "sign in with its password once" in stopped.text
    assert not await stranger.is_signed_in()

    # The same browser signs in with the password, and connects.
    done = await stranger.submit("/sign-in", {"email": "grace@example.com", "password": PASSWORD})
    assert done.status_code == 303
    connected = await stranger.submit("/sign-in/oidc/connect")
    assert (connected.status_code, connected.headers["location"]) == (303, "/account")
    told = await house.portal.mails.next_to("grace@example.com", after=1)
    assert told.subject == "A way to sign in was added"

    fresh = house.portal.browser()
    assert (await house.visit(fresh)).headers["location"] == "/overview"
    assert "grace@example.com" in (await fresh.get("/account")).text
    assert await owner.is_signed_in()


async def test_an_identity_is_not_connected_to_an_account_with_another_e_mail(house: OidcHouse) -> None:
    await house.portal.signed_up("victim@example.com")
    mallory = await house.portal.signed_up("mallory@example.com")
    await house.provider.will(sub="sub-victim", email="victim@example.com", email_verified=True)
    browser = house.portal.browser()
    assert (await house.visit(browser)).status_code == 200
    mallory.cookies[PENDING_COOKIE] = browser.cookies[PENDING_COOKIE]
    assert (await mallory.get("/sign-in/oidc/connect")).status_code == 403
    await mallory.get("/account")
    assert (await mallory.post("/sign-in/oidc/connect")).status_code == 403
    async with house.portal.users() as users:
        assert await users.by_subject(house.provider.issuer, "sub-victim") is None


async def test_an_account_that_is_connected_is_not_connected_to_somebody_else_with_its_e_mail(house: OidcHouse) -> None:
    await house.provider.will(sub="sub-first-owner", email="reused@example.com", email_verified=True)
    await house.visit(house.portal.browser())
    # The address was given to another person at the provider.
    await house.provider.will(sub="sub-second-owner", email="reused@example.com", email_verified=True)
    browser = house.portal.browser()
    assert (await house.visit(browser)).status_code == 200
    assert not await browser.is_signed_in()


async def test_connecting_takes_a_form_of_ours(house: OidcHouse) -> None:
    browser = await house.portal.signed_up("forms@example.com")
    await house.provider.will(sub="sub-forms", email="forms@example.com", email_verified=True)
    assert (await house.visit(browser)).headers["location"] == "/sign-in/oidc/connect"
    await browser.get("/sign-in/oidc/connect")
    assert (await browser.post("/sign-in/oidc/connect", csrf="")).status_code == 403
    async with house.portal.users() as users:
        assert await users.by_subject(house.provider.issuer, "sub-forms") is None
    assert (await browser.post("/sign-in/oidc/connect")).headers["location"] == "/account"


async def test_what_waits_to_be_connected_cannot_be_made_up(house: OidcHouse) -> None:
    browser = await house.portal.signed_up("made-up@example.com")
    await house.asked(browser)
    # A sealed cookie of another purpose is none of this one.
    browser.cookies[PENDING_COOKIE] = browser.cookies["__Host-smartroute_oidc"]
    assert (await browser.get("/sign-in/oidc/connect")).status_code == 410


@pytest.mark.parametrize(("verified", "fault"), [(False, "none"), (True, "e-mail verified as a text")])
async def test_an_e_mail_that_the_provider_does_not_vouch_for_opens_nothing(
    house: OidcHouse, verified: bool, fault: str
) -> None:
    await house.provider.will(fault, sub="sub-unverified", email="unverified@example.com", email_verified=verified)
    browser = house.portal.browser()
    stopped = await house.visit(browser)
    assert stopped.status_code == 403
    assert "has not confirmed your e-mail address" in stopped.text
    assert not await browser.is_signed_in()
    async with house.portal.users() as users:
        assert await users.by_email("unverified@example.com") is None


async def test_the_e_mail_may_come_in_the_id_token(house: OidcHouse) -> None:
    await house.provider.will("e-mail in the token", sub="sub-inside", email="inside@example.com", email_verified=False)
    browser = house.portal.browser()
    assert (await house.visit(browser)).headers["location"] == "/overview"


async def test_who_says_no_at_the_provider_is_told_calmly_and_nothing_of_the_providers_words(house: OidcHouse) -> None:
    await house.provider.will("cancelled", sub="sub-no", email="no@example.com", email_verified=True)
    stopped = await house.visit(house.portal.browser())
    assert stopped.status_code == 400
    assert "Nothing was changed" in stopped.text
    assert "canary" not in stopped.text


async def test_a_user_of_the_provider_proves_it_anew_by_being_asked_again(house: OidcHouse) -> None:
    await house.provider.will(sub="sub-proof", email="proof@example.com", email_verified=True)
    browser = house.portal.browser()
    await house.visit(browser)
    before = browser.session
    asked = query_of(await house.asked(browser, to="/account"))
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    proven = await house.visit(browser, to="/account")
    assert (proven.status_code, proven.headers["location"]) == (303, "/account")
    assert browser.session not in (None, before), "under a new cookie"
    assert await browser.is_signed_in()


@pytest.mark.parametrize("has_account", [True, False])
async def test_somebody_else_at_the_provider_proves_nothing(house: OidcHouse, has_account: bool) -> None:
    two: dict[str, object] = {
        "sub": f"sub-two-{has_account}",
        "email": f"two-{has_account}@example.com",
        "email_verified": True,
    }
    if has_account:
        await house.provider.will("none", **two)
        await house.visit(house.portal.browser())
    await house.provider.will(sub="sub-one", email="one@example.com", email_verified=True)
    one = house.portal.browser()
    await house.visit(one)
    before = one.session
    await house.provider.signs_out(one)
    await house.provider.will("none", **two)
    stopped = await house.visit(one, to="/account")
    assert stopped.status_code == 403
    assert one.session == before
    assert "one@example.com" in (await one.get("/account")).text


async def test_where_staff_opens_accounts_a_new_user_is_told_so(databases: Databases) -> None:
    async with oidc_house(databases, sign_up_open="false") as house:
        await house.provider.will(sub="sub-closed", email="closed@example.com", email_verified=True)
        browser = house.portal.browser()
        stopped = await house.visit(browser)
        assert stopped.status_code == 403
        assert "opened by our staff" in stopped.text
        assert not await browser.is_signed_in()
