"""A customer uses up a plan, asks for a larger one in the browser, and has it as soon as staff says so."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser, Page, expect

from devstack import repository
from tests.browser import accessibility, budgets, house
from tests.browser.conftest import OpenVisit
from tests.browser.house import House, Member
from tests.browser.screenshots import Album
from tests.e2e.product import chat, command, get

DAILY_PROMPTS = 3
# A page that waits for a decision looks for it every second or two.
BY_ITSELF_MS = 15_000

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def tiny_plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped plans, but a day of the smallest is soon over."""
    document = yaml.safe_load(repository.PLANS.read_text(encoding="utf-8"))
    document["plans"][0]["daily_prompts"] = DAILY_PROMPTS
    path = tmp_path_factory.mktemp("plans") / "plans.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tiny_plans: Path) -> AsyncIterator[House]:
    async with house.opened(plans=tiny_plans) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def ada(browser: Browser, home: House) -> Member:
    return await house.new_member(browser, home.stack)


async def _looked_at(page: Page, name: str, album: Album) -> None:
    async for _ in album.add_state(page, name):
        await budgets.fits(page)
    await accessibility.axe(page)


async def test_a_plan_that_is_used_up_is_seen_in_the_portal_and_a_larger_one_helps_at_once(
    home: House, ada: Member, new_visit: OpenVisit, album: Album
) -> None:
    seen = await new_visit(home.origin, storage_state=ada.state)
    token = await house.create_token(seen, "My laptop")
    assert [(await chat(home.stack, token)).status for _ in range(DAILY_PROMPTS + 1)] == [200] * DAILY_PROMPTS + [429]
    await seen.go("/overview")
    await expect(seen.page.get_by_label("Your plan")).to_contain_text(f"0 of {DAILY_PROMPTS} left")
    await _looked_at(seen.page, "limit-reached", album)
    await seen.go("/tester")
    await seen.page.get_by_role("button", name="Run").click()
    await expect(seen.page.get_by_role("alert")).to_contain_text("429")
    await expect(seen.page.get_by_role("status")).to_contain_text("Refused with 429")

    await seen.go("/plans")
    await seen.page.get_by_role("button", name="Ask for Plus").click()
    await expect(seen.page.get_by_role("status")).to_contain_text("You asked for")
    await _looked_at(seen.page, "upgrade-asked", album)

    (wish,) = await command(home.stack, "billing", "upgrades")
    await command(home.stack, "billing", "approve-upgrade", wish["upgrade_id"], "--actor", "anna")
    answer = await chat(home.stack, token, model="smart-route-ultra")
    assert (answer.status, answer.json["model"]) == (200, "smart-route")
    usage = (await get(home.stack, token, "usage")).json
    assert (usage["plan"], usage["daily"]["limit"]) == ("plus", 500)
    # The page that was left open shows it by itself.
    await expect(seen.page.locator("#plus")).to_contain_text("Your plan", timeout=BY_ITSELF_MS)
    await expect(seen.page.get_by_label("Your plan")).to_contain_text("of 500 left")
    await _looked_at(seen.page, "upgrade-approved", album)


async def test_a_wish_is_declined_with_a_reason_that_is_shown_as_text(
    home: House, ada: Member, new_visit: OpenVisit
) -> None:
    seen = await new_visit(home.origin, storage_state=ada.state)
    await seen.go("/plans")
    await seen.page.get_by_role("button", name="Ask for Pro").click()
    await expect(seen.page.get_by_role("status")).to_contain_text("You asked for")
    (wish,) = await command(home.stack, "billing", "upgrades")
    reason = "<img src=x onerror=alert(1)> Please ask sales"
    await command(home.stack, "billing", "decline-upgrade", wish["upgrade_id"], "--actor", "anna", "--reason", reason)
    await expect(seen.page.get_by_role("main")).to_contain_text(reason, timeout=BY_ITSELF_MS)
    await accessibility.axe(seen.page)
    await seen.page.get_by_role("button", name="I have seen this").click()
    await expect(seen.page.get_by_role("main")).not_to_contain_text(reason)


async def test_a_wish_can_be_withdrawn_without_script(home: House, ada: Member, new_visit: OpenVisit) -> None:
    seen = await new_visit(home.origin, storage_state=ada.state, java_script_enabled=False)
    await seen.go("/plans")
    await seen.page.get_by_role("button", name="Ask for Business").click()
    await seen.page.get_by_role("button", name="Withdraw").click()
    await expect(seen.page.get_by_role("button", name="Ask for Business")).to_be_visible()
    assert await command(home.stack, "billing", "upgrades") == []
