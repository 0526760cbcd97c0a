"""Every page in a real browser: on a desktop and a telephone, light and dark, by keyboard, and without JavaScript."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser import accessibility, budgets, house, screenshots, visit
from tests.browser.conftest import OpenVisit
from tests.browser.house import House, Member
from tests.browser.pages import PAGES, Page
from tests.browser.screenshots import Album
from tests.browser.visit import Visit
from tests.e2e.product import chat

# How a screen is looked at; pictures show the other scheme as well.
LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {**screenshots.SCREENS["desktop"], "color_scheme": "light"},
    "telephone": {**screenshots.SCREENS["telephone"], "color_scheme": "dark"},
}
NARROWEST = {"viewport": {"width": 360, "height": 740}}

pytestmark = pytest.mark.asyncio(loop_scope="module")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


class Visits:
    """One visit for every look and reader, opened when it is first wanted: pages are what is tested, not browsers."""

    def __init__(self, browser: Browser, house: House, member: Member, facts: Mapping[str, str]) -> None:
        self._browser = browser
        self._house = house
        self._member = member
        self._facts = facts
        self._open: dict[tuple[str, str], Visit] = {}

    async def to(self, page: Page, look: str, options: Mapping[str, Any]) -> Visit:
        """The visit with this look, its page opened."""
        key = (look, page.reader)
        if key not in self._open:
            state = {"storage_state": self._member.state} if page.reader == "member" else {}
            self._open[key] = await visit.begin(self._browser, self._house.origin, **options, **state)
        seen = self._open[key]
        seen.faults.clear()
        response = await seen.go(page.path.format(**self._facts))
        assert response.status == page.status
        assert urlsplit(seen.page.url).path == urlsplit(page.path.format(**self._facts)).path
        await seen.page.wait_for_load_state("load")
        return seen


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home() -> AsyncIterator[House]:
    async with house.opened() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visits(browser: Browser, home: House) -> AsyncIterator[Visits]:
    member = await house.new_member(browser, home.stack)
    yield Visits(browser, home, member, await _facts(browser, home, member))


async def _facts(browser: Browser, home: House, member: Member) -> dict[str, str]:
    """What the paths of pages name."""
    seen = await visit.begin(browser, home.origin, storage_state=member.state)
    token = await house.create_token(seen, "My laptop")
    answers = [await chat(home.stack, token, stream=is_streamed) for is_streamed in (True, False, True)]
    await seen.go("/tokens")
    link = await seen.page.get_by_role("link", name="My laptop").get_attribute("href")
    await seen.go("/overview")
    await house.reloaded_until(seen, seen.page.get_by_role("link", name="Receipt of").nth(2))
    await seen.context.close()
    return {
        "token_id": str(link).rpartition("/")[2],
        "request_id": answers[0].headers["x-request-id"],
        **await _links(browser, home, member),
    }


async def _links(browser: Browser, home: House, member: Member) -> dict[str, str]:
    """What came by mail and was not followed."""
    seen = await visit.begin(browser, home.origin)
    sign_up = await house.ask_for_account(seen, home.stack, house.new_email("grace"))
    reset = await house.ask_for_reset(seen, home.stack, member.email)
    await seen.context.close()
    return {"sign_up_link": _secret(sign_up), "reset_link": _secret(reset)}


def _secret(link: str) -> str:
    return parse_qs(urlsplit(link).query)["link"][0]


@pytest.mark.parametrize("path", ["/", "/docs", "/plans", "/tester"])
async def test_a_first_page_is_light(home: House, new_visit: OpenVisit, path: str) -> None:
    weight = await budgets.weighed(await new_visit(home.origin), path)
    assert weight.bytes < budgets.FIRST_PAGE_BYTES
    assert weight.requests <= budgets.FIRST_PAGE_REQUESTS


@every_page
@pytest.mark.parametrize("screen", LOOKS)
async def test_a_page_is_sound(visits: Visits, page: Page, screen: str, album: Album) -> None:
    seen = await visits.to(page, screen, LOOKS[screen])
    await seen.page.emulate_media(color_scheme=LOOKS[screen]["color_scheme"])
    assert await seen.page.get_by_role("heading", level=1).count() == 1
    await accessibility.axe(seen.page, is_known=screen != "desktop")
    await budgets.fits(seen.page)
    await budgets.stays_put(seen.page)
    await album.add(seen.page, page.name, screen)
    seen.check()


@every_page
async def test_a_page_is_used_by_keyboard_alone(visits: Visits, page: Page) -> None:
    seen = await visits.to(page, "keyboard", {})
    await accessibility.keyboard(seen.page)
    await accessibility.skip_link(seen.page)
    seen.check()


@every_page
async def test_a_page_works_on_the_narrowest_telephone_without_script(visits: Visits, page: Page) -> None:
    seen = await visits.to(page, "bare", {**NARROWEST, "java_script_enabled": False})
    await budgets.fits(seen.page)
    assert await seen.page.get_by_role("heading", level=1).is_visible()
    if page.works_without_script:
        assert await seen.page.get_by_text("needs JavaScript").count() == 0
    seen.check()
