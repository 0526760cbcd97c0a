"""The live tester: what the page is to whom, its token, and that the code it shows for a request runs as it is."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from chassis.database import create_engine
from devstack.probes import until
from devstack.provider import Plan, Provider
from devstack.provider.agent import call, say
from devstack.pytest_plugin import FreshDatabase
from gateway.portal.assets import FOLDER
from gateway.portal.pages.tester import MODULES
from gateway.store import Store
from tests.service.gateway.chat_house import House, house, target
from tests.service.gateway.portal_house import Browser
from tests.service.gateway.portal_member import member, stranger

SAID = "It is a calm afternoon."
AGENT = Plan([call("get_time", {"time_zone": "Europe/Lisbon"}), say(SAID)]).script()
CHOICE = {
    "endpoint": "chat",
    "model": "smart-route-mini",
    "instructions": "Be brief.",
    "prompt": 'It\'s "quoted", $HOME `id` \\ and 世界.',
    "stream": False,
    "tools": False,
    "maxTokens": 300,
}
NODE = Path(sys.prefix) / "bin/node"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=AGENT) as running:
        yield running


@pytest.fixture
async def home(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, provider: Provider
) -> AsyncIterator[House]:
    async with house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as opened:
        yield opened


async def minted(browser: Browser) -> str:
    await browser.get("/tester")
    answer = await browser.post("/tester/token")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    return str(answer.json()["token"])


async def status_with(home: House, token: str, path: str) -> int:
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {token}"}) as client:
        return (await client.get(f"{home.base_url}{path}")).status_code


async def test_signed_out_readers_are_told_what_it_does_and_get_no_token(home: House) -> None:
    browser = await stranger(home)
    page = await browser.get("/tester")
    assert page.status_code == 200
    assert 'href="/sign-in?next=/tester"' in page.text
    assert 'id="tester"' not in page.text
    await browser.get("/sign-in")
    assert (await browser.post("/tester/token")).headers["location"].startswith("/sign-in")


async def test_the_page_offers_every_alias_and_names_every_module_that_its_script_imports(home: House) -> None:
    page = await (await member(home)).get("/tester")
    assert page.text.count("<option") == 7
    for name in MODULES:
        assert f'"{name}": "/static/' in page.text


async def test_the_page_is_there_when_quota_is_away(home: House) -> None:
    browser = await member(home)
    await home.stop("quota")
    page = await browser.get("/tester")
    assert page.status_code == 200
    assert "cannot be shown just now" in page.text


async def test_the_token_of_a_session_is_the_same_for_everybody_who_asks_and_is_good_for_all_that_the_page_needs(
    home: House,
) -> None:
    browser = await member(home)
    token = await minted(browser)
    again = await asyncio.gather(*(browser.post("/tester/token") for _ in range(5)))
    assert {answer.json()["token"] for answer in again} == {token}
    expires_at = datetime.fromisoformat(again[0].json()["expires_at"])
    assert timedelta(minutes=59) < expires_at - datetime.now(UTC) <= timedelta(hours=2)
    assert (await home.ask(token=token)).status == 200
    assert await status_with(home, token, "/usage") == 200


async def test_another_session_of_the_same_user_has_another_token(home: House) -> None:
    assert await minted(await member(home)) != await minted(await member(home))


async def test_the_token_of_a_session_is_not_listed_and_no_page_reaches_it(home: House) -> None:
    browser = await member(home)
    await minted(browser)
    engine = create_engine(home.database.url("gateway"), pool_size=1)
    try:
        token = (await Store(engine).tokens_of(home.account_id))[-1]
    finally:
        await engine.dispose()
    assert token.session_id is not None
    assert "Live tester" not in (await browser.get("/tokens")).text.partition("<main")[2]
    assert (await browser.get(f"/tokens/{token.token_id}")).status_code == 404
    assert (await browser.post(f"/tokens/{token.token_id}/revoke")).status_code == 404


async def test_a_token_ends_with_its_session(home: House) -> None:
    browser = await member(home)
    token = await minted(browser)
    assert await status_with(home, token, "/usage") == 200
    await browser.post("/sign-out")
    assert await status_with(home, token, "/usage") == 401
    assert (await home.ask(token=token)).status == 401


async def test_no_token_is_made_for_another_site(home: House) -> None:
    browser = await member(home)
    await browser.get("/tester")
    assert (await browser.post("/tester/token", csrf="")).status_code == 403
    assert (await browser.post("/tester/token", headers={"origin": "https://evil.example"})).status_code == 403
    assert (await browser.get("/tester/token")).status_code == 405


async def test_a_session_that_is_being_ended_gets_no_token_any_more(home: House) -> None:
    browser = await member(home)
    await browser.get("/tester")

    async def somebody_waits() -> bool:
        async with await psycopg.AsyncConnection.connect(home.database.admin_url) as looking:
            found = await looking.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return await found.fetchone() != (0,)

    async with await psycopg.AsyncConnection.connect(home.database.admin_url) as ending:
        await ending.execute("DELETE FROM gateway.sessions")
        asked = asyncio.create_task(browser.post("/tester/token"))
        assert await until(somebody_waits, within_seconds=30)
        assert not asked.done()
    assert (await asked).headers["location"].startswith("/sign-in")


async def shown(folder: Path, base_url: str, **choice: Any) -> Mapping[str, str]:
    """The code that the page's script shows for a choice, made by the script itself."""
    if not (folder / "node_modules").exists():
        shutil.copytree(FOLDER / "tester", folder / "node_modules/tester")
        (folder / "node_modules/tester/package.json").write_text('{"type": "module"}')
    (folder / "show.mjs").write_text(
        'import { curl, python } from "tester/snippets.js";\n'
        "const [choice, url] = process.argv.slice(2);\n"
        "console.log(JSON.stringify({curl: curl(JSON.parse(choice), url), python: python(JSON.parse(choice), url)}));\n"
    )
    made = await run(NODE, folder / "show.mjs", json.dumps({**CHOICE, **choice}), base_url)
    return dict(json.loads(made))


async def run(*command: str | Path, token: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": "/usr/bin:/bin", "SMARTROUTE_TOKEN": token, "PYTHONUTF8": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("endpoint", ["chat", "responses"])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_curl_command_that_is_shown_sends_just_that_request(
    home: House, provider: Provider, tmp_path: Path, endpoint: str, is_stream: bool
) -> None:
    code = await shown(tmp_path, home.base_url, endpoint=endpoint, stream=is_stream, tools=True)
    out = await run("bash", "-c", code["curl"], token=home.token)
    assert "get_time" in out
    assert (("data: " in out), len(provider.exchanges)) == (is_stream, 1)
    sent = json.dumps(provider.exchanges[0].request.json, ensure_ascii=False)
    assert json.dumps(CHOICE["prompt"], ensure_ascii=False) in sent


@pytest.mark.parametrize("endpoint", ["chat", "responses"])
async def test_the_python_program_that_is_shown_runs_the_tool_and_costs_one_prompt(
    home: House, provider: Provider, tmp_path: Path, endpoint: str
) -> None:
    code = await shown(tmp_path, home.base_url, endpoint=endpoint, tools=True)
    assert SAID in await run(sys.executable, "-c", code["python"], token=home.token)
    assert (len(provider.exchanges), await home.cost()) == (2, 1)


@pytest.mark.parametrize("endpoint", ["chat", "responses"])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_python_program_for_a_plain_request_prints_the_answer(
    home: House, provider: Provider, tmp_path: Path, endpoint: str, is_stream: bool
) -> None:
    provider.always(Plan([say(SAID)]).script())
    code = await shown(tmp_path, home.base_url, endpoint=endpoint, stream=is_stream)
    assert SAID in await run(sys.executable, "-c", code["python"], token=home.token)
