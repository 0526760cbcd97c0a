"""Pictures of every page: desktop and telephone, light and dark, and the document that shows them.

They are WebP, which Chromium writes itself: text stays sharp at a fifth of what the same picture takes as PNG. A run of
the tests leaves them in a folder of its own; `make screenshots` sets SMARTROUTE_SCREENSHOTS and so renews docs/portal.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterable
from itertools import product
from pathlib import Path

from playwright.async_api import Page

from tests.browser.visit import DESKTOP, TELEPHONE, Scheme

SCREENS = {"desktop": DESKTOP, "telephone": TELEPHONE}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_QUALITY = 40
# A long page is shown as far as this: the rest looks the same, and there are more than a hundred pictures.
_TALLEST = 1600


def folder(*, otherwise: Path) -> Path:
    """Where the pictures go."""
    chosen = os.environ.get("SMARTROUTE_SCREENSHOTS")
    place = Path(chosen) if chosen else otherwise / "screenshots"
    place.mkdir(parents=True, exist_ok=True)
    return place


async def take(page: Page, file: Path) -> None:
    """The page from its top."""
    session = await page.context.new_cdp_session(page)
    size = (await session.send("Page.getLayoutMetrics"))["cssContentSize"]
    area = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], _TALLEST), "scale": 1}
    options = {"format": "webp", "quality": _QUALITY, "captureBeyondViewport": True, "clip": area}
    picture = await session.send("Page.captureScreenshot", options)
    await session.detach()
    await asyncio.to_thread(file.write_bytes, base64.b64decode(picture["data"]))


async def in_every_look(page: Page, name: str, place: Path) -> AsyncIterator[tuple[str, Scheme]]:
    """Turn a page that cannot be opened again to each screen and scheme, take its picture, and hand it over so."""
    before = page.viewport_size
    for screen, scheme in product(SCREENS, SCHEMES):
        await page.set_viewport_size(SCREENS[screen]["viewport"])
        await page.emulate_media(color_scheme=scheme)
        await take(page, place / name_of(name, screen, scheme))
        yield screen, scheme
    await page.emulate_media(color_scheme=None)
    if before is not None:
        await page.set_viewport_size(before)


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
