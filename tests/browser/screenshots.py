"""Pictures of every page: desktop and telephone, light and dark, and the document that shows them.

They are WebP, which Chromium writes itself: text stays sharp at a fifth of what the same picture takes as PNG. They are
taken by the tests, where SMARTROUTE_SCREENSHOTS names a folder for them: `make screenshots` does, and so renews
docs/portal. Without it the tests look at the same pages in the same ways, and save the time.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from playwright.async_api import Page

from tests.browser.visit import DESKTOP, TELEPHONE, Scheme

SCREENS = {"desktop": DESKTOP, "telephone": TELEPHONE}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
# More than two hundred pictures take less than 6 MB: a long page is shown as far as this, a desktop made smaller.
_QUALITY = 25
_TALLEST = 1100
_SCALES = {"desktop": 0.7, "telephone": 1.0}


def folder() -> Path | None:
    """Where pictures are wanted, if they are."""
    chosen = os.environ.get("SMARTROUTE_SCREENSHOTS")
    if not chosen:
        return None
    place = Path(chosen)
    place.mkdir(parents=True, exist_ok=True)
    return place


class Album:
    """Takes pictures into a folder, or none."""

    def __init__(self, place: Path | None) -> None:
        self._place = place

    async def add(self, page: Page, name: str, screen: str) -> None:
        """The page on the screen that it is on, light and dark."""
        if self._place is not None:
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                await _take(page, self._place / name_of(name, screen, scheme), scale=_SCALES[screen])

    async def add_state(self, page: Page, name: str) -> AsyncIterator[str]:
        """A page that cannot be opened again, turned to each screen, and handed over on it."""
        before = page.viewport_size
        for screen, options in SCREENS.items():
            await page.set_viewport_size(options["viewport"])
            await self.add(page, name, screen)
            yield screen
        if before is not None:
            await page.set_viewport_size(before)


async def _take(page: Page, file: Path, *, scale: float) -> None:
    """The page from its top."""
    session = await page.context.new_cdp_session(page)
    size = (await session.send("Page.getLayoutMetrics"))["cssContentSize"]
    area = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], _TALLEST), "scale": scale}
    options = {"format": "webp", "quality": _QUALITY, "captureBeyondViewport": True, "clip": area}
    picture = await session.send("Page.captureScreenshot", options)
    await session.detach()
    await asyncio.to_thread(file.write_bytes, base64.b64decode(picture["data"]))


def name_of(page: str, screen: str, scheme: str) -> str:
    return f"{page}-{screen}-{scheme}.webp"


def names(pages: Iterable[tuple[str, str]]) -> set[str]:
    """The files that `pages` (name and title) should have."""
    return {name_of(name, screen, scheme) for name, _ in pages for screen in SCREENS for scheme in SCHEMES}


def index(pages: Iterable[tuple[str, str]], *, below: str) -> str:
    """The document that shows the pictures of `pages` (name and title), which lie in the folder `below`."""
    lines = [
        "# The portal in pictures",
        "",
        "Every page on a desktop (1280 by 800) and a telephone (390 by 844), light and dark, as Chromium shows it to",
        "the tests. `make screenshots` takes them anew.",
    ]
    for name, title in pages:
        lines += ["", f"## {title}", "", "| | light | dark |", "|---|---|---|"]
        for screen in SCREENS:
            shown = (f"![{title}, {screen}, {scheme}]({below}/{name_of(name, screen, scheme)})" for scheme in SCHEMES)
            lines.append(f"| {screen} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"
