"""Who guesses learns nothing: which e-mails are known, which passwords are near, and never more often than told.

That answers take the same time is shown by the work that they take, which can be counted: the same statements to the
database, and the same number of password hashes. Times themselves would be a test of the machine.
"""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import psycopg
import pytest
import pytest_asyncio

from devstack.otlp import OtlpReceiver
from devstack.pytest_plugin import Databases
from tests.service.gateway.portal_house import PASSWORD, Browser, PortalHouse, portal_house, secret_of, without_secrets

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRONG = "not the words of anybody"
# Of the same length, so that pages that repeat them are, too.
KNOWN, UNKNOWN, NO_PASSWORD = "known@example.com", "other@example.com", "empty@example.com"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(databases: Databases) -> AsyncIterator[PortalHouse]:
    async with portal_house(databases) as running:
        await running.signed_up(KNOWN)
        await running.signed_up(NO_PASSWORD)
        await running.execute("UPDATE gateway.users SET password_hash = NULL WHERE email = %s", NO_PASSWORD)
        yield running


async def _hashes(house: PortalHouse) -> float:
    """How many password hashes were computed, by the gateway's own count."""
    metrics = (await house.client.get(f"{house.process.health}/metrics")).text
    found = re.findall(r"^smartroute_portal_password_hashes\S* (\S+)$", metrics, re.MULTILINE)
    return sum(float(value) for value in found)


async def _rows(house: PortalHouse) -> tuple[int, ...]:
    """How many rows were ever written and removed in the tables of this part, by Postgres's own count."""
    url = house.gateway.database.admin_url
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        counted = await connection.execute(
            "SELECT (SELECT count(*) FROM gateway.mail_links), (SELECT count(*) FROM gateway.sign_in_failures),"
            " (SELECT count(*) FROM gateway.users), (SELECT count(*) FROM gateway.sessions)"
        )
        row = await counted.fetchone()
    assert row is not None
    return tuple(row)


@dataclass(frozen=True, slots=True)
class Told:
    """All that an answer tells, and the work behind it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    page: str
    cookies: tuple[str, ...]
    hashes: float
    rows: tuple[int, ...]


async def _told(house: PortalHouse, path: str, email: str, **fields: str) -> Told:
    browser = house.browser()
    await browser.get(path)
    await house.execute("DELETE FROM gateway.sign_in_failures")
    hashes, rows = await _hashes(house), await _rows(house)
    answer = await browser.post(path, {"email": email, **fields})
    more = tuple(after - before for before, after in zip(rows, await _rows(house), strict=True))
    return Told(
        answer.status_code,
        _headers(answer),
        without_secrets(answer.text).replace(email, "E-MAIL"),
        tuple(re.sub(r"=[^;]*", "", line, count=1) for line in answer.headers.get_list("set-cookie")),
        await _hashes(house) - hashes,
        more,
    )


def _headers(answer: httpx.Response) -> tuple[tuple[str, str], ...]:
    """Without those that are another one for every answer."""
    each_its_own = {"x-request-id", "traceparent", "date", "set-cookie", "content-security-policy"}
    return tuple(sorted((name, value) for name, value in answer.headers.items() if name not in each_its_own))


async def test_signing_in_tells_nothing_of_who_is_known(house: PortalHouse) -> None:
    told = [await _told(house, "/sign-in", email, password=WRONG) for email in (KNOWN, UNKNOWN, NO_PASSWORD)]
    assert told[0] == told[1] == told[2]
    assert (told[0].status, told[0].hashes) == (422, 1)


async def test_signing_up_tells_nothing_of_who_is_known(house: PortalHouse) -> None:
    told = [await _told(house, "/sign-up", email, password=PASSWORD) for email in (KNOWN, UNKNOWN)]
    assert told[0] == told[1]
    assert (told[0].status, told[0].hashes, told[0].rows[0]) == (200, 1, 1)


async def test_a_forgotten_password_tells_nothing_of_who_is_known(house: PortalHouse) -> None:
    told = [await _told(house, "/forgot", email) for email in (KNOWN, UNKNOWN)]
    assert told[0] == told[1]
    assert (told[0].status, told[0].hashes, told[0].rows[0]) == (200, 0, 1)
    assert not [
        mail for mail in house.mails.mails if UNKNOWN in mail.to and "link=" in mail.text and "reset" in mail.text
    ]


async def test_waits_tell_nothing_of_who_is_known(house: PortalHouse) -> None:
    pages = []
    for email in ("alpha@example.com", "gamma@example.com"):
        if email.startswith("alpha"):
            await house.signed_up(email)
        await house.browser().submit("/sign-in", {"email": email, "password": WRONG})
        await house.hold_waits(more=3)
        waits = await house.browser().submit("/sign-in", {"email": email, "password": WRONG})
        assert waits.status_code == 429
        pages.append(re.sub(r"in \d+ seconds?", "", without_secrets(waits.text).replace(email, "E-MAIL")))
    assert pages[0] == pages[1]


async def test_many_guesses_at_once_at_one_account_are_few(house: PortalHouse) -> None:
    await house.signed_up("target@example.com")
    before = await _hashes(house)
    browsers = [house.browser() for _ in range(24)]
    for browser in browsers:
        await browser.get("/sign-in")
    fields = {"email": "target@example.com", "password": WRONG}
    began = time.monotonic()
    answers = await asyncio.gather(*(browser.post("/sign-in", fields) for browser in browsers))
    codes = [answer.status_code for answer in answers]
    # Four, and one more for each wait of 2, 4, 8 … seconds that was over before the last of them was counted.
    waited = int(math.log2((time.monotonic() - began) / 2 + 1))
    assert codes.count(429) == 24 - codes.count(422)
    assert 4 <= codes.count(422) <= 4 + waited
    assert await _hashes(house) - before == codes.count(422), "who is told to wait costs no hash"


async def test_guesses_from_one_address_at_many_accounts_are_few(house: PortalHouse) -> None:
    browser = house.browser()
    await browser.get("/sign-in")
    codes = []
    for number, more in enumerate((9, 0, 0)):
        fields = {"email": f"spray{number}@example.com", "password": WRONG}
        codes.append((await browser.post("/sign-in", fields)).status_code)
        await house.hold_waits(more=more)
    assert codes == [422, 422, 429]


async def test_the_address_that_counts_is_what_our_proxy_says_and_nothing_that_a_client_adds(
    house: PortalHouse,
) -> None:
    codes = []
    for number, more in enumerate((10, 0)):
        browser = Browser(house.process.origin, house.client, address=f"203.0.113.{number}, 198.51.100.77")
        fields = {"email": f"proxied{number}@example.com", "password": WRONG}
        codes.append((await browser.submit("/sign-in", fields)).status_code)
        await house.hold_waits(more=more)
    assert codes == [422, 429]


async def test_without_a_proxy_of_ours_nothing_that_a_client_says_of_its_address_counts(databases: Databases) -> None:
    """Not even from a neighbour on the same machine."""
    async with portal_house(databases, trusted_proxies="") as bare:
        codes = []
        for number, more in enumerate((10, 0)):
            browser = Browser(bare.process.origin, bare.client, address=f"203.0.113.{number}")
            fields = {"email": f"direct{number}@example.com", "password": WRONG}
            codes.append((await browser.submit("/sign-in", fields)).status_code)
            await bare.hold_waits(more=more)
        assert codes == [422, 429]


async def test_links_cannot_be_guessed_at_for_long(house: PortalHouse) -> None:
    browser = house.browser()
    codes = []
    for number, more in enumerate((9, 0, 0)):
        codes.append((await browser.get(f"/reset?link={'A' * 42}{number}")).status_code)
        await house.hold_waits(more=more)
    assert codes == [410, 410, 429]


async def test_a_link_of_one_kind_is_none_of_the_other(house: PortalHouse) -> None:
    await house.browser().submit("/sign-up", {"email": "kinds@example.com", "password": PASSWORD})
    link = await house.link_to("kinds@example.com")
    secret = secret_of(link)
    browser = house.browser()
    answer = await browser.submit("/reset", {**secret, "password": WRONG}, page="/sign-in")
    assert answer.status_code == 410
    assert (await browser.get(link)).status_code == 200


async def test_no_secret_is_in_any_log_metric_or_trace(databases: Databases) -> None:
    """Every flow once, with words that would be found anywhere."""
    with OtlpReceiver() as receiver:
        secrets, written = await _canaries(databases, receiver)
        for secret in ("canary", *secrets):
            assert receiver.occurrences(secret) == 0
        assert receiver.spans, "something was traced"
    assert len(secrets) > 6
    assert len(written) > 100, "something was logged"
    assert "canary" not in written
    assert not [secret for secret in secrets if secret in written]
    assert not re.search(r"sr_live_\w{8}|argon2id|__Host-", written.replace("\\", ""))


async def _canaries(databases: Databases, receiver: OtlpReceiver) -> tuple[set[str], str]:
    """All secrets of a user who did everything once, and all that the gateway wrote meanwhile."""
    async with portal_house(databases, environment=receiver.environment, log_level="DEBUG") as house:
        email, password, changed = "canary@example.com", "canary words in a row", "canary other words in a row"
        browser = await house.signed_up(email, password)
        wrong = house.browser()
        await wrong.submit("/sign-in", {"email": email, "password": "canary but not the one"})
        await wrong.submit("/sign-up", {"email": email, "password": "canary and again another"})
        await wrong.submit("/forgot", {"email": email})
        reset = await house.link_to(email, after=2)
        secrets = {*browser.cookies.values(), browser.csrf, secret_of(reset)["link"]}
        await wrong.submit(reset, {**secret_of(reset), "password": changed})
        fields = {"present": changed, "password": password}
        await wrong.submit("/account/password", fields, page="/account")
        made = await wrong.submit("/tokens", {"name": "canary", "scope": "inference", "lifetime": "90"})
        secrets |= {*wrong.cookies.values(), wrong.csrf, *re.findall(r"sr_live_\w+", made.text)}
        await wrong.post("/sign-out")
        secrets.add(secret_of(await house.link_to(email))["link"])
        metrics = (await house.client.get(f"{house.process.health}/metrics")).text
        await house.process.child.end()
        log = house.process.child.program.log.read_text(encoding="utf-8", errors="replace")
    return {secret for secret in secrets if secret}, log + metrics
