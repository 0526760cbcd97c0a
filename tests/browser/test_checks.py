"""The checks of these tests find what they look for: small pages with one fault each, served by the browser itself."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route

from tests.browser import accessibility, budgets, chromium, screenshots, visit
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = "http://127.0.0.1:9"
POLICY = "default-src 'self'; script-src 'nonce-abc'; style-src 'self' 'nonce-abc'; require-trusted-types-for 'script'"
SOUND = '<p>Text</p><a href="/other">Another page</a> <button type="button">Press</button>'
STYLE = """<style nonce="abc">
  :focus-visible { outline: 2px solid }
  a, button { padding: 12px; display: inline-block }
</style>"""
TRAP = """<button>First</button><a href="/x">Beyond</a>
<script nonce="abc">document.querySelector("button").onkeydown = (event) => event.preventDefault()</script>"""
JUMP = """<p>Text</p>
<script nonce="abc">
  setTimeout(() => {
    const box = document.createElement("div");
    box.className = "box";
    document.querySelector("h1").before(box);
  }, 300);
</script>"""


async def _shown(browser: Browser, body: str, *, status: int = 200, head: str = STYLE) -> Visit:
    """A visit to a page with this body, in a frame that has nothing to be found fault with."""

    async def serve(route: Route) -> None:
        if not route.request.url.startswith(ORIGIN):
            await route.abort()
            return
        html = (
            f'<!doctype html><html lang="en"><head><title>Page</title>{head}</head><body>'
            f'<a href="#main">Skip</a><main id="main" tabindex="-1"><h1>Page</h1>{body}</main></body></html>'
        )
        await route.fulfill(
            status=status, body=html, headers={"content-type": "text/html", "content-security-policy": POLICY}
        )

    begun = await visit.begin(browser, ORIGIN)
    await begun.context.route("**/*", serve)
    await begun.go("/")
    await begun.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    return begun


async def test_a_sound_page_passes_every_check(browser: Browser) -> None:
    seen = await _shown(browser, SOUND)
    await accessibility.axe(seen.page)
    await accessibility.skip_link(seen.page)
    await seen.go("/")
    await accessibility.keyboard(seen.page)
    await budgets.stays_put(seen.page)
    await budgets.fits(seen.page)
    seen.check()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('<script nonce="abc">console.error("torn")</script>', "console: torn"),
        ('<script nonce="abc">throw new Error("torn")</script>', "script: "),
        ("<script>window.ran = 1</script>", "breach of script-src"),
        ('<p style="color: red">Red</p>', "breach of style-src"),
        ('<script nonce="abc">document.body.innerHTML = "<i>x</i>"</script>', "breach of require-trusted-types-for"),
        (
            '<img alt="" src="http://127.0.0.2:9/pixel.png">',
            "a request to a foreign host: http://127.0.0.2:9/pixel.png",
        ),
    ],
    ids=["console", "exception", "script", "style", "trusted types", "foreign host"],
)
async def test_whatever_goes_wrong_on_a_page_is_a_fault(browser: Browser, body: str, words: str) -> None:
    seen = await _shown(browser, body)
    with pytest.raises(AssertionError, match=words):
        seen.check()


async def test_an_answer_of_500_is_a_fault_and_one_of_404_is_not(browser: Browser) -> None:
    (await _shown(browser, SOUND, status=404)).check()
    seen = await _shown(browser, SOUND, status=503)
    with pytest.raises(AssertionError, match="answered with 503"):
        seen.check()


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ('<img src="/x.png">', "image-alt"),
        ("<input>", "label"),
        ("<h3>Too deep</h3>", "heading-order"),
        ('<p class="pale">Pale</p>', "color-contrast"),
    ],
)
async def test_axe_says_which_rule_is_broken(browser: Browser, body: str, rule: str) -> None:
    seen = await _shown(browser, body, head='<style nonce="abc">.pale { color: #ccc }</style>')
    with pytest.raises(AssertionError, match=rule):
        await accessibility.axe(seen.page)


async def test_a_link_that_the_keyboard_cannot_reach_is_named(browser: Browser) -> None:
    seen = await _shown(browser, TRAP)
    with pytest.raises(AssertionError, match=r"does not reach.*\n.*Beyond"):
        await accessibility.keyboard(seen.page)


async def test_a_focus_that_nobody_sees_is_found(browser: Browser) -> None:
    seen = await _shown(browser, SOUND, head='<style nonce="abc">button:focus { outline: none }</style>')
    with pytest.raises(AssertionError, match="nobody sees the focus"):
        await accessibility.keyboard(seen.page)


async def test_a_page_without_a_skip_link_is_found(browser: Browser) -> None:
    seen = await _shown(browser, '<a href="#nowhere">Skip</a>')
    await seen.page.evaluate("() => document.querySelector('a').remove()")
    await seen.page.evaluate("() => document.querySelector('a').href = '/'")
    with pytest.raises(AssertionError, match="no skip link"):
        await accessibility.skip_link(seen.page)


async def test_a_jump_of_the_layout_is_found(browser: Browser) -> None:
    seen = await _shown(browser, JUMP, head='<style nonce="abc">.box { height: 300px }</style>')
    await seen.page.wait_for_function("() => window.layoutShifts.length > 0")
    with pytest.raises(AssertionError, match="jumped"):
        await budgets.stays_put(seen.page)


async def test_what_sticks_out_of_the_screen_is_named(browser: Browser) -> None:
    seen = await _shown(browser, '<p class="wide">Wide</p>', head='<style nonce="abc">.wide { width: 3000px }</style>')
    with pytest.raises(AssertionError, match="wider than the screen"):
        await budgets.fits(seen.page)


async def test_a_page_is_weighed_with_all_that_it_fetches(browser: Browser) -> None:
    seen = await _shown(browser, SOUND)
    weight = await budgets.weighed(seen, "/")
    assert weight.requests >= 1


async def test_the_index_shows_every_picture() -> None:
    text = screenshots.index([("home", "Home"), ("docs", "Documentation")], below="screenshots")
    assert text.count("![") == 8
    assert "(screenshots/docs-telephone-dark.webp)" in text


async def test_a_missing_browser_is_installed_once_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apt-get").write_text(
        f'#!/bin/sh\necho "$1" >> {tmp_path}/calls\n[ "$1" = update ] || cp "$0" {tmp_path}/chromium\n'
    )
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setattr(chromium, "NAMES", ("chromium",))
    monkeypatch.setattr(chromium, "_LOCK", tmp_path / "lock")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: str(file) if (file := tmp_path / name).exists() else None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert [chromium.ensured(), chromium.ensured()] == [tmp_path / "chromium"] * 2
    assert (tmp_path / "calls").read_text(encoding="utf-8").split() == ["update", "install"]


async def test_whoever_cannot_install_a_browser_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chromium, "_LOCK", tmp_path / "lock")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(chromium.NoChromium, match="apt install chromium"):
        chromium.ensured()
