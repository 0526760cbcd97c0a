"""Service tokens in a real browser: shown once, copied, used, rotated, revoked; and names that want to be scripts."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser import accessibility, budgets, house
from tests.browser.conftest import OpenVisit
from tests.browser.house import House, Member
from tests.browser.screenshots import Album
from tests.browser.visit import Visit
from tests.e2e.product import chat

SCRIPT = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home() -> AsyncIterator[House]:
    async with house.opened() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(browser: Browser, home: House) -> Member:
    return await house.new_member(browser, home.stack)


async def _visit(new_visit: OpenVisit, home: House, ada: Member) -> Visit:
    return await new_visit(home.origin, storage_state=ada.state, permissions=["clipboard-read", "clipboard-write"])


async def test_a_new_token_is_shown_once_copied_and_good_at_once(
    home: House, ada: Member, new_visit: OpenVisit, album: Album
) -> None:
    seen = await _visit(new_visit, home, ada)
    shown = await house.create_token(seen, "My laptop")
    await seen.page.get_by_role("button", name="Copy").first.click()
    await seen.page.get_by_role("button", name="Copied").wait_for()
    copied = await seen.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == shown
    assert (await chat(home.stack, copied)).status == 200
    async for _ in album.add_state(seen.page, "token-created"):
        await budgets.fits(seen.page)
        await accessibility.axe(seen.page)
    for path in ("/tokens", "/overview", "/account"):
        await seen.go(path)
        assert shown not in await seen.page.content()


async def test_a_list_says_when_a_token_was_last_used(home: House, ada: Member, new_visit: OpenVisit) -> None:
    seen = await _visit(new_visit, home, ada)
    secret = await house.create_token(seen, "Build server")
    await seen.go("/tokens")
    row = seen.page.get_by_role("row").filter(has_text="Build server")
    assert await row.get_by_text("Not yet").is_visible()
    assert (await chat(home.stack, secret)).status == 200
    await house.reloaded_until(seen, row.get_by_text("Not yet"), is_shown=False)


async def test_a_revoked_token_is_refused_at_once(home: House, ada: Member, new_visit: OpenVisit) -> None:
    seen = await _visit(new_visit, home, ada)
    secret = await house.create_token(seen, "Lost telephone")
    await seen.go("/tokens")
    await seen.page.get_by_role("link", name="Lost telephone").click()
    await seen.page.get_by_role("button", name="Revoke the token").click()
    await seen.page.get_by_role("status").filter(has_text="The token is revoked").wait_for()
    assert (await chat(home.stack, secret)).status == 401
    await accessibility.axe(seen.page)


async def test_a_rotated_token_and_the_new_one_are_both_good_for_a_while(
    home: House, ada: Member, new_visit: OpenVisit
) -> None:
    seen = await _visit(new_visit, home, ada)
    old = await house.create_token(seen, "Nightly job")
    await seen.go("/tokens")
    await seen.page.get_by_role("link", name="Nightly job").click()
    await seen.page.get_by_label("The present token ends").select_option("One hour from now")
    await seen.page.get_by_role("button", name="Rotate the token").click()
    new = await house.shown_token(seen)
    assert new != old
    assert [(await chat(home.stack, secret)).status for secret in (old, new)] == [200, 200]


async def test_a_name_that_wants_to_be_a_script_is_shown_as_text(
    home: House, ada: Member, new_visit: OpenVisit
) -> None:
    seen = await _visit(new_visit, home, ada)
    name = SCRIPT[:60]
    await house.create_token(seen, name)
    await seen.go("/tokens")
    await seen.page.get_by_role("link", name=name).click()
    await seen.page.wait_for_url("**/tokens/*")
    assert await seen.page.get_by_role("heading", level=1).inner_text() == name
    assert await seen.page.title() != "taken"


@pytest.mark.parametrize("path", ["/sign-up", "/sign-in", "/forgot"])
async def test_an_address_that_wants_to_be_a_script_is_shown_as_text(
    home: House, new_visit: OpenVisit, path: str
) -> None:
    seen = await new_visit(home.origin)
    await seen.go(path)
    await seen.page.locator("main form").evaluate("(form) => { form.noValidate = true }")
    field = seen.page.get_by_label("E-mail")
    await field.evaluate("(node) => { node.type = 'text' }")
    await field.fill(f'"{SCRIPT}"@customer.example')
    if path != "/forgot":
        await seen.page.get_by_label("Password").fill(house.PASSWORD)
    await seen.page.locator("main form button").click()
    await seen.page.wait_for_load_state("load")
    assert await seen.page.locator("main img, main script").count() == 0
    assert await seen.page.title() != "taken"
