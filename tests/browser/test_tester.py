"""The live tester before the local model: streamed, whole and stopped; what is left falls, and nothing jumps."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser import accessibility, budgets, house
from tests.browser.conftest import OpenVisit
from tests.browser.house import House, Member
from tests.browser.screenshots import Album
from tests.browser.visit import Visit

# The model has one or two slow cores, and shares them with other tests.
PATIENCE_MILLISECONDS = 90_000

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home() -> AsyncIterator[House]:
    async with house.opened_with_local_model() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(browser: Browser, home: House) -> Member:
    return await house.new_member(browser, home.stack)


@pytest_asyncio.fixture(loop_scope="module")
async def tester(home: House, ada: Member, new_visit: OpenVisit) -> Visit:
    seen = await new_visit(home.origin, storage_state=ada.state)
    await seen.go("/tester")
    await expect(seen.page.get_by_role("button", name="Run")).to_be_enabled()
    return seen


def _answer(page: Page) -> Locator:
    return page.get_by_role("region", name="Answer of the model")


async def _left_today(page: Page) -> int:
    return int((await page.locator("[data-remaining=today]").inner_text()).replace(",", ""))


async def _fact(page: Page, name: str) -> str:
    """What the first call's receipt says under a heading."""
    row = page.get_by_role("region", name="Receipt").get_by_role("row").filter(has_text=name)
    return await row.get_by_role("cell").first.inner_text()


async def _ended(page: Page, how: str) -> None:
    await expect(page.get_by_role("status")).to_contain_text(how, timeout=PATIENCE_MILLISECONDS)


@pytest.mark.parametrize(
    ("endpoint", "picture"), [("Chat completions", "tester-chat"), ("Responses", "tester-responses")]
)
async def test_a_streamed_answer_comes_bit_by_bit_in_a_page_that_stays_put(
    tester: Visit, endpoint: str, picture: str, album: Album
) -> None:
    page = tester.page
    before = await _left_today(page)
    await page.get_by_label(endpoint).check()
    await page.get_by_label("Prompt", exact=True).fill("Count from one to twenty in words.")
    await page.get_by_label("Output tokens at most").fill("120")
    await page.get_by_role("button", name="Run").click()
    await expect(_answer(page)).not_to_be_empty(timeout=PATIENCE_MILLISECONDS)
    first = await _answer(page).inner_text()
    await _ended(page, "1 prompt charged")
    assert len(await _answer(page).inner_text()) > len(first) > 0
    assert await _left_today(page) == before - 1
    assert await _fact(page, "Outcome") == "completed"
    await budgets.stays_put(page)
    await accessibility.axe(page)
    async for screen in album.add_state(page, picture):
        await budgets.fits(page)
        await accessibility.axe(page, is_known=screen == "desktop")


@pytest.mark.parametrize("endpoint", ["Chat completions", "Responses"])
async def test_a_whole_answer_is_shown_with_its_headers_and_its_cost(tester: Visit, endpoint: str) -> None:
    page = tester.page
    before = await _left_today(page)
    await page.get_by_label(endpoint).check()
    await page.get_by_label("Stream the answer").uncheck()
    await page.get_by_label("Output tokens at most").fill("24")
    await page.get_by_label("Prompt", exact=True).press("Control+Enter")
    await _ended(page, "1 prompt charged")
    assert await _answer(page).inner_text()
    assert await _left_today(page) == before - 1
    await house.open_tab(page, "Headers")
    await expect(page.get_by_role("region", name="Headers of the answer")).to_contain_text(
        "x-smartroute-daily-remaining"
    )
    await house.open_tab(page, "Events")
    await expect(page.get_by_role("region", name="Raw events")).to_contain_text("smart-route-mini")


@pytest.mark.parametrize(("endpoint", "way"), [("Chat completions", "button"), ("Responses", "Escape")])
async def test_stop_really_stops_the_model(tester: Visit, endpoint: str, way: str) -> None:
    page = tester.page
    await page.get_by_label(endpoint).check()
    await page.get_by_label("Prompt", exact=True).fill("Write a very long story about a lighthouse and its keeper.")
    await page.get_by_label("Output tokens at most").fill("3000")
    await page.get_by_role("button", name="Run").click()
    await expect(_answer(page)).not_to_be_empty(timeout=PATIENCE_MILLISECONDS)
    if way == "button":
        await page.get_by_role("button", name="Stop").click()
    else:
        await page.keyboard.press("Escape")
    await _ended(page, "Stopped; the model is stopped, too. 1 prompt charged")
    assert await _fact(page, "Outcome") == "client_gone_late"
    stopped_at = await _answer(page).inner_text()
    await expect(page.get_by_role("button", name="Run")).to_be_enabled()
    # The one slot that the model had for it is free: the next answer comes.
    await page.get_by_label("Output tokens at most").fill("8")
    await page.get_by_role("button", name="Run").click()
    await _ended(page, "Done, in 1 call. 1 prompt charged")
    assert len(await _answer(page).inner_text()) < len(stopped_at) + 400


async def test_whoever_is_not_signed_in_is_invited(home: House, new_visit: OpenVisit) -> None:
    seen = await new_visit(home.origin)
    await seen.go("/tester")
    await seen.page.get_by_role("link", name="Sign in to try it").click()
    assert "/sign-in?next=/tester" in seen.page.url
