"""People open accounts, come back, forget their passwords and end sessions, in a real browser."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route

from tests.browser import accessibility, house, visit
from tests.browser.conftest import OpenVisit
from tests.browser.house import House

ELSEWHERE = "http://elsewhere.example"
NEW_PASSWORD = "another sentence that nobody says"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home() -> AsyncIterator[House]:
    async with house.opened() as opened:
        yield opened


@pytest.mark.parametrize("has_script", [True, False], ids=["with script", "without script"])
async def test_a_mail_link_opens_a_free_account_at_once(home: House, new_visit: OpenVisit, has_script: bool) -> None:
    ada, email = await new_visit(home.origin, java_script_enabled=has_script), house.new_email()
    await house.sign_up(ada, home.stack, email)
    await ada.go("/account")
    assert await ada.page.get_by_role("definition").filter(has_text=email).is_visible()
    assert await ada.page.get_by_role("definition").filter(has_text="Free").is_visible()


async def test_every_cookie_is_for_this_host_alone_and_out_of_reach_of_scripts(
    home: House, new_visit: OpenVisit
) -> None:
    ada = await new_visit(home.origin)
    await house.sign_up(ada, home.stack, house.new_email())
    cookies = await ada.cookies()
    assert "__Host-smartroute_session" in cookies
    for name, cookie in cookies.items():
        assert name.startswith("__Host-")
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, True, "Lax", "/")
    assert await ada.page.evaluate("() => document.cookie") == ""


async def test_whoever_signs_in_comes_to_the_page_that_was_wanted_with_a_new_session(
    home: House, new_visit: OpenVisit
) -> None:
    ada, email = await new_visit(home.origin), house.new_email()
    await house.sign_up(ada, home.stack, email)
    before = (await ada.cookies())["__Host-smartroute_session"]["value"]
    await ada.page.get_by_role("button", name="Sign out").click()
    await ada.page.get_by_role("link", name="Sign in").wait_for()
    assert "__Host-smartroute_session" not in await ada.cookies()
    await house.sign_in(ada, email, path="/account")
    await ada.page.wait_for_url("**/account")
    assert (await ada.cookies())["__Host-smartroute_session"]["value"] != before


async def test_a_wrong_password_and_an_unknown_person_read_the_same(home: House, new_visit: OpenVisit) -> None:
    ada, email = await new_visit(home.origin), house.new_email()
    await house.sign_up(ada, home.stack, email)
    said = []
    for name, password in ((email, NEW_PASSWORD), (house.new_email("nobody"), house.PASSWORD)):
        stranger = await new_visit(home.origin)
        await house.sign_in(stranger, name, password=password)
        said.append(await stranger.page.get_by_role("alert").inner_text())
        await accessibility.axe(stranger.page)
    assert said[0] == said[1] == "E-mail or password is not right."


async def test_a_form_says_beside_the_field_what_is_wrong_with_it(home: House, new_visit: OpenVisit) -> None:
    ada = await new_visit(home.origin)
    await ada.go("/sign-up")
    await ada.page.get_by_label("E-mail").fill("ada@customer.example")
    await ada.page.get_by_label("Password").fill("password1234")
    await ada.page.get_by_role("main").get_by_role("button", name="Sign up").click()
    field = ada.page.get_by_label("Password")
    await field.wait_for()
    described_by = (await field.get_attribute("aria-describedby") or "").split()
    told = [await ada.page.locator(f"#{name}").inner_text() for name in described_by]
    assert await field.get_attribute("aria-invalid") == "true"
    assert len(told) == 2
    assert await ada.page.get_by_label("E-mail").input_value() == "ada@customer.example"
    await accessibility.axe(ada.page)


async def test_a_forgotten_password_is_replaced_by_mail_and_ends_all_sessions(
    home: House, new_visit: OpenVisit
) -> None:
    ada, thief, email = await new_visit(home.origin), await new_visit(home.origin), house.new_email()
    await house.sign_up(thief, home.stack, email)
    await ada.page.goto(await house.ask_for_reset(ada, home.stack, email))
    await ada.page.get_by_label("New password").fill(NEW_PASSWORD)
    await ada.page.get_by_role("button", name="Save and sign in").click()
    await ada.page.wait_for_url("**/overview")
    await thief.go("/account")
    assert "/sign-in" in thief.page.url


async def test_a_changed_password_leaves_this_session_and_ends_the_others(home: House, new_visit: OpenVisit) -> None:
    ada, other, email = await new_visit(home.origin), await new_visit(home.origin), house.new_email()
    await house.sign_up(ada, home.stack, email)
    await house.sign_in(other, email)
    await ada.go("/account")
    await ada.page.get_by_label("Present password").fill(house.PASSWORD)
    await ada.page.get_by_label("New password").fill(NEW_PASSWORD)
    await ada.page.get_by_role("button", name="Save the password").click()
    await ada.page.get_by_role("status").wait_for()
    await accessibility.axe(ada.page)
    await other.go("/account")
    assert "/sign-in" in other.page.url


async def test_a_session_that_is_ended_from_elsewhere_is_over(home: House, new_visit: OpenVisit) -> None:
    ada, other, email = await new_visit(home.origin), await new_visit(home.origin), house.new_email()
    await house.sign_up(ada, home.stack, email)
    await house.sign_in(other, email)
    await other.page.wait_for_url("**/overview")
    await ada.go("/account")
    await ada.page.get_by_role("button", name="End the session of").click()
    await ada.page.get_by_role("button", name="End the session of").wait_for(state="detached")
    await other.go("/account")
    assert "/sign-in" in other.page.url


async def test_a_form_that_another_site_sends_changes_nothing(
    browser: Browser, home: House, new_visit: OpenVisit
) -> None:
    ada, other, email = await new_visit(home.origin), await new_visit(home.origin), house.new_email()
    await house.sign_up(ada, home.stack, email)
    await house.sign_in(other, email)
    await other.page.wait_for_url("**/overview")

    async def serve(route: Route) -> None:
        form = f'<form method="post" action="{home.origin}/account/sessions/end-others"><button>Win</button></form>'
        await route.fulfill(body=form, content_type="text/html")

    # What goes on in her browser there is no fault of the portal's: it is looked at by nobody.
    lured = await visit.begin(browser, ELSEWHERE, storage_state=await ada.context.storage_state())
    await lured.context.route(f"{ELSEWHERE}/**", serve)
    await lured.go("/")
    async with lured.page.expect_response("**/end-others") as refused:
        await lured.page.get_by_role("button", name="Win").click()
    assert (await refused.value).status == 403
    await lured.context.close()
    await other.go("/account")
    assert other.page.url.endswith("/account")
