"""Attacks on the sign-in at an OpenID provider, each refused: nobody is signed in, nothing is opened or told."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from devstack.pytest_plugin import Databases
from tests.service.gateway.oidc_house import CALLBACK, CLIENT_SECRET, OidcHouse, oidc_house, with_query
from tests.service.gateway.portal_house import Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLOW_COOKIE = "__Host-smartroute_oidc"

# What the provider does wrong, and the reason that we have for the log.
TOKEN_FAULTS = {
    "wrong nonce": "InvalidClaimError nonce",
    "no nonce": "MissingClaimError nonce",
    "wrong audience": "InvalidClaimError aud",
    "several audiences": "several audiences, and no authorized party",
    "another party": "authorized for another party",
    "expired": "ExpiredTokenError exp",
    "of the future": "InvalidClaimError iat",
    "another issuer": "InvalidClaimError iss",
    "wrong at_hash": "at_hash does not fit",
    "algorithm none": "algorithm not accepted",
    "shared secret": "algorithm not accepted",
    "public key as secret": "algorithm not accepted",
    "key of a stranger": "signature fits no key",
    "no id token": "no tokens for the code",
    "userinfo of another": "userinfo is of another subject",
}
OTHER_STATE = "state of another flow"
OTHER_ISSUER = "answer of another issuer"
OTHER_BROWSER = "not begun with this browser, or too long ago"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[OidcHouse]:
    async with oidc_house(databases) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def eve(house: OidcHouse) -> Browser:
    """A browser whose user the provider vouches for."""
    await house.provider.will(sub="sub-eve", email="eve@example.com", email_verified=True)
    return house.portal.browser()


async def _is_refused(house: OidcHouse, browser: Browser, path: str, *, reason: str | None) -> None:
    """`reason` is told to staff alone; None when the provider said itself that it came to nothing."""
    answer = await browser.get(path)
    assert answer.status_code == 400, answer.text
    assert "That sign-in is not valid" in answer.text
    assert browser.session is None
    if reason is not None:
        assert reason not in answer.text
        assert _reasons(house)[-1] == reason
    async with house.portal.users() as users:
        assert await users.by_email("eve@example.com") is None


def _reasons(house: OidcHouse) -> list[str]:
    """Why sign-ins were refused, by the gateway's log."""
    lines = house.portal.process.child.program.log.read_text().splitlines()
    told = [json.loads(line) for line in lines if '"sign-in at the provider refused"' in line]
    return [str(line["reason"]) for line in told]


@pytest.mark.parametrize(("fault", "reason"), TOKEN_FAULTS.items())
async def test_a_token_that_is_not_what_it_has_to_be_signs_nobody_in(
    house: OidcHouse, eve: Browser, fault: str, reason: str
) -> None:
    await house.provider.will(fault)
    await _is_refused(house, eve, await house.way_back(eve), reason=reason)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"state": "s" * 43}, OTHER_STATE),
        ({"state": None}, OTHER_STATE),
        ({"state": ""}, OTHER_STATE),
        ({"iss": "https://evil.example"}, OTHER_ISSUER),
        ({"iss": ""}, OTHER_ISSUER),
        ({"iss": None}, "issuer of the answer is not named"),
        ({"code": None}, "no code"),
        ({"code": "x" * 5000}, "no code"),
        ({"code": "made-up"}, "provider answered 400"),
        ({"error": "server_error", "error_description": "canary"}, None),
    ],
)
async def test_an_answer_that_was_tampered_with_signs_nobody_in(
    house: OidcHouse, eve: Browser, changed: dict[str, str | None], reason: str | None
) -> None:
    await _is_refused(house, eve, with_query(await house.way_back(eve), **changed), reason=reason)


async def test_a_parameter_that_comes_twice_signs_nobody_in(house: OidcHouse, eve: Browser) -> None:
    path = await house.way_back(eve)
    await _is_refused(house, eve, f"{path}&state={'s' * 43}", reason="a parameter came twice")


async def test_the_answer_to_one_browser_is_worth_nothing_in_another_one(house: OidcHouse, eve: Browser) -> None:
    path = await house.way_back(eve)
    victim = house.portal.browser()
    await _is_refused(house, victim, path, reason=OTHER_BROWSER)
    # Not even in one that has just begun on its own.
    await house.asked(victim)
    await _is_refused(house, victim, path, reason=OTHER_STATE)


@pytest.mark.parametrize("kept", ["", "AAAA", "A" * 600])
async def test_a_cookie_that_we_did_not_seal_is_none(house: OidcHouse, eve: Browser, kept: str) -> None:
    path = await house.way_back(eve)
    eve.cookies[FLOW_COOKIE] = kept
    await _is_refused(house, eve, path, reason=OTHER_BROWSER)


async def test_a_way_back_is_good_once(house: OidcHouse) -> None:
    await house.provider.will(sub="sub-once", email="once-only@example.com", email_verified=True)
    browser = house.portal.browser()
    path = await house.way_back(browser)
    kept = browser.cookies[FLOW_COOKIE]
    assert (await browser.get(path)).status_code == 303
    assert FLOW_COOKIE not in browser.cookies
    thief = house.portal.browser()
    thief.cookies[FLOW_COOKIE] = kept
    assert (await thief.get(path)).status_code == 400, "the provider takes a code once"
    assert thief.session is None


async def test_the_cookie_of_a_flow_is_of_this_host_alone_and_short_lived(house: OidcHouse) -> None:
    begun = await house.portal.browser().get("/sign-in/oidc")
    (line,) = [line for line in begun.headers.get_list("set-cookie") if line.startswith(FLOW_COOKIE)]
    flags = {part.strip() for part in line.split(";")[1:]}
    assert flags == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600"}
    assert begun.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("not asked again", "the user was not asked again"), ("no auth_time", "auth_time is missing")],
)
async def test_a_provider_that_did_not_ask_again_proves_nothing(house: OidcHouse, fault: str, reason: str) -> None:
    await house.provider.will(sub="sub-asked", email="asked@example.com", email_verified=True)
    browser = house.portal.browser()
    await house.visit(browser)
    before = browser.session
    await house.provider.will(fault)
    assert (await house.visit(browser, to="/account")).status_code == 400
    assert _reasons(house)[-1] == reason
    assert browser.session == before


async def test_the_proof_of_one_session_is_worth_nothing_for_another_one(house: OidcHouse) -> None:
    await house.provider.will(sub="sub-owner", email="owner@example.com", email_verified=True)
    owner = house.portal.browser()
    await house.visit(owner)
    path = await house.way_back(owner, to="/account")
    other = await house.portal.signed_up("other@example.com")
    other.cookies[FLOW_COOKIE] = owner.cookies[FLOW_COOKIE]
    before = other.session
    assert (await other.get(path)).status_code == 400
    assert other.session == before


async def test_new_keys_of_the_provider_are_looked_for_when_a_signature_fits_none(databases: Databases) -> None:
    async with oidc_house(databases) as house:
        await house.provider.will(sub="sub-keys", email="keys@example.com", email_verified=True)
        assert (await house.visit(house.portal.browser())).status_code == 303
        await house.provider.will("rotated keys")
        assert (await house.visit(house.portal.browser())).status_code == 303
        # Once in a while, not for each token that fits none.
        await house.provider.will("key of a stranger")
        for _ in range(3):
            assert (await house.visit(house.portal.browser())).status_code == 400
        assert (await house.provider.will()).count("/jwks") == 2


@pytest.mark.parametrize("fault", ["away", "redirects", "endless"])
async def test_a_provider_that_is_away_or_beside_itself_is_told_calmly(
    house: OidcHouse, eve: Browser, fault: str
) -> None:
    path = await house.way_back(eve)
    await house.provider.will(fault)
    answer = await eve.get(path)
    assert answer.status_code == 503
    assert "cannot be reached" in answer.text
    assert answer.headers["retry-after"] == "10"
    assert eve.session is None
    assert "/elsewhere" not in await house.provider.will(), "a code is given to nobody else"


async def test_a_slow_provider_holds_up_nobody_else(house: OidcHouse, eve: Browser) -> None:
    path = await house.way_back(eve)
    await house.provider.will("slow")
    waiting = asyncio.create_task(eve.get(path))
    try:
        assert (await house.portal.browser().get("/sign-in")).status_code == 200
        assert not waiting.done()
        assert (await waiting).status_code == 503
    finally:
        waiting.cancel()


async def test_a_provider_that_says_it_is_another_one_is_not_asked(databases: Databases) -> None:
    async with oidc_house(databases) as house:
        await house.provider.will("discovery of another")
        answer = await house.portal.browser().get("/sign-in/oidc")
        assert answer.status_code == 503
        assert "location" not in answer.headers


async def test_no_secret_of_a_sign_in_is_in_the_log(house: OidcHouse) -> None:
    await house.provider.will(sub="sub-log", email="log-canary@example.com", email_verified=True)
    browser = house.portal.browser()
    path = await house.way_back(browser)
    kept = browser.cookies[FLOW_COOKIE]
    await browser.get(path)
    refused = house.portal.browser()
    await refused.get(with_query(path, state="state-canary"))
    log = house.portal.process.child.program.log.read_text()
    assert "sign-in at the provider refused" in log
    code = path.partition("code=")[2].partition("&")[0]
    for secret in (code, kept, CLIENT_SECRET, "log-canary", "sub-log", "state-canary", str(browser.session)):
        assert secret not in log
    assert CALLBACK not in log or "code=" not in log
