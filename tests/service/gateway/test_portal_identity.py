"""Sign-up, sign-in, sessions and passwords as visitors meet them, against a gateway that runs."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import psycopg
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from devstack.probes import until
from devstack.pytest_plugin import Databases
from gateway import accounts
from tests.service.gateway.portal_house import PASSWORD, Browser, PortalHouse, portal_house, secret_of
from tests.service.quota.quota_process import replica as quota_running

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER_PASSWORD = "another four quiet words"

_END = re.compile(r'action="(/account/sessions/[0-9a-f-]{36}/end)"')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[PortalHouse]:
    async with portal_house(databases, "quota") as running:
        yield running


async def _asked_for(house: PortalHouse, email: str) -> tuple[Browser, str]:
    """A browser that asked for an account, and the link that came."""
    browser = house.browser()
    await browser.submit("/sign-up", {"email": email, "password": PASSWORD})
    return browser, await house.link_to(email)


async def _pass_time(house: PortalHouse, email: str, *columns: str, seconds: float) -> None:
    """Move moments of a user's sessions into the past."""
    moved = ", ".join(f"{column} = {column} - make_interval(secs => {seconds})" for column in columns)
    async with await psycopg.AsyncConnection.connect(
        house.gateway.database.url("gateway"), autocommit=True
    ) as connection:
        await connection.execute(
            f"UPDATE gateway.sessions SET {moved} WHERE user_id = (SELECT user_id FROM gateway.users WHERE email = %s)",
            (email,),
        )


async def test_a_visitor_signs_up_follows_the_link_and_is_signed_in(house: PortalHouse) -> None:
    browser = await house.signed_up("ada@example.com")
    page = await browser.get("/account")
    assert page.status_code == 200
    assert "ada@example.com" in page.text
    async with house.users() as users:
        user = await users.by_email("ada@example.com")
    async with house.gateway.store() as store:
        account = await store.find_account("ada@example.com")
    assert user is not None
    assert account is not None
    assert (account.account_id, account.plan) == (user.account_id, None)
    assert account.announced_at is not None, "told at once, because its plan is to be seen now"


async def test_the_free_plan_is_there_within_a_moment(house: PortalHouse) -> None:
    async with quota_running(house.gateway.database, house.gateway.nats_url):
        browser = await house.signed_up("moment@example.com")

        async def has_plan() -> bool:
            return "Free, Smart-Route Mini" in (await browser.get("/account")).text

        assert await until(has_plan, within_seconds=30)


async def test_an_e_mail_is_the_same_in_capitals_and_with_spaces(house: PortalHouse) -> None:
    await house.signed_up("grace@example.com")
    await house.signed_in("  GRACE@Example.com ")


@pytest.mark.parametrize(
    ("email", "password", "said"),
    [
        ("nobody", PASSWORD, "not an e-mail address"),
        ("a@b@example.com", PASSWORD, "not an e-mail address"),
        ("few@example.com", "short", "at least 12 characters"),
        ("common@example.com", "Password1234", "guessers try"),
    ],
)
async def test_what_cannot_be_taken_is_said_beside_its_field(
    house: PortalHouse, email: str, password: str, said: str
) -> None:
    browser = house.browser()
    answer = await browser.submit("/sign-up", {"email": email, "password": password})
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert password not in answer.text
    assert not [mail for mail in house.mails.mails if email in mail.to]


async def test_a_sign_up_link_works_once(house: PortalHouse) -> None:
    await house.signed_up("once@example.com")
    link = await house.link_to("once@example.com")
    again = await house.browser().get(link)
    assert again.status_code == 410
    assert "not good any more" in again.text
    posted = await house.browser().submit(link, secret_of(link), page="/sign-in")
    assert posted.status_code == 410


async def test_pressing_many_times_at_once_opens_one_account(house: PortalHouse) -> None:
    browser, link = await _asked_for(house, "twice@example.com")
    await browser.get(link)
    answers = await asyncio.gather(*(browser.post("/sign-up/confirm", secret_of(link)) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [303, 410, 410, 410, 410, 410]
    async with house.gateway.store() as store:
        assert len([each for each in await store.accounts() if each.name.startswith("twice@")]) == 1


async def test_two_links_for_one_e_mail_open_one_account(house: PortalHouse) -> None:
    first, link = await _asked_for(house, "links@example.com")
    second = house.browser()
    await second.submit("/sign-up", {"email": "links@example.com", "password": OTHER_PASSWORD})
    other = await house.link_to("links@example.com", after=1)
    await first.get(link)
    await second.get(other)
    answers = await asyncio.gather(
        first.post("/sign-up/confirm", secret_of(link)), second.post("/sign-up/confirm", secret_of(other))
    )
    assert sorted(answer.status_code for answer in answers) == [303, 410]


async def test_loading_the_page_behind_a_link_opens_nothing(house: PortalHouse) -> None:
    """Programs that look at mails follow links."""
    _, link = await _asked_for(house, "scanned@example.com")
    for _ in range(3):
        assert (await house.browser().get(link)).status_code == 200
    async with house.users() as users:
        assert await users.by_email("scanned@example.com") is None


async def test_another_browser_than_the_one_that_asked_has_to_know_the_password(house: PortalHouse) -> None:
    """Whoever asks for an account in another's name must not share it once the other one follows the link."""
    _, link = await _asked_for(house, "victim@example.com")
    theirs = house.browser()
    assert 'type="password"' in (await theirs.get(link)).text
    for guess in ("", OTHER_PASSWORD):
        refused = await theirs.post("/sign-up/confirm", {**secret_of(link), "password": guess})
        assert refused.status_code == 422
    async with house.users() as users:
        assert await users.by_email("victim@example.com") is None
    opened = await theirs.post("/sign-up/confirm", {**secret_of(link), "password": PASSWORD})
    assert opened.status_code == 303


async def test_an_account_of_the_operator_with_that_name_is_left_alone(house: PortalHouse) -> None:
    async with house.gateway.store() as store:
        theirs = await accounts.open_account(store, name="named@example.com", plan="max")
    await house.signed_up("named@example.com")
    async with house.users() as users:
        user = await users.by_email("named@example.com")
    assert user is not None
    assert user.account_id != theirs.account_id


async def test_who_has_an_account_is_told_so_by_mail_and_nothing_changes(house: PortalHouse) -> None:
    await house.signed_up("known@example.com")
    await house.browser().submit("/sign-up", {"email": "known@example.com", "password": OTHER_PASSWORD})
    mail = await house.mails.next_to("known@example.com", after=1)
    assert mail.subject == "You already have an account"
    assert "link=" not in mail.text
    await house.signed_in("known@example.com", PASSWORD)


async def test_a_user_signs_in_goes_where_the_page_was_and_signs_out(house: PortalHouse) -> None:
    await house.signed_up("back@example.com")
    browser = house.browser()
    sent = await browser.get("/account")
    assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?next=/account")
    fields = {"email": "back@example.com", "password": PASSWORD, "next": "/account"}
    done = await browser.submit("/sign-in", fields)
    assert (done.status_code, done.headers["location"]) == (303, "/account")
    assert await browser.is_signed_in()
    out = await browser.post("/sign-out")
    assert (out.status_code, browser.session) == (303, None)
    assert not await browser.is_signed_in()


async def test_the_wrong_password_has_one_text_and_growing_waits(house: PortalHouse) -> None:
    await house.signed_up("guessed@example.com")
    browser = house.browser()
    fields = {"email": "guessed@example.com", "password": OTHER_PASSWORD}
    for more in (0, 2):
        wrong = await browser.submit("/sign-in", fields)
        assert wrong.status_code == 422
        assert "E-mail or password is not right." in wrong.text
        await house.hold_waits(more=more)
    waits = await browser.submit("/sign-in", {**fields, "password": PASSWORD})
    assert waits.status_code == 429
    assert 3500 < int(waits.headers["retry-after"]) <= 3602
    assert "too many tries" in waits.text
    assert not browser.session


async def test_guesses_of_others_are_not_in_the_way_of_a_browser_that_signed_in_before(house: PortalHouse) -> None:
    owner = await house.signed_up("owner@example.com")
    await owner.get("/account")
    await owner.post("/sign-out")
    fields = {"email": "owner@example.com", "password": OTHER_PASSWORD}
    assert (await house.browser().submit("/sign-in", fields)).status_code == 422
    await house.hold_waits(more=3)
    assert (await house.browser().submit("/sign-in", {**fields, "password": PASSWORD})).status_code == 429
    assert (await owner.submit("/sign-in", {**fields, "password": PASSWORD})).status_code == 303


async def test_a_forgotten_password_is_replaced_and_everybody_else_is_signed_out(house: PortalHouse) -> None:
    before = await house.signed_up("forgot@example.com")
    browser = house.browser()
    assert (await browser.submit("/forgot", {"email": "forgot@example.com"})).status_code == 200
    link = await house.link_to("forgot@example.com", after=1)
    other = await browser.submit("/forgot", {"email": "forgot@example.com"})
    assert other.status_code == 200
    unused = await house.link_to("forgot@example.com", after=2)
    weak = await browser.submit(link, {**secret_of(link), "password": "short"})
    assert weak.status_code == 422
    done = await browser.submit(link, {**secret_of(link), "password": OTHER_PASSWORD})
    assert done.status_code == 303
    assert await browser.is_signed_in()
    assert not await before.is_signed_in()
    for link_again in (link, unused):
        assert (await house.browser().get(link_again)).status_code == 410
    assert (await house.mails.next_to("forgot@example.com", after=3)).subject == "Your password was changed"
    assert (
        await house.browser().submit("/sign-in", {"email": "forgot@example.com", "password": PASSWORD})
    ).status_code == 422
    await house.signed_in("forgot@example.com", OTHER_PASSWORD)


async def test_a_reset_ends_the_waits_that_others_guesses_have_made(house: PortalHouse) -> None:
    await house.signed_up("flooded@example.com")
    fields = {"email": "flooded@example.com", "password": OTHER_PASSWORD}
    await house.browser().submit("/sign-in", fields)
    await house.hold_waits(more=3)
    browser = house.browser()
    await browser.submit("/forgot", {"email": "flooded@example.com"})
    link = await house.link_to("flooded@example.com", after=1)
    await browser.submit(link, {**secret_of(link), "password": OTHER_PASSWORD})
    await house.signed_in("flooded@example.com", OTHER_PASSWORD)


async def test_a_password_is_changed_by_who_knows_the_present_one(house: PortalHouse) -> None:
    browser = await house.signed_up("change@example.com")
    elsewhere = await house.signed_in("change@example.com")
    cookie = browser.session
    fields = {"present": OTHER_PASSWORD, "password": OTHER_PASSWORD}
    wrong = await browser.submit("/account/password", fields, page="/account")
    assert wrong.status_code == 422
    assert "That is not your password." in wrong.text
    assert await elsewhere.is_signed_in()
    done = await browser.submit("/account/password", {**fields, "present": PASSWORD}, page="/account")
    assert done.status_code == 303
    assert await browser.is_signed_in()
    assert browser.session != cookie
    assert not await elsewhere.is_signed_in()
    assert (await house.mails.next_to("change@example.com", after=1)).subject == "Your password was changed"
    await house.signed_in("change@example.com", OTHER_PASSWORD)


async def test_guesses_at_the_present_password_are_throttled_too(house: PortalHouse) -> None:
    browser = await house.signed_up("inside@example.com")
    fields = {"present": OTHER_PASSWORD, "password": OTHER_PASSWORD}
    assert (await browser.submit("/account/password", fields, page="/account")).status_code == 422
    await house.hold_waits(more=3)
    assert (await browser.submit("/account/password", fields, page="/account")).status_code == 429
    confirm = await browser.submit("/account/confirm", {"password": PASSWORD})
    assert confirm.status_code == 429


async def test_a_user_sees_the_sessions_and_ends_one_and_then_all_others(house: PortalHouse) -> None:
    browser = await house.signed_up("many@example.com")
    others = [await house.signed_in("many@example.com") for _ in range(3)]
    page = await browser.get("/account")
    ends = _END.findall(page.text)
    assert len(ends) == 3
    assert page.text.count("This one") == 1
    assert (await browser.post(ends[0])).status_code == 303
    assert sum([await other.is_signed_in() for other in others]) == 2
    await browser.get("/account")
    assert (await browser.post("/account/sessions/end-others")).status_code == 303
    assert sum([await other.is_signed_in() for other in others]) == 0
    assert await browser.is_signed_in()


@pytest.mark.parametrize(("column", "seconds"), [("last_seen_at", 86_401), ("expires_at", 1_209_601)])
async def test_a_session_ends_when_its_time_is_over(house: PortalHouse, column: str, seconds: float) -> None:
    email = f"{column.replace('_', '-')}@example.com"
    browser = await house.signed_up(email)
    await _pass_time(house, email, column, seconds=seconds)
    assert not await browser.is_signed_in()


async def test_a_proof_that_was_long_ago_is_asked_for_again_and_gives_a_new_cookie(house: PortalHouse) -> None:
    browser = await house.signed_up("proof@example.com")
    await _pass_time(house, "proof@example.com", "authenticated_at", seconds=3601)
    cookie = browser.session
    fields = {"password": OTHER_PASSWORD, "next": "/account"}
    wrong = await browser.submit("/account/confirm", fields)
    assert (wrong.status_code, browser.session) == (422, cookie)
    done = await browser.submit("/account/confirm", {**fields, "password": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/account")
    assert browser.session != cookie
    stale = house.browser()
    stale.cookies["__Host-smartroute_session"] = cookie or ""
    assert not await stale.is_signed_in()


async def test_signing_out_ends_the_tokens_of_the_session(house: PortalHouse) -> None:
    browser = await house.signed_up("tester@example.com")
    async with house.users() as users, house.gateway.store() as store:
        user = await users.by_email("tester@example.com")
        assert user is not None
        account = await accounts.find_account(store, str(user.account_id))
        _, kept = await accounts.issue_token(store, account, name="kept", scopes=("inference",))
        _, token = await accounts.issue_token(store, account, name="Live tester", scopes=("inference",))
        async with await psycopg.AsyncConnection.connect(
            house.gateway.database.admin_url, autocommit=True
        ) as connection:
            await connection.execute(
                "UPDATE gateway.tokens SET session_id = (SELECT session_id FROM gateway.sessions WHERE user_id = %s)"
                " WHERE token_id = %s",
                (user.user_id, token.token_id),
            )
        await browser.get("/account")
        await browser.post("/sign-out")
        revoked = {each.token_id: each.revoked_at for each in await store.tokens_of(user.account_id)}
    assert revoked[kept.token_id] is None
    assert revoked[token.token_id] is not None


async def test_signing_in_again_ends_the_session_that_the_browser_had(house: PortalHouse) -> None:
    browser = await house.signed_up("again@example.com")
    before = browser.session
    await browser.get("/account")
    await browser.post("/sign-in", {"email": "again@example.com", "password": PASSWORD})
    query = "SELECT count(*) FROM gateway.sessions s JOIN gateway.users u USING (user_id) WHERE u.email = %s"
    assert browser.session not in (None, before)
    assert await house.rows(query, "again@example.com") == [(1,)]


async def test_mails_to_one_address_are_limited_and_said_to_be(house: PortalHouse) -> None:
    codes = [(await house.browser().submit("/forgot", {"email": "bombed@example.com"})).status_code for _ in range(6)]
    assert codes == [200, 200, 200, 200, 200, 429]


async def test_a_hash_with_older_parameters_is_renewed_when_its_user_signs_in(house: PortalHouse) -> None:
    await house.signed_up("older@example.com")
    async with house.users() as users:
        user = await users.by_email("older@example.com")
        assert user is not None
        assert user.password_hash is not None
        older = PasswordHasher.from_parameters(CHEAPEST).hash(PASSWORD)
        await users.rehash(user.user_id, before=user.password_hash, after=older)
        await house.signed_in("older@example.com")
        renewed = await users.by_email("older@example.com")
    assert renewed is not None
    assert renewed.password_hash is not None
    assert renewed.password_hash.startswith("$argon2id$v=19$m=65536")
    assert user.password_changed_at is not None
    assert user.password_changed_at <= datetime.now(UTC)


async def test_where_visitors_may_open_no_accounts_the_page_says_so_and_takes_no_form(
    databases: Databases,
) -> None:
    async with portal_house(databases, sign_up_open="false") as closed:
        browser = closed.browser()
        assert "Ask whoever runs this site" in (await browser.get("/sign-up")).text
        await browser.get("/sign-in")
        refused = await browser.post("/sign-up", {"email": "ada@example.com", "password": PASSWORD})
        assert refused.status_code == 403
        assert closed.mails.mails == []
