"""The page of service tokens: what is shown once, what ends when, and that nobody reaches the tokens of others."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from chassis import bus
from chassis.database import create_engine
from contracts.gateway import TOKEN_REVOKED, TokenRevoked
from devstack.probes import until
from devstack.provider import Provider, scripts
from devstack.pytest_plugin import FreshDatabase
from gateway import accounts
from gateway.auth import SCOPES, USAGE_READ
from gateway.portal.service_tokens import ACTIVE_LIMIT
from gateway.store import Store, TokenStore
from gateway.tables import Token
from tests.service.gateway.chat_house import House, house, target
from tests.service.gateway.portal_house import Browser
from tests.service.gateway.portal_member import member, stranger

_TOKEN = re.compile(r"sr_live_[0-9A-Za-z]{38}")
_NONCE = re.compile(r'(nonce="|name="csrf" value=")[^"]*"')


@pytest.fixture
async def home(nats_url: str, fresh_database: FreshDatabase, tmp_path: Path) -> AsyncIterator[House]:
    async with (
        Provider(default=scripts.answer("Hello.")) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as opened,
    ):
        yield opened


@asynccontextmanager
async def stores(home: House) -> AsyncIterator[tuple[Store, TokenStore]]:
    engine = create_engine(home.database.url("gateway"), pool_size=1)
    try:
        yield Store(engine), TokenStore(engine)
    finally:
        await engine.dispose()


async def tokens_of(home: House, *, account: str = "acme") -> Sequence[Token]:
    async with stores(home) as (store, _):
        owner = await accounts.find_account(store, account)
        return await store.tokens_of(owner.account_id)


async def issued(
    home: House, *, name: str = "ci", account: str = "acme", lifetime: timedelta | None = None
) -> tuple[str, UUID]:
    """A token of an account, and its id."""
    async with stores(home) as (store, _):
        owner = await accounts.find_account(store, account)
        secret, token = await accounts.issue_token(store, owner, name=name, scopes=SCOPES, lifetime=lifetime)
        return secret, token.token_id


async def may_read(home: House, secret: str) -> bool:
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {secret}"}) as client:
        return (await client.get(f"{home.base_url}/usage")).status_code == 200


async def create(browser: Browser, **fields: str) -> httpx.Response:
    wanted = {"name": "laptop", "scope": USAGE_READ, "lifetime": "30", **fields}
    return await browser.submit("/tokens", wanted)


def shown(page: httpx.Response) -> str:
    (secret,) = set(_TOKEN.findall(page.text))
    return str(secret)


async def test_signed_out_readers_are_sent_to_sign_in_and_back(home: House) -> None:
    page = await (await stranger(home)).get("/tokens")
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/tokens")


async def test_a_new_token_works_and_is_shown_once_only(home: House) -> None:
    browser = await member(home)
    page = await create(browser)
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    secret = shown(page)
    assert f"export SMARTROUTE_TOKEN={secret}" in page.text
    assert await may_read(home, secret)
    later = await browser.get("/tokens")
    assert f"sr_live_…{secret[-4:]}" in later.text
    assert not _TOKEN.search(later.text)


async def test_a_token_has_the_name_the_scopes_and_the_life_that_were_chosen(home: House) -> None:
    await create(await member(home), name=" night build ")
    token = (await tokens_of(home))[-1]
    assert (token.name, token.scopes) == ("night build", [USAGE_READ])
    assert token.expires_at is not None
    assert token.expires_at - token.created_at == timedelta(days=30)


async def test_a_token_can_be_made_to_last(home: House) -> None:
    await create(await member(home), lifetime="never")
    assert (await tokens_of(home))[-1].expires_at is None


async def test_what_is_wrong_with_a_form_is_said_at_its_field_and_nothing_is_made(home: House) -> None:
    page = await create(await member(home), name="x" * 81, scope="admin", lifetime="1000")
    assert page.status_code == 422
    for says in ("At most 80 characters.", "Choose at least one.", "Choose one of these."):
        assert says in page.text
    assert 'aria-invalid="true"' in page.text
    assert len(await tokens_of(home)) == 1


async def test_a_name_is_shown_as_the_text_that_it_is(home: House) -> None:
    name = '<img src=x onerror="alert(1)">{{ 7 * 7 }}'
    browser = await member(home)
    page = await create(browser, name=name)
    listed = await browser.get("/tokens")
    one = await browser.get(f"/tokens/{(await tokens_of(home))[-1].token_id}")
    for text in (page.text, listed.text, one.text):
        assert "<img" not in text
        assert name in unescape(text)


async def test_an_account_never_has_more_active_tokens_than_it_may(home: House) -> None:
    browser = await member(home)
    for number in range(ACTIVE_LIMIT - 3):
        await issued(home, name=str(number))
    await issued(home, name="expired", lifetime=timedelta(seconds=-1))
    await browser.get("/tokens")
    fields = {"name": "one of many", "scope": USAGE_READ, "lifetime": "30"}
    pages = await asyncio.gather(*(browser.post("/tokens", fields) for _ in range(6)))
    assert sorted(page.status_code for page in pages) == [200, 200, 409, 409, 409, 409]
    async with stores(home) as (_, tokens):
        assert len(await tokens.active(home.account_id)) == ACTIVE_LIMIT


async def test_a_new_token_needs_a_recent_proof_of_who_asks(home: House) -> None:
    browser = await member(home, proven_ago=timedelta(hours=2))
    page = await create(browser)
    assert page.status_code == 303
    assert page.headers["location"].startswith("/account/confirm")
    _, token_id = await issued(home)
    rotated = await browser.post(f"/tokens/{token_id}/rotate", {"overlap": "1"})
    assert rotated.headers["location"].startswith("/account/confirm")
    assert len(await tokens_of(home)) == 2
    listed = await browser.get("/tokens")
    assert 'href="/account/confirm?next=/tokens"' in listed.text


async def test_a_token_that_rotates_is_good_beside_its_successor_until_its_end(home: House) -> None:
    secret, token_id = await issued(home, name="agent", lifetime=timedelta(days=90))
    assert await may_read(home, secret)
    page = await (await member(home)).submit(f"/tokens/{token_id}/rotate", {"overlap": "1"}, page="/tokens")
    successor = shown(page)
    assert successor != secret
    assert await may_read(home, secret)
    assert await may_read(home, successor)
    _, old, new = await tokens_of(home)
    assert (new.name, new.scopes, old.revoked_at) == ("agent", old.scopes, None)
    assert old.expires_at is not None
    assert new.expires_at is not None
    assert abs(old.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert abs(new.expires_at - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)


async def test_every_gateway_is_told_to_read_a_rotated_token_anew(home: House) -> None:
    _, token_id = await issued(home)
    heard: list[UUID] = []
    async with bus.connect(home.nats_url, name="test", instance="test") as connection:

        def note(revoked: TokenRevoked) -> None:
            heard.append(revoked.token_id)

        async def is_told() -> bool:
            return token_id in heard

        await bus.hear(connection, TOKEN_REVOKED, note)
        await (await member(home)).submit(f"/tokens/{token_id}/rotate", {"overlap": "24"}, page="/tokens")
        assert await until(is_told, within_seconds=30)


async def test_rotation_never_makes_a_token_last_longer(home: House) -> None:
    _, token_id = await issued(home, lifetime=timedelta(hours=3))
    before = (await tokens_of(home))[-1].expires_at
    await (await member(home)).submit(f"/tokens/{token_id}/rotate", {"overlap": "168"}, page="/tokens")
    assert (await tokens_of(home))[1].expires_at == before


async def test_rotation_without_an_overlap_ends_the_old_token_at_once(home: House) -> None:
    secret, token_id = await issued(home)
    assert (await home.ask(token=secret)).status == 200
    page = await (await member(home)).submit(f"/tokens/{token_id}/rotate", {"overlap": "0"}, page="/tokens")
    assert "is revoked: nothing is admitted with it any more" in page.text
    assert (await home.ask(token=secret)).status == 401
    assert (await home.ask(token=shown(page))).status == 200


async def test_an_overlap_that_is_not_offered_changes_nothing(home: House) -> None:
    _, token_id = await issued(home)
    page = await (await member(home)).submit(f"/tokens/{token_id}/rotate", {"overlap": "9999"}, page="/tokens")
    assert page.status_code == 422
    assert [token.expires_at for token in await tokens_of(home)] == [None, None]


async def test_a_full_account_rotates_at_once_but_not_with_an_overlap(home: House) -> None:
    for number in range(ACTIVE_LIMIT - 2):
        await issued(home, name=str(number))
    _, token_id = await issued(home)
    browser = await member(home)
    overlapping = await browser.submit(f"/tokens/{token_id}/rotate", {"overlap": "1"}, page="/tokens")
    assert overlapping.status_code == 409
    assert "Revoke one that is not used any more." in overlapping.text
    at_once = await browser.post(f"/tokens/{token_id}/rotate", {"overlap": "0"})
    assert at_once.status_code == 200


async def test_a_revoked_token_is_refused_the_moment_that_the_page_says_so(home: House) -> None:
    secret, token_id = await issued(home)
    assert (await home.ask(token=secret)).status == 200
    browser = await member(home, proven_ago=timedelta(hours=20))
    answer = await browser.submit(f"/tokens/{token_id}/revoke", page="/tokens")
    assert (answer.status_code, answer.headers["location"]) == (303, "/tokens?done=revoked")
    assert (await home.ask(token=secret)).status == 401
    listed = await browser.get("/tokens?done=revoked")
    assert "Nothing is admitted with it any more." in listed.text
    assert "Tokens that have ended (1)" in listed.text


async def test_a_revocation_that_quota_does_not_confirm_is_said_to_be_marked_only(home: House) -> None:
    _, token_id = await issued(home)
    browser = await member(home)
    await home.stop("quota")
    answer = await browser.submit(f"/tokens/{token_id}/revoke", page="/tokens")
    assert answer.headers["location"] == "/tokens?done=marked"
    listed = await browser.get("/tokens?done=marked")
    assert "not yet refused everywhere" in listed.text
    one = await browser.get(f"/tokens/{token_id}")
    assert "Try again to have it refused everywhere" in one.text
    token = (await tokens_of(home))[-1]
    assert token.revoked_at is not None
    assert token.blocked_at is None


async def test_tokens_of_others_are_not_there(home: House) -> None:
    _, token_id = await issued(home)
    other = await member(home, account="stranger")
    before = await tokens_of(home)
    await other.get("/tokens")
    missing = await other.get(f"/tokens/{uuid4()}")
    answers = [
        await other.get(f"/tokens/{token_id}"),
        await other.post(f"/tokens/{token_id}/rotate", {"overlap": "0"}),
        await other.post(f"/tokens/{token_id}/revoke"),
        await other.post(f"/tokens/{uuid4()}/revoke"),
        await other.get("/tokens/no-id"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert {_NONCE.sub("", answer.text) for answer in answers} == {_NONCE.sub("", missing.text)}
    assert await tokens_of(home) == before
    assert "sr_live_…" not in (await other.get("/tokens")).text


async def test_a_form_from_elsewhere_changes_nothing(home: House) -> None:
    _, token_id = await issued(home)
    browser = await member(home)
    await browser.get("/tokens")
    before = await tokens_of(home)
    for path in ("/tokens", f"/tokens/{token_id}/rotate", f"/tokens/{token_id}/revoke"):
        fields = {"name": "x", "scope": USAGE_READ, "lifetime": "30", "overlap": "0"}
        assert (await browser.post(path, fields, csrf="")).status_code == 403
        assert (await browser.post(path, fields, headers={"origin": "https://evil.example"})).status_code == 403
    assert await tokens_of(home) == before


async def test_a_token_that_has_ended_can_neither_rotate_nor_be_seen_as_active(home: House) -> None:
    _, token_id = await issued(home, lifetime=timedelta(seconds=-1))
    browser = await member(home)
    rotated = [
        await browser.submit(f"/tokens/{token_id}/rotate", {"overlap": overlap}, page="/tokens")
        for overlap in ("0", "1")
    ]
    assert [answer.status_code for answer in rotated] == [404, 404]
    one = await browser.get(f"/tokens/{token_id}")
    assert "Expired" in one.text
    assert f'action="/tokens/{token_id}/' not in one.text
