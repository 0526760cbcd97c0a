"""Doctor, tester, set-up files and examples in a real browser, before a model that says what a test wants."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from devstack.provider import Provider, ToolCall, scripts
from tests.browser import accessibility, budgets, house
from tests.browser.conftest import OpenVisit
from tests.browser.house import House, Member
from tests.browser.screenshots import Album
from tests.browser.visit import Visit

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"><b>Bold</b>"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=scripts.answer(HOSTILE)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(provider: Provider) -> AsyncIterator[House]:
    async with house.opened_with(provider) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(browser: Browser, home: House) -> Member:
    return await house.new_member(browser, home.stack)


async def test_a_check_with_a_token_of_the_session_says_what_the_model_cannot_do(
    home: House, ada: Member, new_visit: OpenVisit, album: Album
) -> None:
    seen = await new_visit(home.origin, storage_state=ada.state)
    await seen.go("/doctor")
    await seen.page.get_by_role("button", name="Run the check").click()
    # The scripted model answers in words where it was asked to call a tool.
    await expect(seen.page.get_by_text("It works, with")).to_be_visible(timeout=60_000)
    verdicts = await seen.page.locator("[data-verdict]").evaluate_all(
        "(all) => all.map((each) => each.dataset.verdict)"
    )
    assert "failure" not in verdicts
    assert "warning" in verdicts
    await budgets.stays_put(seen.page)
    async for screen in album.add_state(seen.page, "doctor-checked"):
        await budgets.fits(seen.page)
        await accessibility.axe(seen.page, is_known=screen != "desktop")


async def test_a_wrong_token_is_told_without_script_and_never_shown_again(home: House, new_visit: OpenVisit) -> None:
    seen = await new_visit(home.origin, java_script_enabled=False)
    await seen.go("/doctor")
    await seen.page.get_by_label("Service token").fill("sr_live_nonsense")
    await seen.page.get_by_role("button", name="Run the check").click()
    await expect(seen.page.locator("[data-verdict=failure]").first).to_be_visible()
    assert "sr_live_nonsense" not in await seen.page.content()


async def test_a_file_for_codex_is_saved_under_its_own_name(
    home: House, ada: Member, new_visit: OpenVisit, tmp_path: Path
) -> None:
    seen = await new_visit(home.origin, storage_state=ada.state)
    await seen.go("/setup/codex")
    async with seen.page.expect_download() as downloads:
        await seen.page.locator("a[href*='config.toml']").first.click()
    download = await downloads.value
    assert download.suggested_filename == "config.toml"
    await download.save_as(tmp_path / "config.toml")
    assert f'base_url = "{home.origin}/v1"' in (tmp_path / "config.toml").read_text(encoding="utf-8")


async def test_an_example_is_copied_as_it_is_shown(home: House, new_visit: OpenVisit) -> None:
    seen = await new_visit(home.origin, permissions=["clipboard-read", "clipboard-write"])
    await seen.go("/docs/quick-start")
    block = seen.page.locator(".code").filter(visible=True).first
    await block.get_by_role("button", name="Copy").click()
    await expect(block.get_by_role("button", name="Copied")).to_be_visible()
    copied = await seen.page.evaluate("() => navigator.clipboard.readText()")
    assert copied.strip() == (await block.locator("code").inner_text()).strip()
    assert home.origin in copied or "SMARTROUTE" in copied


@pytest.mark.parametrize("endpoint", ["Chat completions", "Responses"])
@pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])
async def test_what_a_model_says_is_text_whatever_it_says(
    home: House, ada: Member, new_visit: OpenVisit, endpoint: str, is_streamed: bool
) -> None:
    page = (await _tester(new_visit, home, ada, endpoint)).page
    await page.get_by_label("Stream the answer").set_checked(is_streamed)
    await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_role("status")).to_contain_text("1 prompt charged")
    assert await page.get_by_role("region", name="Answer of the model").inner_text() == HOSTILE
    for pane in ("Events", "Headers", "curl", "Python"):
        await house.open_tab(page, pane)
    assert await page.locator("main img, main script, main iframe").count() == 0
    assert await page.title() != "taken"


@pytest.mark.parametrize("endpoint", ["Chat completions", "Responses"])
async def test_a_turn_with_a_tool_is_two_calls_and_one_prompt(
    home: House, ada: Member, new_visit: OpenVisit, provider: Provider, endpoint: str
) -> None:
    page = (await _tester(new_visit, home, ada, endpoint)).page
    asked = ToolCall("get_time", '{"time_zone": "Europe/Lisbon"}')
    provider.enqueue(scripts.answer(None, tool_calls=[asked]), scripts.answer("It is late."))
    await page.get_by_label("Offer a tool").check()
    await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_role("status")).to_contain_text("Done, in 2 calls. 1 prompt charged")
    await expect(page.get_by_role("region", name="Answer of the model")).to_contain_text("It is late.")
    outcomes = page.get_by_role("region", name="Receipt").get_by_role("row").filter(has_text="Outcome")
    assert await outcomes.get_by_role("cell").all_inner_texts() == ["completed", "continuation"]


async def test_a_provider_that_fails_is_told_in_plain_words_and_costs_nothing(
    home: House, ada: Member, new_visit: OpenVisit, provider: Provider
) -> None:
    seen = await _tester(new_visit, home, ada, "Chat completions")
    provider.always(scripts.http_error(503))
    await seen.page.get_by_role("button", name="Run").click()
    await expect(seen.page.get_by_role("status")).to_contain_text("0 prompts charged")
    await expect(seen.page.get_by_role("alert")).to_be_visible()
    await accessibility.axe(seen.page)
    provider.always(scripts.answer(HOSTILE))
    # That the answer was one of 502 is what this is about.
    seen.faults.clear()


async def _tester(new_visit: OpenVisit, home: House, ada: Member, endpoint: str) -> Visit:
    seen = await new_visit(home.origin, storage_state=ada.state)
    await seen.go("/tester")
    await seen.page.get_by_label(endpoint).check()
    return seen
