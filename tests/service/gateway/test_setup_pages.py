"""Set-up pages: files for the alias that the reader has or chooses, to read and to download."""

import json
import re
import tomllib
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest
import pytest_asyncio

from devstack.provider import Provider
from devstack.pytest_plugin import FreshDatabase
from gateway.portal.setup.clients import CLIENTS
from tests.service.gateway import portal_member
from tests.service.gateway.chat_house import House, house, target
from tests.service.gateway.portal_house import Browser

SLUGS = [client.slug for client in CLIENTS]


@pytest_asyncio.fixture
async def home(nats_url: str, fresh_database: FreshDatabase, tmp_path: Path) -> AsyncIterator[House]:
    async with Provider() as provider:
        targets = {"a": target(provider, "a", context_window=64_000, parameters={"max_output_tokens": 6_000})}
        async with house(nats_url, fresh_database, tmp_path, targets) as running:
            yield running


@pytest_asyncio.fixture
async def stranger(home: House) -> Browser:
    return await portal_member.stranger(home)


def chosen(page: str) -> list[str]:
    return re.findall(r'<option value="([^"]+)" selected>', page)


async def test_every_client_has_a_page_with_its_files_and_downloads_that_are_the_same(stranger: Browser) -> None:
    listed = (await stranger.get("/setup")).text
    for slug in SLUGS:
        assert f'href="/setup/{slug}"' in listed
        page = (await stranger.get(f"/setup/{slug}")).text
        shown = [unescape(code) for code in re.findall(r"<code class=\"[^\"]*\">(.*?)</code></pre>", page, re.DOTALL)]
        links = [unescape(link) for link in re.findall(r'href="(/setup/[^"]+\?[^"]*)"', page)]
        assert links, slug
        for link in links:
            file = await stranger.get(link)
            name = link.rpartition("/")[2].partition("?")[0]
            assert file.headers["content-disposition"] == f'attachment; filename="{name}"'
            assert file.headers["content-type"] == "text/plain; charset=utf-8"
            assert file.headers["x-content-type-options"] == "nosniff"
            assert file.text in shown, name


async def test_a_stranger_gets_files_for_the_usual_alias_and_its_true_window(home: House, stranger: Browser) -> None:
    page = (await stranger.get("/setup/opencode")).text
    assert chosen(page) == ["smart-route", "chat"]
    config = json.loads((await stranger.get("/setup/opencode/opencode.json")).text)
    provider = config["provider"]["smartroute"]
    assert provider["options"]["baseURL"] == home.base_url
    assert provider["models"]["smart-route"]["limit"] == {"context": 64_000, "output": 6_000}


async def test_a_member_gets_files_for_the_alias_of_the_plan(home: House) -> None:
    await home.give_plan("pro")
    visitor = await portal_member.member(home)
    page = (await visitor.get("/setup/codex")).text
    assert chosen(page) == ["smart-route-deep"]
    config = tomllib.loads((await visitor.get("/setup/codex/config.toml")).text)
    assert config["model"] == "smart-route-deep"


async def test_what_the_reader_chooses_is_in_the_files_of_the_page(stranger: Browser) -> None:
    page = (await stranger.get("/setup/kilo?alias=smart-route-ultra&api=responses")).text
    assert chosen(page) == ["smart-route-ultra", "responses"]
    (link,) = [unescape(link) for link in re.findall(r'href="(/setup/kilo/kilo.json[^"]*)"', page)]
    config = json.loads((await stranger.get(link)).text)
    assert config["provider"]["smartroute"]["npm"] == "@ai-sdk/openai"
    assert config["model"] == "smartroute/smart-route-ultra"


@pytest.mark.parametrize("query", ["alias=gpt-5", "alias=%3Cscript%3E&api=%3Cscript%3E", "api="])
async def test_what_is_no_choice_is_as_if_nothing_was_chosen(stranger: Browser, query: str) -> None:
    page = (await stranger.get(f"/setup/kilo?{query}")).text
    assert chosen(page) == ["smart-route", "chat"]
    assert "<script>" not in page


@pytest.mark.parametrize("path", ["/setup/emacs", "/setup/codex/passwd", "/setup/codex/..%2f..%2fpasswd"])
async def test_other_clients_and_files_are_not_there(stranger: Browser, path: str) -> None:
    assert (await stranger.get(path)).status_code == 404


async def test_the_catalogue_to_download_is_that_of_the_endpoint(home: House, stranger: Browser) -> None:
    headers = {"authorization": f"Bearer {home.token}"}
    async with home.session.get(f"{home.base_url}/codex/model-catalog", headers=headers) as response:
        endpoint = await response.json()
    assert json.loads((await stranger.get("/setup/codex/smart-route.json")).text) == endpoint


async def test_pages_are_there_without_router_and_quota(home: House) -> None:
    visitor = await portal_member.member(home)
    await home.stop("router")
    await home.stop("quota")
    page = await visitor.get("/setup/codex")
    assert page.status_code == 200
    assert "cannot be shown just now" in page.text
    assert "128,000 tokens" in page.text or "64,000 tokens" in page.text
