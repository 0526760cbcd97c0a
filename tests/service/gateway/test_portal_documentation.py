"""The documentation over HTTP: readable by everybody, and for its readers with their plan and the token they chose."""

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest
import pytest_asyncio

from devstack.pytest_plugin import Databases
from tests.service.gateway.portal_house import PUBLIC_URL, Browser, PortalHouse, portal_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

_OPTION = re.compile(r'<option value="([0-9a-f-]{36})"( selected)?>([^<]*)</option>')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[PortalHouse]:
    async with portal_house(databases) as opened:
        yield opened


def offered(page: str) -> dict[str, str]:
    """The tokens that a reader can choose from: ids by what is shown."""
    return {unescape(shown): token_id for token_id, _, shown in _OPTION.findall(page)}


def chosen(page: str) -> list[str]:
    return [unescape(shown) for _, is_chosen, shown in _OPTION.findall(page) if is_chosen]


async def reader_with_token(house: PortalHouse, email: str, *, name: str = "laptop") -> Browser:
    browser = await house.signed_up(email)
    fields = {"name": name, "scope": "inference", "lifetime": "90"}
    made = await browser.submit("/tokens", fields)
    assert made.status_code in (200, 201), made.text
    return browser


async def test_everybody_can_read_every_page(house: PortalHouse) -> None:
    browser = house.browser()
    index = (await browser.get("/docs")).text
    paths = sorted(set(re.findall(r'href="(/docs/[\w-]+)"', index)))
    assert len(paths) >= 20
    for path in paths:
        page = await browser.get(path)
        assert page.status_code == 200, path
        assert f'href="{path}" aria-current="page"' in page.text, path
        assert page.text.count("<h1>") == 1, path


async def test_examples_say_where_the_product_is_and_not_what_the_request_was_sent_to(house: PortalHouse) -> None:
    page = (await house.browser().get("/docs/quick-start")).text
    assert f"{PUBLIC_URL}/v1/chat/completions" in page
    assert "127.0.0.1" not in page


async def test_the_catalogue_of_models_is_shown_although_the_router_is_away(house: PortalHouse) -> None:
    page = (await house.browser().get("/docs/models")).text
    assert "<code>smart-route-infinite</code>" in page
    assert "not known" in page


async def test_a_page_that_is_not_there_is_not_found(house: PortalHouse) -> None:
    for path in ("/docs/nothing", "/docs/12-models", "/docs/models.md"):
        assert (await house.browser().get(path)).status_code == 404


async def test_a_search_finds_a_part_of_a_page_and_shows_its_query_as_text(house: PortalHouse) -> None:
    browser = house.browser()
    found = (await browser.get("/docs?q=idempotent+replay")).text
    nothing = (await browser.get("/docs?q=%3Cscript%3Ealert(1)%3C/script%3E")).text
    long = await browser.get(f"/docs?q={'x' * 5000}")
    assert 'href="/docs/idempotency"' in found
    assert "<mark>" in found
    assert "Nothing found" in nothing
    assert "<script>alert" not in nothing
    assert long.status_code == 200


async def test_the_openapi_document_has_the_addresses_of_this_site(house: PortalHouse) -> None:
    answer = await house.browser().get("/openapi.json")
    document = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert document["openapi"] == "3.1.0"
    assert [server["url"] for server in document["servers"]] == [
        f"{PUBLIC_URL}/v1",
        f"{PUBLIC_URL}/api/smart-routing-ai-model/v1",
    ]


async def test_a_reader_chooses_the_token_that_examples_name(house: PortalHouse) -> None:
    browser = await reader_with_token(house, "names@customer.example", name="my <b>laptop</b>")
    before = (await browser.get("/docs/streaming")).text
    token = next(iter(offered(before).values()))
    answer = await browser.post("/docs/token", {"token": token, "back": "/docs/streaming"})
    after = (await browser.get("/docs/streaming")).text
    assert chosen(before) == []
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs/streaming")
    assert "SMARTROUTE_TOKEN</code>: my &lt;b&gt;laptop&lt;/b&gt;" in after
    assert len(chosen(after)) == 1


async def test_a_token_of_another_account_cannot_be_chosen(house: PortalHouse) -> None:
    owner = await reader_with_token(house, "owner@customer.example", name="secret name")
    foreign = next(iter(offered((await owner.get("/docs")).text).values()))
    other = await reader_with_token(house, "other@customer.example")
    answer = await other.submit("/docs/token", {"token": foreign}, page="/docs")
    page = (await other.get("/docs/streaming")).text
    assert answer.status_code == 303
    assert "secret name" not in page
    assert chosen(page) == []


async def test_a_revoked_token_is_not_offered_and_not_named(house: PortalHouse) -> None:
    browser = await reader_with_token(house, "revokes@customer.example", name="soon gone")
    token = next(iter(offered((await browser.get("/docs")).text).values()))
    await browser.post("/docs/token", {"token": token})
    await browser.submit(f"/tokens/{token}/revoke", page=f"/tokens/{token}")
    page = (await browser.get("/docs/streaming")).text
    assert offered(page) == {}
    assert "soon gone" not in page


async def test_the_choice_is_not_made_from_another_site(house: PortalHouse) -> None:
    browser = await reader_with_token(house, "guarded@customer.example")
    token = next(iter(offered((await browser.get("/docs")).text).values()))
    without = await browser.post("/docs/token", {"token": token}, csrf="")
    foreign = {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}
    elsewhere = await browser.post("/docs/token", {"token": token}, headers=foreign)
    assert (without.status_code, elsewhere.status_code) == (403, 403)
    assert chosen((await browser.get("/docs")).text) == []


async def test_a_form_leads_back_to_the_documentation_only(house: PortalHouse) -> None:
    browser = await reader_with_token(house, "returns@customer.example")
    answer = await browser.submit("/docs/token", {"token": "none", "back": "//elsewhere.example"}, page="/docs")
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")


async def test_who_is_not_signed_in_chooses_nothing(house: PortalHouse) -> None:
    browser = house.browser()
    await browser.get("/docs")
    await browser.get("/sign-in")
    answer = await browser.post("/docs/token", {"token": ""})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


async def test_pages_are_readable_while_quota_is_away(house: PortalHouse) -> None:
    browser = await house.signed_up("patient@customer.example")
    page = await browser.get("/docs/models")
    assert page.status_code == 200
    assert "Your plan cannot be shown just now." in page.text
