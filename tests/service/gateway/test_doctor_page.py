"""The doctor's page: what it says before it runs, what it streams, and what it never shows."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio

from devstack.provider import Provider, faults
from devstack.provider.agent import Plan, call, say
from devstack.provider.server import Ending
from devstack.pytest_plugin import FreshDatabase
from gateway.portal.doctor.dialogue import TOOL
from gateway.portal.doctor.findings import Check
from tests.service.gateway import portal_member
from tests.service.gateway.chat_house import House, house, target
from tests.service.gateway.portal_house import Browser

AGENT = Plan([call(TOOL, {"room": "kitchen"}), say("It is 21 degrees.")]).script()
MINI = "smart-route-mini"


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=AGENT) as running:
        yield running


@pytest_asyncio.fixture
async def home(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, provider: Provider
) -> AsyncIterator[House]:
    async with house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as running:
        yield running


@pytest_asyncio.fixture
async def stranger(home: House) -> Browser:
    return await portal_member.stranger(home)


def codes(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-check="([^"]+)" data-code="([^"]+)"', page))


async def test_the_form_says_what_it_costs_before_it_runs(stranger: Browser, provider: Provider) -> None:
    page = await stranger.get("/doctor")
    assert page.status_code == 200
    assert "A check uses at most 2 prompts" in page.text
    assert 'type="password"' in page.text
    assert all(check.heading in page.text for check in Check)
    assert 'value="session"' not in page.text, "there is no session to take a token from"
    assert provider.exchanges == []


async def test_a_pasted_token_is_examined_and_never_shown(home: House, stranger: Browser) -> None:
    page = await stranger.submit("/doctor", {"token": f"  {home.token} ", "alias": MINI})
    assert page.status_code == 200
    assert list(codes(page.text)) == list(Check)
    assert codes(page.text)["responses-continuation"] == "continuation_free"
    assert home.token not in page.text
    assert "</html>" in page.text
    assert await home.cost() == 2


async def test_all_is_only_said_to_be_well_when_it_is(home: House, stranger: Browser) -> None:
    page = await stranger.submit("/doctor", {"token": home.token, "alias": MINI})
    assert codes(page.text)["receipts"] == "service_away", "there is no billing in this house"
    assert "All is well" not in page.text
    assert "1 of these checks failed" in page.text


async def test_a_member_is_examined_with_a_token_of_the_session(home: House) -> None:
    visitor = await portal_member.member(home)
    form = await visitor.get("/doctor")
    assert 'value="session" checked' in form.text
    page = await visitor.post("/doctor", {"source": "session", "token": "", "alias": MINI})
    assert codes(page.text)["chat-continuation"] == "continuation_free"
    assert "sr_live_" not in re.sub(r"<li data-check.*?</li>", "", page.text, flags=re.DOTALL)
    assert await home.cost() == 2


async def test_a_stranger_cannot_ask_for_a_token_of_a_session(stranger: Browser, provider: Provider) -> None:
    page = await stranger.submit("/doctor", {"source": "session", "token": "", "alias": MINI})
    assert codes(page.text)["token"] == "token_missing"
    assert provider.exchanges == []


async def test_a_form_from_elsewhere_examines_nothing(home: House, stranger: Browser, provider: Provider) -> None:
    await stranger.get("/doctor")
    fields = {"token": home.token, "alias": MINI}
    foreign = await stranger.post("/doctor", fields, headers={"origin": "https://evil.example"})
    without = await stranger.post("/doctor", fields, csrf="")
    assert (foreign.status_code, without.status_code) == (403, 403)
    assert provider.exchanges == []


async def test_what_is_typed_in_is_not_written_into_the_page(stranger: Browser) -> None:
    page = await stranger.submit("/doctor", {"token": "<script>token</script>", "alias": "<script>alias</script>"})
    assert "<script>token" not in page.text
    assert "<script>alias" not in page.text
    assert codes(page.text)["token"] == "token_foreign"


async def test_results_reach_the_reader_while_the_check_runs_and_leaving_ends_it(
    home: House, stranger: Browser, provider: Provider
) -> None:
    provider.always(faults.hang_midway())
    await stranger.get("/doctor")
    fields = {"token": home.token, "alias": MINI, "csrf": stranger.csrf}
    headers = {
        "origin": stranger.origin,
        "accept": "text/html",
        "cookie": "; ".join(f"{name}={value}" for name, value in stranger.cookies.items()),
    }
    async with aiohttp.ClientSession() as session:
        response = await session.post(f"{stranger.origin}/doctor", data=fields, headers=headers)
        shown = ""
        async with asyncio.timeout(10):
            while 'data-check="alias"' not in shown:
                shown += (await response.content.readany()).decode()
        exchange = await provider.exchange(0)
        assert 'data-check="chat-stream"' not in shown
        assert "</html>" not in shown
        response.close()
        assert await exchange.ended() is Ending.CLIENT_DISCONNECTED
