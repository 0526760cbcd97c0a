"""Visitors of a house's portal: nobody, or a user who is signed in by the stores, where a test begins after that."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx

from chassis.database import create_engine
from gateway import accounts
from gateway.portal.visit import SESSION_COOKIE, digest, new_secret
from gateway.store import SessionStore, Store
from gateway.store.users import UserStore
from gateway.tables import Session, User
from tests.service.gateway.chat_house import House
from tests.service.gateway.portal_house import Browser


async def stranger(house: House) -> Browser:
    """A browser that is not signed in; closed with the house."""
    client = await house.stack.enter_async_context(httpx.AsyncClient(timeout=20))
    return Browser(house.base_url.removesuffix("/v1"), client)


async def member(house: House, *, account: str = "acme", proven_ago: timedelta = timedelta(0)) -> Browser:
    """A browser whose user has an account of that name, and proved who it is so long ago."""
    engine = create_engine(house.database.url("gateway"), pool_size=1)
    try:
        store = Store(engine)
        owner = await store.find_account(account) or await accounts.open_account(store, name=account, plan=None)
        user = await _user(UserStore(engine), owner.account_id)
        secret, now = new_secret(), datetime.now(UTC)
        session = Session(
            session_id=uuid4(),
            user_id=user.user_id,
            digest=digest(secret),
            browser="test",
            created_at=now - proven_ago,
            authenticated_at=now - proven_ago,
            last_seen_at=now,
            expires_at=now + timedelta(days=1),
        )
        await SessionStore(engine, idle=timedelta(days=1)).add(session)
    finally:
        await engine.dispose()
    browser = await stranger(house)
    browser.cookies[SESSION_COOKIE] = secret
    return browser


async def _user(users: UserStore, account_id: UUID) -> User:
    email = f"{account_id.hex}@customer.example"
    found = await users.by_email(email)
    if found is None:
        found = User(user_id=uuid4(), account_id=account_id, email=email, created_at=datetime.now(UTC))
        await users.add(found)
    return found
