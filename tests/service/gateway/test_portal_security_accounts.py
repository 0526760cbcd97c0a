"""Nothing of one account can be seen, used or changed from another one: every route that names something, tried.

Quota and billing run for real, so that their refusals are tested with the portal's.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from chassis.bus import connect
from contracts.quota import Reserve
from devstack.probes import until
from devstack.pytest_plugin import Databases
from gateway import accounts
from gateway.tables import Token, User
from tests.service.billing.billing_process import Billing
from tests.service.gateway.portal_house import Browser, PortalHouse, portal_house
from tests.service.gateway.portal_routes import routes
from tests.service.quota.quota_process import replica as quota_running
from tests.service.quota.requests import settle

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA, EVE = "ada@example.com", "eve@example.com"
TOKEN_NAME = "the token of ada alone"

_UPGRADE = re.compile(r'name="upgrade" value="([^"]+)"')
_NAMED = re.compile(r"\{(\w+)\}")
# Parameters of paths that name nothing of anybody.
_PUBLIC = {"name", "client", "file"}


@dataclass(frozen=True, slots=True)
class Scene:
    """Ada has one of everything; Eve has an account, too."""

    house: PortalHouse
    ada: Browser
    eve: Browser
    user: User
    token: Token
    session_id: UUID
    request_id: UUID
    upgrade_id: str

    @property
    def named(self) -> dict[str, str]:
        """What paths can name, with what is Ada's."""
        return {
            "token_id": str(self.token.token_id),
            "session_id": str(self.session_id),
            "request_id": str(self.request_id),
        }

    async def tokens(self) -> list[Token]:
        async with self.house.gateway.store() as store:
            return list(await store.tokens_of(self.user.account_id))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(databases: Databases) -> AsyncIterator[Scene]:
    async with portal_house(databases, "quota", "billing") as house:
        database, nats_url = house.gateway.database, house.gateway.nats_url
        async with quota_running(database, nats_url), Billing(database, nats_url).running():
            ada, eve = await house.signed_up(ADA), await house.signed_up(EVE)
            async with house.users() as users:
                user = await users.by_email(ADA)
            assert user is not None
            async with house.gateway.store() as store:
                owner = await accounts.find_account(store, str(user.account_id))
                _, token = await accounts.issue_token(store, owner, name=TOKEN_NAME, scopes=("inference",))
            request_id = await _settled(house, user.account_id, token.token_id)
            other = await house.signed_in(ADA)
            session_id = await _session_of(house, other)
            yield Scene(house, ada, eve, user, token, session_id, request_id, await _wished(ada))


async def _settled(house: PortalHouse, account_id: UUID, token_id: UUID) -> UUID:
    question = Reserve(request_id=uuid4(), account_id=account_id, token_id=token_id, gateway="test")
    async with connect(house.gateway.nats_url, name="test", instance="test") as bus:
        await settle(bus, question)
    return question.request_id


async def _session_of(house: PortalHouse, browser: Browser) -> UUID:
    """The session that a browser has, by what the page of sessions does not offer to end."""
    page = (await browser.get("/account")).text
    async with house.users() as users:
        user = await users.by_email(ADA)
    assert user is not None
    ends = {UUID(found) for found in re.findall(r"/account/sessions/([0-9a-f-]{36})/end", page)}
    every = await house.rows("SELECT session_id FROM gateway.sessions WHERE user_id = %s", user.user_id)
    ((own,),) = [row for row in every if row[0] not in ends]
    assert isinstance(own, UUID)
    return own


async def _wished(ada: Browser) -> str:
    """A pending wish of Ada's for a larger plan, once billing knows the account."""

    async def is_asked() -> bool:
        await ada.get("/plans")
        return (await ada.post("/plans/upgrade", {"plan": "pro", "wish": "adas-wish"})).status_code == 303

    assert await until(is_asked, within_seconds=15)
    (upgrade_id,) = _UPGRADE.findall((await ada.get("/plans")).text)
    return str(upgrade_id)


async def test_what_is_adas_is_there_for_ada(scene: Scene) -> None:
    """Otherwise the refusals below would say nothing."""

    async def is_there() -> bool:
        return (await scene.ada.get(f"/overview/requests/{scene.request_id}")).status_code == 200

    assert await until(is_there, within_seconds=30)
    assert (await scene.ada.get(f"/tokens/{scene.token.token_id}")).status_code == 200
    assert TOKEN_NAME in (await scene.ada.get("/tokens")).text


async def test_every_route_that_names_something_of_another_account_says_that_there_is_nothing(scene: Scene) -> None:
    found = []
    for route in await routes():
        named = set(_NAMED.findall(route.path))
        if not named or named <= _PUBLIC:
            continue
        assert named <= scene.named.keys() | _PUBLIC, f"{route.path}: this test has to know what that names"
        await scene.eve.get("/account")
        path = route.filled(scene.named)
        fields = {"overlap": "24", "name": "taken over", "scope": "inference", "lifetime": "90"}
        answer = await (scene.eve.post(path, fields) if route.is_change else scene.eve.get(path))
        unknown = await _of_nobody(scene, route.path, is_change=route.is_change, fields=fields)
        if not answer.status_code == unknown.status_code == 404:
            found.append(f"{route.method} {route.path}: {answer.status_code}, {unknown.status_code}")
    assert found == []


async def _of_nobody(scene: Scene, path: str, *, is_change: bool, fields: dict[str, str]) -> httpx.Response:
    """The same for something that nobody has: both look alike."""
    filled = _NAMED.sub(str(uuid4()), path)
    return await (scene.eve.post(filled, fields) if is_change else scene.eve.get(filled))


async def test_nothing_of_adas_has_changed(scene: Scene) -> None:
    async def everything() -> tuple[object, ...]:
        (token,) = [each for each in await scene.tokens() if each.token_id == scene.token.token_id]
        sessions = await scene.house.rows(
            "SELECT session_id FROM gateway.sessions WHERE user_id = %s ORDER BY 1", scene.user.user_id
        )
        names = sorted(each.name for each in await scene.tokens())
        return token.revoked_at, token.expires_at, token.digest, names, sessions

    before = await everything()
    for path in (f"/tokens/{scene.token.token_id}/revoke", f"/tokens/{scene.token.token_id}/rotate"):
        await scene.eve.submit(path, {"overlap": "24"}, page="/tokens")
    await scene.eve.submit(f"/account/sessions/{scene.session_id}/end", page="/account")
    await scene.eve.submit("/account/sessions/end-others", page="/account")
    await scene.eve.submit("/account/password", {"present": "x", "password": "x"}, page="/account")
    assert await everything() == before
    assert (before[0], before[1]) == (None, None)


async def test_a_wish_for_a_plan_is_withdrawn_and_repeated_by_its_account_only(scene: Scene) -> None:
    await scene.eve.get("/plans")
    withdrawn = await scene.eve.post("/plans/withdraw", {"upgrade": scene.upgrade_id})
    assert withdrawn.status_code == 404
    await scene.eve.post("/plans/upgrade", {"plan": "pro", "wish": "adas-wish"})
    await scene.eve.post("/plans/noted", {"upgrade": scene.upgrade_id})
    assert _UPGRADE.findall((await scene.ada.get("/plans")).text) == [scene.upgrade_id]
    rows = await scene.house.rows(
        "SELECT state, account_id FROM billing.upgrades WHERE upgrade_id = %s", UUID(scene.upgrade_id)
    )
    assert rows == [("pending", scene.user.account_id)]


async def test_examples_do_not_name_the_token_of_another_account(scene: Scene) -> None:
    await scene.eve.get("/docs")
    await scene.eve.post("/docs/token", {"token": str(scene.token.token_id)})
    chosen = await scene.house.rows("SELECT preferred_token_id FROM gateway.users WHERE email = %s", EVE)
    assert chosen == [(None,)]
    await scene.ada.get("/docs")
    await scene.ada.post("/docs/token", {"token": str(scene.token.token_id)})
    assert await scene.house.rows("SELECT preferred_token_id FROM gateway.users WHERE email = %s", ADA) == [
        (scene.token.token_id,)
    ]


async def test_no_page_of_one_user_shows_anything_of_another(scene: Scene) -> None:
    theirs = [ADA, TOKEN_NAME, scene.token.last_four + "<", str(scene.user.account_id), *scene.named.values()]
    seen = []
    for route in await routes():
        if route.is_change or _NAMED.search(route.path):
            continue
        page = (await scene.eve.get(route.path)).text
        seen += [f"{route.path}: {text}" for text in (*theirs, scene.upgrade_id) if text in page]
    assert seen == []


async def test_the_cookie_of_one_user_with_the_form_of_another_changes_nothing(scene: Scene) -> None:
    await scene.ada.get("/account")
    answer = await scene.eve.post("/account/sessions/end-others", csrf=scene.ada.csrf)
    assert answer.status_code == 403
    assert await scene.ada.is_signed_in()


async def test_a_token_of_the_tester_is_of_the_account_that_asks_for_it(scene: Scene) -> None:
    await scene.eve.get("/tester")
    asked = await scene.eve.post("/tester/token", {"account_id": str(scene.user.account_id)})
    assert asked.status_code == 200
    rows = await scene.house.rows(
        "SELECT u.email FROM gateway.tokens t JOIN gateway.users u USING (account_id) WHERE t.session_id IS NOT NULL"
    )
    assert {row[0] for row in rows} == {EVE}
