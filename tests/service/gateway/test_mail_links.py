"""Links that were sent by mail: one is used up with all others of its e-mail, whoever follows them at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest_asyncio

from chassis.database import create_engine
from devstack.pytest_plugin import FreshDatabase
from gateway.portal.identity import links
from gateway.store.mail_links import MailLinkStore, Purpose
from gateway.store.users import UserStore

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Stores:
    users: UserStore
    links: MailLinkStore

    async def sent(self, purpose: Purpose, email: str, *, valid: timedelta = HOUR) -> bytes:
        _, link = links.made(purpose, email, valid=valid, password_hash="hash")
        await self.links.add(link)
        return link.digest

    async def sign_up(self, email: str) -> None:
        assert await self.users.open_by_link(await self.sent("sign_up", email), account_id=uuid4(), user_id=uuid4())


@pytest_asyncio.fixture
async def stores(fresh_database: FreshDatabase) -> AsyncIterator[Stores]:
    engine = create_engine((await fresh_database("gateway")).url("gateway"), pool_size=8)
    yield Stores(UserStore(engine), MailLinkStore(engine))
    await engine.dispose()


async def test_of_links_that_are_followed_at_once_one_opens_the_account_and_nobody_waits_for_nobody(
    stores: Stores,
) -> None:
    for number in range(10):
        digests = [await stores.sent("sign_up", f"{number}@example.com") for _ in range(4)]
        opened = await asyncio.gather(
            *(stores.users.open_by_link(one, account_id=uuid4(), user_id=uuid4()) for one in digests)
        )
        assert len([one for one in opened if one is not None]) == 1


async def test_of_links_that_are_followed_at_once_one_changes_the_password(stores: Stores) -> None:
    for number in range(10):
        email = f"{number}@example.com"
        await stores.sign_up(email)
        digests = [await stores.sent("reset", email) for _ in range(4)]
        changed = await asyncio.gather(
            *(stores.users.reset_by_link(one, password_hash=str(place)) for place, one in enumerate(digests))
        )
        (good,) = [place for place, one in enumerate(changed) if one is not None]
        user = await stores.users.by_email(email)
        assert user is not None
        assert user.password_hash == str(good)


async def test_a_password_that_is_changed_while_it_is_reset_is_one_of_both(stores: Stores) -> None:
    for number in range(10):
        email = f"{number}@example.com"
        await stores.sign_up(email)
        user = await stores.users.by_email(email)
        assert user is not None
        digests = [await stores.sent("reset", email) for _ in range(2)]
        await asyncio.gather(
            *(stores.users.reset_by_link(one, password_hash="reset") for one in digests),
            stores.users.change_password(user.user_id, password_hash="changed", session_id=uuid4()),
        )
        user = await stores.users.by_email(email)
        assert user is not None
        assert user.password_hash in ("reset", "changed")
        assert await stores.links.find(digests[0], "reset") is None


async def test_a_link_that_is_over_is_removed_while_the_others_are_used_up(stores: Stores) -> None:
    for number in range(10):
        email = f"{number}@example.com"
        over = [await stores.sent("sign_up", email, valid=timedelta(0)) for _ in range(5)]
        good = await stores.sent("sign_up", email)
        opened, *_ = await asyncio.gather(
            stores.users.open_by_link(good, account_id=uuid4(), user_id=uuid4()),
            *(stores.links.purge(limit=100) for _ in range(3)),
        )
        assert opened is not None
        assert [await stores.links.find(one, "sign_up") for one in over] == [None] * 5
