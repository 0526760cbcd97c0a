"""What every page tells browsers to allow, what cookies are like, and that text of others stays text."""

import re
from collections.abc import AsyncIterator
from html import unescape
from http.cookies import SimpleCookie
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from markupsafe import escape

from devstack.pytest_plugin import Databases
from tests.service.gateway.portal_house import PASSWORD, PUBLIC_URL, Browser, PortalHouse, portal_house, secret_of
from tests.service.gateway.portal_routes import OIDC_ENVIRONMENT, routes

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = "<script>alert(1)</script>"
ATTRIBUTE = "\"><img src=x onerror=alert(1)> ' onfocus=alert(1) x='"
TEMPLATE = "{{ 7 * 191 }} ${7*191} {% if 1 %}"
HOSTILE = (SCRIPT, ATTRIBUTE, TEMPLATE)

_NONCE = re.compile(r"'nonce-([A-Za-z0-9_-]{20,})'")
_INLINE = re.compile(r"\son[a-z]+\s*=|\sstyle\s*=|javascript:", re.IGNORECASE)
_SCRIPTS = re.compile(r"<(?:script|style)\b[^>]*>")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[PortalHouse]:
    async with portal_house(databases, public_url="https://portal.example", environment=OIDC_ENVIRONMENT) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def user(house: PortalHouse) -> Browser:
    """Somebody who is signed in; the mail's link is on the public address of this house."""
    browser = house.browser()
    await browser.submit("/sign-up", {"email": "pages@example.com", "password": PASSWORD})
    link = (await house.mails.next_to("pages@example.com")).link
    assert link is not None
    path = link.removeprefix("https://portal.example")
    await browser.submit(path, secret_of(path))
    return browser


async def _every_answer(house: PortalHouse, user: Browser) -> AsyncIterator[tuple[str, httpx.Response]]:
    """All pages, signed in and not, and answers that are no page of any route."""
    known = {"name": "quick-start", "client": "codex", "file": "config.toml"}
    for browser in (user, house.browser()):
        for route in await routes():
            if not route.is_change:
                yield route.path, await browser.get(route.filled(known))
        for path in ("/nowhere", "/sign-out", "/tokens/something", f"/{SCRIPT}"):
            yield path, await browser.get(path)
        yield "refused", await browser.post("/sign-out", csrf="made up")
        yield "no form", await browser.send("POST", "/sign-in", headers={"origin": browser.origin})


def _sources(policy: str) -> dict[str, list[str]]:
    return {part.split()[0]: part.split()[1:] for part in policy.split(";")}


async def test_every_answer_has_a_policy_that_allows_nothing_but_what_the_page_names(
    house: PortalHouse, user: Browser
) -> None:
    nonces = []
    async for path, answer in _every_answer(house, user):
        policy = answer.headers["content-security-policy"]
        sources = _sources(policy)
        (nonce,) = set(_NONCE.findall(policy))
        nonces.append(nonce)
        assert "unsafe" not in policy, path
        assert "*" not in policy, path
        assert "http:" not in policy, path
        assert sources["default-src"] == ["'none'"], path
        assert sources["script-src"] == sources["style-src"] == [f"'nonce-{nonce}'"], path
        assert sources["frame-ancestors"] == sources["base-uri"] == ["'none'"], path
        assert sources["form-action"] == ["'self'"], path
        assert sources["require-trusted-types-for"] == ["'script'"], path
    assert len(set(nonces)) == len(nonces) > 30


async def test_every_answer_has_the_other_headers(house: PortalHouse, user: Browser) -> None:
    async for path, answer in _every_answer(house, user):
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["referrer-policy"] == "same-origin", path
        assert headers["cross-origin-opener-policy"] == "same-origin", path
        assert headers["cross-origin-resource-policy"] == "same-origin", path
        assert "camera=()" in headers["permissions-policy"], path
        assert headers["strict-transport-security"].startswith("max-age=31536000"), path
        assert "access-control-allow-origin" not in headers, path
        assert "no-store" in headers["cache-control"] or path == "/openapi.json", path


async def test_no_page_has_a_script_or_a_style_that_the_policy_does_not_name(house: PortalHouse, user: Browser) -> None:
    async for path, answer in _every_answer(house, user):
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        (nonce,) = set(_NONCE.findall(answer.headers["content-security-policy"]))
        markup = re.sub(r"<pre.*?</pre>", "", answer.text, flags=re.DOTALL)
        tags = re.findall(r"<[a-z][^>]*>", markup)
        assert not [tag for tag in tags if _INLINE.search(tag)], path
        for tag in _SCRIPTS.findall(answer.text):
            assert f'nonce="{nonce}"' in tag or 'type="application/json"' in tag, (path, tag)


async def test_no_strict_transport_is_asked_for_where_the_public_address_is_not_encrypted(
    databases: Databases,
) -> None:
    async with portal_house(databases) as plain:
        answer = await plain.browser().get("/")
    assert PUBLIC_URL.startswith("http:")
    assert "strict-transport-security" not in answer.headers


async def test_every_cookie_is_bound_to_this_host_and_out_of_reach_of_scripts(house: PortalHouse) -> None:
    browser = house.browser()
    email = "cookies@example.com"
    answers = [
        await browser.get("/sign-in"),
        await browser.get("/sign-up"),
        await browser.post("/sign-up", {"email": email, "password": PASSWORD}),
    ]
    link = (await house.mails.next_to(email)).link or ""
    path = link.removeprefix("https://portal.example")
    answers += [await browser.get(path), await browser.post("/sign-up/confirm", secret_of(path))]
    answers += [await browser.get("/account"), await browser.post("/sign-out")]
    answers += [await browser.submit("/sign-in", {"email": email, "password": PASSWORD})]
    answers += [await browser.get("/sign-in/oidc"), await browser.get("/sign-in/oidc/callback?state=a&code=b")]
    lines = [line for answer in answers for line in answer.headers.get_list("set-cookie")]
    names = set()
    for line in lines:
        ((name, morsel),) = SimpleCookie(line).items()
        names.add(name)
        assert name.startswith("__Host-"), line
        assert (morsel["path"], morsel["domain"], morsel["samesite"]) == ("/", "", "Lax"), line
        assert morsel["secure"], line
        assert morsel["httponly"], line
    kinds = {name.removeprefix("__Host-smartroute_") for name in names}
    assert kinds >= {"session", "visitor", "device", "sign_up"}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_text_that_a_visitor_brings_is_shown_as_text(house: PortalHouse, user: Browser, hostile: str) -> None:
    visitor, answers = house.browser(), []
    for path in ("/sign-in?next=", "/reset?link=", "/sign-up/confirm?link=", "/docs?q=", "/overview?before=", "/"):
        reader = user if path.startswith("/overview") else visitor
        answers.append(await reader.get(path + quote(hostile, safe="")))
    for path in ("/sign-in", "/sign-up", "/forgot"):
        answers.append(await visitor.submit(path, {"email": hostile, "password": hostile, "next": hostile}))
    answers.append(await user.submit("/tokens", {"name": hostile, "scope": "inference", "lifetime": "90"}))
    answers.append(await user.get("/tokens"))
    answers.append(await user.get("/docs"))
    assert sum(escape(hostile) in answer.text for answer in answers) > 3, "it comes back at all"
    for answer in answers:
        assert SCRIPT not in answer.text, answer.url
        assert not re.search(r"<img[^>]*onerror", answer.text), answer.url
        assert "onfocus=alert" not in re.sub(r"&[#a-z0-9]+;", "", _tags(answer.text)), answer.url
        assert "1337" not in answer.text, answer.url


def _tags(page: str) -> str:
    """All that stands inside of tags, attribute values left out."""
    return "".join(re.sub(r'"[^"]*"', "", tag) for tag in re.findall(r"<[a-z][^>]*>", page))


async def test_the_name_of_a_token_comes_back_as_it_was_written(user: Browser) -> None:
    name = "<b>bold</b> & 'quoted'"
    made = await user.submit("/tokens", {"name": name, "scope": "inference", "lifetime": "90"})
    listed = await user.get("/tokens")
    assert "<b>bold</b>" not in made.text + listed.text
    if made.status_code == 200:
        assert name in unescape(listed.text)


@pytest.mark.parametrize(
    "to",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/%09/evil.example", "javascript:alert(1)", "\\\\e"],
)
async def test_no_page_leads_to_another_site_after_signing_in(house: PortalHouse, user: Browser, to: str) -> None:
    browser = house.browser()
    shown = await browser.get(f"/sign-in?next={to}")
    assert "evil.example" not in shown.text
    done = await browser.post("/sign-in", {"email": "pages@example.com", "password": PASSWORD, "next": to})
    assert done.status_code == 303
    assert done.headers["location"] in ("/overview", "/%09/evil.example")
    again = await browser.get(f"/sign-in?next={to}")
    assert again.headers["location"] == "/overview"
    proven = await browser.submit("/account/confirm", {"password": PASSWORD, "next": to})
    assert proven.headers["location"] in ("/overview", "/%09/evil.example")


async def test_what_a_request_says_of_its_host_is_in_no_mail_and_in_no_page(house: PortalHouse, user: Browser) -> None:
    browser = house.browser()
    await browser.get("/forgot")
    hostile = {
        "host": "evil.example",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "forwarded": "host=evil.example",
        "origin": browser.origin,
        "sec-fetch-site": "same-origin",
    }
    # `Origin` is that of another host than the one named, so a browser's form is refused; one of ours is not.
    assert (await browser.post("/forgot", {"email": "pages@example.com"}, headers=hostile)).status_code == 403
    ours = {**hostile, "origin": "https://portal.example"}
    before = len([mail for mail in house.mails.mails if "pages@example.com" in mail.to])
    assert (await browser.post("/forgot", {"email": "pages@example.com"}, headers=ours)).status_code == 200
    mail = await house.mails.next_to("pages@example.com", after=before)
    assert (mail.link or "").startswith("https://portal.example/reset?link=")
    assert "evil" not in mail.text
    pages = [await browser.get(path, headers=hostile) for path in ("/", "/docs", "/sign-in", "/nowhere")]
    assert not [page.url for page in pages if "evil.example" in page.text]
