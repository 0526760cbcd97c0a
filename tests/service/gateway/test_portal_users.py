"""Users that operators make: for accounts that were opened without one, and for the demo."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from devstack import programs
from devstack.pytest_plugin import Databases
from tests.commands import Finished
from tests.service.gateway.portal_house import PASSWORD, PortalHouse, portal_house, secret_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[PortalHouse]:
    async with portal_house(databases) as running:
        yield running


async def _with_password(house: PortalHouse, password: str, *arguments: str) -> Finished:
    process = await asyncio.create_subprocess_exec(
        *programs.command("gateway", "create-user", *arguments, "--password-stdin"),
        env=house.gateway.environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(f"{password}\n".encode())
    return Finished(process.returncode or 0, out.decode(), err.decode())


async def test_an_invited_user_chooses_a_password_and_is_signed_in(house: PortalHouse) -> None:
    await house.gateway.command("create-account", "invited")
    done = await house.gateway.command("create-user", "invited", "Invited@Example.com", "--json")
    assert done.json["email"] == "invited@example.com"
    assert done.json["link"] is None
    link = await house.link_to("invited@example.com")
    assert link not in done.out + done.err
    browser = house.browser()
    chosen = await browser.submit(link, {**secret_of(link), "password": PASSWORD})
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/overview")
    page = await (await house.signed_in("invited@example.com")).get("/account")
    assert "invited@example.com" in page.text


async def test_without_a_relay_the_operator_gets_the_link(databases: Databases) -> None:
    async with portal_house(databases) as house:
        await house.gateway.command("create-account", "by hand")
        variables = {name: value for name, value in house.gateway.extra.items() if "SMTP" not in name}
        silent = type(house.gateway)(house.gateway.database, house.gateway.nats_url, variables)
        done = await silent.command("create-user", "by hand", "hand@example.com", "--json")
        link = done.json["link"].removeprefix("http://portal.example")
        browser = house.browser()
        assert (await browser.submit(link, {**secret_of(link), "password": PASSWORD})).status_code == 303


async def test_a_password_that_is_given_is_the_users(house: PortalHouse) -> None:
    await house.gateway.command("create-account", "given")
    done = await _with_password(house, PASSWORD, "given", "given@example.com")
    assert done.code == 0, done.err
    assert PASSWORD not in done.out + done.err
    assert await (await house.signed_in("given@example.com")).is_signed_in()


async def test_a_weak_password_makes_no_user(house: PortalHouse) -> None:
    await house.gateway.command("create-account", "weak")
    done = await _with_password(house, "short", "weak", "weak@example.com")
    assert done.code == 1
    assert done.err == "error: The password needs at least 12 characters. A few words in a row are good.\n"
    async with house.users() as users:
        assert await users.by_email("weak@example.com") is None


async def test_a_user_is_not_made_twice_nor_for_nobody(house: PortalHouse) -> None:
    for name in ("first", "second"):
        await house.gateway.command("create-account", name)
    assert (await house.gateway.command("create-user", "first", "first@example.com")).code == 0
    refused = await asyncio.gather(
        house.gateway.command("create-user", "first", "another@example.com"),
        house.gateway.command("create-user", "second", "first@example.com"),
        house.gateway.command("create-user", "nobody", "nobody@example.com"),
        house.gateway.command("create-user", "second", "second@example.com, third@example.com"),
    )
    assert [one.code for one in refused] == [1] * 4
    assert all(one.err.startswith("error: ") and one.err.count("\n") == 1 for one in refused)


async def test_every_demo_account_has_a_user_who_can_sign_in(house: PortalHouse, tmp_path: Path) -> None:
    seeded = await house.gateway.command("seed-demo", "--tokens-file", str(tmp_path / "tokens.json"))
    assert seeded.code == 0, seeded.err
    file = tmp_path / "portal.json"
    users: dict[str, Any] = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert users.keys() == json.loads((tmp_path / "tokens.json").read_text()).keys()
    assert users["pro"]["email"] == "pro@smartroute.example"
    assert users["pro"]["password"] not in seeded.out + seeded.err
    browser = await house.signed_in(**users["pro"])
    assert "pro@smartroute.example" in (await browser.get("/account")).text
    async with house.gateway.store() as store, house.users() as found:
        account = await store.find_account("demo-pro")
        user = await found.by_email("pro@smartroute.example")
        assert account is not None
        assert user is not None
        assert user.account_id == account.account_id

    # Once more changes nothing; with the file gone there is a new password.
    again = await house.gateway.command("seed-demo", "--tokens-file", str(tmp_path / "tokens.json"))
    assert "0 new users" in again.out
    assert json.loads(file.read_text()) == users
    file.unlink()
    await house.gateway.command("seed-demo", "--tokens-file", str(tmp_path / "tokens.json"))
    mended = json.loads(file.read_text())
    assert mended["pro"]["password"] != users["pro"]["password"]
    assert await (await house.signed_in(**mended["pro"])).is_signed_in()


async def test_a_configuration_without_a_relay_is_good_and_warned_of(house: PortalHouse) -> None:
    variables = {name: value for name, value in house.gateway.extra.items() if "SMTP" not in name}
    silent = type(house.gateway)(house.gateway.database, house.gateway.nats_url, variables)
    checked = await silent.command("check-config")
    assert (checked.code, checked.out) == (0, "configuration is good\n")
    assert checked.err.startswith("warning: no GATEWAY_SMTP_URL")
    half = type(house.gateway)(silent.database, silent.nats_url, {**variables, "GATEWAY_OIDC_CLIENT_SECRET": "hunter2"})
    refused = await half.command("check-config")
    assert refused.code == 1
    assert "hunter2" not in refused.err
