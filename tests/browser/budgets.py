"""What a page may cost its reader: bytes, requests, and things that jump while they are read or clicked."""

from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page, TimeoutError

from tests.browser.visit import Visit

FIRST_PAGE_BYTES = 200_000
FIRST_PAGE_REQUESTS = 10
LAYOUT_SHIFT = 0.01
_SETTLE_MILLISECONDS = 3000
_FITS = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
_WIDE = """
() => {
  const width = document.documentElement.clientWidth;
  return [...document.body.querySelectorAll("*")]
    .filter((node) => node.getBoundingClientRect().right > width + 1)
    .map((node) => `${Math.round(node.getBoundingClientRect().right)} px: ${node.outerHTML.slice(0, 120)}`)
    .slice(0, 12);
}
"""


@dataclass(frozen=True, slots=True)
class Weight:
    """What came over the wire for one page with an empty cache, headers included."""

    bytes: int
    requests: int


async def weighed(visit: Visit, path: str) -> Weight:
    """Open a path in a browser that has seen nothing yet, and weigh all that it fetches."""
    session = await visit.context.new_cdp_session(visit.page)
    sizes: list[float] = []

    def finished(event: dict[str, Any]) -> None:
        sizes.append(event["encodedDataLength"])

    session.on("Network.loadingFinished", finished)
    await session.send("Network.enable")
    await visit.go(path)
    await visit.page.wait_for_load_state("networkidle")
    await session.detach()
    return Weight(bytes=int(sum(sizes)), requests=len(sizes))


async def layout_shift(page: Page) -> float:
    """How much has jumped since the page was opened, by the definition of Cumulative Layout Shift: the worst burst."""
    shifts = await page.evaluate("() => window.layoutShifts")
    worst = burst = began = last = 0.0
    for shift in shifts:
        if shift["afterInput"]:
            continue
        if shift["at"] - last > 1000 or shift["at"] - began > 5000:
            burst, began = 0.0, shift["at"]
        burst, last = burst + shift["value"], shift["at"]
        worst = max(worst, burst)
    return worst


async def stays_put(page: Page) -> None:
    """Fails with what has moved when the layout jumped."""
    shift = await layout_shift(page)
    moved = await page.evaluate("() => window.layoutShifts.flatMap((each) => each.moved)")
    assert shift < LAYOUT_SHIFT, "\n".join([f"the layout of {page.url} jumped by {shift:.4f}:", *moved])


async def fits(page: Page) -> None:
    """Fails when the page stays wider than the screen, and says what sticks out."""
    try:
        # A chart is drawn anew some frames after its screen has changed.
        await page.wait_for_function(_FITS, timeout=_SETTLE_MILLISECONDS)
    except TimeoutError:
        wide = await page.evaluate(_WIDE)
        raise AssertionError("\n".join([f"{page.url} is wider than the screen:", *wide])) from None
