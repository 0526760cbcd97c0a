"""The portal while Postgres is away: calm pages, and nobody loses a session."""

import psycopg

from devstack.pytest_plugin import Databases
from tests.service.gateway.portal_house import PASSWORD, PortalHouse, portal_house


async def test_without_the_database_pages_say_that_they_are_not_available_just_now(databases: Databases) -> None:
    async with portal_house(databases) as house:
        browser = await house.signed_up("ada@example.com")
        await browser.get("/account")
        await _take_database_away(house)
        answers = [
            await browser.get("/account"),
            await browser.post("/account/password", {"present": PASSWORD, "password": "another four quiet words"}),
            await browser.post("/sign-in", {"email": "ada@example.com", "password": PASSWORD}),
        ]
        first = await browser.get("/")
    assert [answer.status_code for answer in answers[:2]] == [503, 503]
    assert answers[0].headers["retry-after"] == "2"
    # Nobody can be known, so the form of a session is not known either.
    assert answers[2].status_code in (403, 503)
    assert first.status_code == 200
    assert browser.session, "the user is still signed in when the database is back"


async def _take_database_away(house: PortalHouse) -> None:
    """It lets nobody in any more, and those who are in go."""
    info = psycopg.conninfo.conninfo_to_dict(house.gateway.database.admin_url)
    name = str(info.pop("dbname"))
    elsewhere = psycopg.conninfo.make_conninfo(dbname="postgres", **{key: str(value) for key, value in info.items()})
    async with await psycopg.AsyncConnection.connect(elsewhere, autocommit=True) as connection:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
