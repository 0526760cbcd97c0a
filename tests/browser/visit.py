"""A visit: one visitor with a browser of his own, and a list of everything that went wrong while he looked around.

Wrong is: an error on the console, an exception in a script, a breach of the content security policy, a request to any
host but the portal's and those of its partners that a test names, an answer of 500 or above. `Visit.faults` is empty at
the end of every test (conftest.py).
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, WebError

Scheme = Literal["light", "dark"]
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
TELEPHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
# Runs before any script of the page. A breach that is only reported, or caught by the page, is heard all the same.
_LISTEN = """
window.layoutShifts = [];
new PerformanceObserver((list) => {
  for (const shift of list.getEntries()) {
    const moved = shift.sources.map((source) => source.node?.outerHTML?.slice(0, 120) ?? "?");
    window.layoutShifts.push({ value: shift.value, afterInput: shift.hadRecentInput, at: shift.startTime, moved });
  }
}).observe({ type: "layout-shift", buffered: true });
document.addEventListener("securitypolicyviolation", (breach) => {
  console.error(`breach of ${breach.effectiveDirective}: ${breach.blockedURI} ${breach.sample}`);
});
"""
# What Chromium itself writes about any answer of 400 or above; the answer is judged by its status.
_STATUS_NOTE = re.compile(r"^Failed to load resource: the server responded with a status of 4\d\d")
_LOCAL_SCHEMES = ("data", "blob", "about")


class Visit:
    """One visitor's browser. `page` is his first tab; `origin` is the only host that it may speak to, and `partners`
    are those that the portal sends him to himself: a provider of identities, a payment page."""

    def __init__(self, context: BrowserContext, page: Page, *, origin: str, partners: Collection[str] = ()) -> None:
        self.context = context
        self.page = page
        self.origin = origin
        self._allowed = {origin, *partners}
        self.faults: list[str] = []
        self.requests: list[str] = []
        context.on("console", self._hear)
        context.on("weberror", self._catch)
        context.on("request", self._see_request)
        context.on("response", self._see_response)

    async def go(self, path: str) -> Response:
        """Open a path of the portal in the first tab."""
        response = await self.page.goto(self.origin + path)
        assert response is not None
        return response

    async def cookies(self) -> Mapping[str, Mapping[str, Any]]:
        """All cookies that the browser holds, by their name."""
        return {str(cookie["name"]): dict(cookie) for cookie in await self.context.cookies()}

    def check(self) -> None:
        """Fails with everything that went wrong so far."""
        assert not self.faults, "\n".join(["while the portal was visited:", *self.faults])

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _STATUS_NOTE.match(message.text):
            self.faults.append(f"console: {message.text} ({message.location.get('url')})")

    def _catch(self, error: WebError) -> None:
        self.faults.append(f"script: {error.error}")

    def _see_request(self, request: Request) -> None:
        self.requests.append(request.url)
        parts = urlsplit(request.url)
        if parts.scheme not in _LOCAL_SCHEMES and f"{parts.scheme}://{parts.netloc}" not in self._allowed:
            self.faults.append(f"a request to a foreign host: {request.url}")

    def _see_response(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.request.method} {response.url} was answered with {response.status}")


async def begin(browser: Browser, origin: str, *, partners: Collection[str] = (), **options: Any) -> Visit:
    """A new visitor without cookies or cache. `options` are those of a browser context."""
    reader = {"locale": "en-GB", "timezone_id": "Europe/Vienna", "reduced_motion": "reduce"}
    context = await browser.new_context(**{**DESKTOP, **reader, **options})
    context.set_default_timeout(15_000)
    await context.add_init_script(_LISTEN)
    return Visit(context, await context.new_page(), origin=origin, partners=partners)
