"""The browser of a module, and visits in it that must end without a fault."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser import chromium, screenshots, visit
from tests.browser.screenshots import Album
from tests.browser.visit import Visit

OpenVisit = Callable[..., Awaitable[Visit]]
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Chromium is installed before the first test's clock runs; why it could not be is for the tests to say."""
    wanted = any(item.path.is_relative_to(_HERE) for item in items)
    if wanted and not config.option.collectonly:
        try:
            chromium.ensured()
        except chromium.NoChromium:
            return


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium.running(chromium.ensured()) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def new_visit(browser: Browser) -> AsyncIterator[OpenVisit]:
    """`await new_visit(origin, **options of the browser context)`: everything that goes wrong in it fails the test."""
    begun: list[Visit] = []

    async def begin(origin: str, **options: Any) -> Visit:
        begun.append(await visit.begin(browser, origin, **options))
        return begun[-1]

    yield begin
    for each in begun:
        await each.context.close()
    for each in begun:
        each.check()


@pytest.fixture(scope="session")
def album() -> Album:
    """Takes the pictures of this run, where they are wanted."""
    return Album(screenshots.folder())
