"""No page of another site changes anything here: every form is refused that a page of ours did not send to its reader.

The matrices are made of the routes that the application has: one that is added tomorrow is tested tomorrow.
"""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from devstack.pytest_plugin import Databases
from tests.service.gateway.portal_house import PASSWORD, PortalHouse, portal_house, secret_of
from tests.service.gateway.portal_routes import OIDC_ENVIRONMENT, Route, routes

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOREIGN = "https://evil.example"
# Whoever is refused must be so before anything is looked at.
SOMETHING = {name: str(uuid4()) for name in ("session_id", "token_id", "request_id")}
# What a reader can do who is not signed in.
OPEN = {"/sign-in", "/sign-up", "/sign-up/confirm", "/forgot", "/reset", "/sign-out"}
OPEN_PAGES = {"/", "/docs", "/docs/{name}", "/openapi.json", "/plans", "/sign-in/oidc", "/sign-in/oidc/callback"}
OPEN_PAGES |= {"/setup", "/setup/{client}", "/setup/{client}/{file}", "/doctor", "/tester"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[PortalHouse]:
    async with portal_house(databases, environment=OIDC_ENVIRONMENT) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def changes() -> list[Route]:
    return [route for route in await routes() if route.is_change]


def _forged(origin: str, *, token: str, foreign_token: str) -> dict[str, tuple[str, dict[str, str]]]:
    """The token and the headers of requests that no page of ours sends."""
    own = {"origin": origin, "sec-fetch-site": "same-origin"}
    return {
        "no token": ("", own),
        "the token of somebody else": (foreign_token, own),
        "a token that was made up": ("A" * len(token), own),
        "from another site": (token, {"origin": FOREIGN, "sec-fetch-site": "cross-site"}),
        "from another site that looks like ours": (token, {"origin": f"{origin}.evil.example"}),
        "from a sandboxed page": (token, {"origin": "null", "sec-fetch-site": "cross-site"}),
        "from nowhere": (token, {"accept": "text/html"}),
        "from a neighbour": (token, {"sec-fetch-site": "same-site"}),
        "from another site without saying which": (token, {"sec-fetch-site": "cross-site"}),
    }


async def test_every_change_of_a_signed_in_user_is_refused_unless_our_page_sent_it(
    house: PortalHouse, changes: list[Route]
) -> None:
    browser, stranger = await house.signed_up("forms@example.com"), await house.signed_up("stranger@example.com")
    await stranger.get("/account")
    done = []
    for route in changes:
        path = route.filled(SOMETHING)
        await browser.get("/account")
        forged = _forged(browser.origin, token=browser.csrf, foreign_token=stranger.csrf)
        for what, (token, headers) in forged.items():
            answer = await browser.post(path, csrf=token, headers=headers)
            if answer.status_code != 403:
                done.append(f"{route.method} {route.path}: {what}: {answer.status_code}")
    assert done == []
    assert await browser.is_signed_in()


async def test_every_change_is_taken_from_our_own_page(house: PortalHouse, changes: list[Route]) -> None:
    """Otherwise the matrix above would say nothing."""
    refused, browser = [], await house.signed_up("own@example.com")
    for route in changes:
        if not await browser.is_signed_in():
            browser = await house.signed_in("own@example.com")
            await browser.get("/account")
        answer = await browser.post(route.filled(SOMETHING), {"name": "own"})
        if answer.status_code in (400, 403, 405) or answer.status_code >= 500:
            refused.append(f"{route.method} {route.path}: {answer.status_code}")
    assert refused == []


async def test_nobody_is_signed_in_or_sent_a_mail_by_a_form_of_another_site(
    house: PortalHouse, changes: list[Route]
) -> None:
    """To be signed in to an account of the attacker's is a danger, too."""
    assert {route.path for route in changes} >= OPEN
    await house.signed_up("login@example.com")
    fields = {"email": "login@example.com", "password": PASSWORD}
    browser, stranger = house.browser(), house.browser()
    await browser.get("/sign-in")
    await stranger.get("/sign-in")
    mails = len(house.mails.mails)
    for path in sorted(OPEN):
        for what, (token, headers) in _forged(browser.origin, token=browser.csrf, foreign_token=stranger.csrf).items():
            answer = await browser.post(path, fields, csrf=token, headers=headers)
            assert (answer.status_code, browser.session) == (403, None), f"{path}: {what}"
    assert len(house.mails.mails) == mails
    assert (await browser.post("/sign-in", fields)).status_code == 303


async def test_what_needs_a_user_sends_everybody_else_to_sign_in(house: PortalHouse) -> None:
    shown = []
    browser = house.browser()
    for route in await routes():
        await browser.get("/sign-in")
        answer = await browser.send(
            route.method,
            route.filled(SOMETHING),
            headers={"origin": browser.origin},
            data={"csrf": browser.csrf} if route.is_change else None,
        )
        is_sent = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?next=")
        if not is_sent and route.path not in OPEN | OPEN_PAGES:
            shown.append(f"{route.method} {route.path}: {answer.status_code}")
    assert shown == []


async def test_a_cookie_that_was_planted_before_is_worth_nothing_after_signing_in(house: PortalHouse) -> None:
    await house.signed_up("fixed@example.com")
    browser, planted = house.browser(), "A" * 43
    browser.cookies["__Host-smartroute_session"] = planted
    browser.cookies["__Host-smartroute_visitor"] = planted
    done = await browser.submit("/sign-in", {"email": "fixed@example.com", "password": PASSWORD})
    assert done.status_code == 303
    assert browser.session not in (None, planted)
    assert browser.visitor is None
    attacker = house.browser()
    attacker.cookies["__Host-smartroute_session"] = planted
    assert not await attacker.is_signed_in()


async def test_every_sign_in_has_a_cookie_of_its_own_and_the_one_before_ends(house: PortalHouse) -> None:
    browser = await house.signed_up("rotated@example.com")
    first = browser.session
    await house.browser().submit("/forgot", {"email": "rotated@example.com"})
    link = await house.link_to("rotated@example.com", after=1)
    await browser.get(link)
    await browser.post("/reset", {**secret_of(link), "password": "another four quiet words"})
    assert browser.session != first
    before = house.browser()
    before.cookies["__Host-smartroute_session"] = first or ""
    assert not await before.is_signed_in()


async def test_the_form_of_a_session_that_has_ended_is_worth_nothing(house: PortalHouse) -> None:
    browser = await house.signed_up("ended@example.com")
    await browser.get("/account")
    token, cookies = browser.csrf, dict(browser.cookies)
    await browser.post("/sign-out")
    browser.cookies = cookies
    answer = await browser.post("/account/sessions/end-others", csrf=token)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")


async def test_a_get_changes_nothing(house: PortalHouse) -> None:
    browser = await house.signed_up("get@example.com")
    for route in await routes():
        if route.is_change:
            await browser.get(route.filled(SOMETHING))
    assert await browser.is_signed_in()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods_are_refused_like_forms(house: PortalHouse, method: str) -> None:
    browser = await house.signed_up(f"{method.lower()}@example.com")
    answer = await browser.send(method, "/account", headers={"origin": FOREIGN})
    assert answer.status_code == 403
