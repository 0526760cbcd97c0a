"""Accounts and tokens as the operator handles them, and what a running gateway owes the others because of them.

A row is written first and told second. What could not be told stays owed in the row (`announced_at`, `blocked_at` are
null, `suspension_told` is behind) and every running gateway pays such debts: to be told twice changes nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis.background import beside
from chassis.bus import Bus, BusError, PeerUnavailable, ask, publish, tell
from chassis.database import StoreAway
from contracts.endpoint import ReplyT, RequestT, Rpc
from contracts.failures import Failure
from contracts.gateway import ACCOUNT_OPENED, TOKEN_REVOKED, AccountOpened, TokenRevoked
from contracts.quota import BLOCK_TOKEN, SUSPEND_ACCOUNT, BlockToken, SuspendAccount
from gateway import tokens
from gateway.auth import Authenticator
from gateway.errors import AccountUnknown, NotInForce, TokenUnknown
from gateway.ids import new_id
from gateway.store import Store
from gateway.tables import Account, Token

log = logging.getLogger(__name__)

RELAY_BATCH = 100


async def open_account(store: Store, *, name: str, plan: str | None) -> Account:
    """Write an account and the debt of announcing it. Raises `AccountExists`."""
    account = Account(account_id=new_id(), name=name, plan=plan, opened_at=datetime.now(UTC))
    await store.add_account(account)
    return account


async def announce(bus: Bus, store: Store, account: Account, *, timeout_seconds: float) -> None:
    """Publish `account_opened` and note that it is stored. Raises `EventNotStored`; the debt stays then."""
    opened = AccountOpened(
        account_id=account.account_id, name=account.name, plan=account.plan, opened_at=account.opened_at
    )
    event_id = str(account.account_id)
    await publish(bus, ACCOUNT_OPENED, opened, event_id=event_id, subject=event_id, timeout_seconds=timeout_seconds)
    await store.note_announced(account.account_id)


async def find_account(store: Store, account: str) -> Account:
    """By id or name. Raises `AccountUnknown`."""
    found = await store.find_account(account)
    if found is None:
        raise AccountUnknown(account)
    return found


def new_token(
    account_id: UUID, *, name: str, scopes: Sequence[str], lifetime: timedelta | None = None
) -> tuple[str, Token]:
    """A new token and its row, not yet written. The text exists here and nowhere else: it is shown once."""
    secret = tokens.mint()
    now = datetime.now(UTC)
    token = Token(
        token_id=new_id(),
        account_id=account_id,
        digest=tokens.digest(secret.encode()),
        name=name,
        scopes=list(scopes),
        last_four=secret[-4:],
        created_at=now,
        expires_at=now + lifetime if lifetime is not None else None,
    )
    return secret, token


async def issue_token(
    store: Store, account: Account, *, name: str, scopes: tuple[str, ...], lifetime: timedelta | None = None
) -> tuple[str, Token]:
    """A new token of an account, written."""
    secret, token = new_token(account.account_id, name=name, scopes=scopes, lifetime=lifetime)
    await store.add_token(token)
    return secret, token


def successor(old: Token) -> tuple[str, Token]:
    """A token to take another one's place, not yet written: its name, its scopes, and as long a life from now on."""
    lifetime = old.expires_at - old.created_at if old.expires_at is not None else None
    return new_token(old.account_id, name=old.name, scopes=old.scopes, lifetime=lifetime)


async def tell_changed(bus: Bus, token: Token) -> None:
    """Have every gateway forget what it knows of a token, and read anew until when it is good."""
    await tell(bus, TOKEN_REVOKED, TokenRevoked(token_id=token.token_id))


async def mark_revoked(store: Store, token_id: UUID) -> Token:
    """Write the revocation and the debt of telling quota. Raises `TokenUnknown`. Safe to repeat."""
    token = await store.revoke_token(token_id)
    if token is None:
        raise TokenUnknown(token_id)
    return token


async def block_token(bus: Bus, store: Store, token: Token, *, timeout_seconds: float) -> None:
    """Have quota refuse the token from now on. Raises `NotInForce`; the debt stays then."""
    # First the hint, because it may get through where the answer does not.
    await tell_changed(bus, token)
    request = BlockToken(token_id=token.token_id, account_id=token.account_id)
    await _in_force(bus, BLOCK_TOKEN, request, what=written_of(token), timeout_seconds=timeout_seconds)
    await store.note_blocked(token.token_id)


async def suspend(store: Store, account: Account, *, reason: str) -> Account:
    """Write the suspension and the debt of telling quota; the account as it is now. Safe to repeat."""
    await store.suspend(account.account_id, reason=reason)
    return await find_account(store, str(account.account_id))


async def resume(store: Store, account: Account) -> Account:
    """Write the end of the suspension and the debt of telling quota; the account as it is now. Safe to repeat."""
    await store.resume(account.account_id)
    return await find_account(store, str(account.account_id))


async def tell_suspension(bus: Bus, store: Store, account: Account, *, timeout_seconds: float) -> None:
    """Have quota act by the account's newest suspension or resumption. Raises `NotInForce`; the debt stays then."""
    revision = account.suspension_revision
    request = SuspendAccount(
        account_id=account.account_id, is_suspended=account.suspended_at is not None, revision=revision
    )
    await _in_force(bus, SUSPEND_ACCOUNT, request, what=written_of(account), timeout_seconds=timeout_seconds)
    await store.note_suspension_told(account.account_id, revision=revision)


def written_of(subject: Account | Token) -> str:
    """What our own table says of a revocation or a suspension, for people."""
    if isinstance(subject, Token):
        return f"token {subject.token_id} is marked as revoked"
    state = "not suspended" if subject.suspended_at is None else "suspended"
    return f"account {subject.account_id} is marked as {state}"


async def _in_force(
    bus: Bus, rpc: Rpc[RequestT, ReplyT], request: RequestT, *, what: str, timeout_seconds: float
) -> None:
    """Raises `NotInForce` unless quota has answered."""
    try:
        reply = await ask(bus, rpc, request, timeout_seconds=timeout_seconds)
    except PeerUnavailable as exc:
        raise NotInForce(what, f"quota did not answer ({exc.reason})") from exc
    if isinstance(reply, Failure):
        raise NotInForce(what, f"quota failed ({reply.code})")


async def pay_debts(bus: Bus, store: Store, *, timeout_seconds: float) -> None:
    """Tell once what is still to be told: accounts, revocations, suspensions. Raises `BusError`, `NotInForce`."""
    for account in await store.unannounced_accounts(limit=RELAY_BATCH):
        await announce(bus, store, account, timeout_seconds=timeout_seconds)
        log.info("account announced late", extra={"account_id": str(account.account_id)})
    for token in await store.unblocked_tokens(limit=RELAY_BATCH):
        await block_token(bus, store, token, timeout_seconds=timeout_seconds)
        log.info("token blocked late", extra={"token_id": str(token.token_id)})
    for account in await store.untold_suspensions(limit=RELAY_BATCH):
        await tell_suspension(bus, store, account, timeout_seconds=timeout_seconds)
        log.info("suspension told late", extra={"account_id": str(account.account_id)})


@asynccontextmanager
async def relaying(bus: Bus, store: Store, *, interval_seconds: float, timeout_seconds: float) -> AsyncIterator[None]:
    """Pay debts every `interval_seconds` while the block runs."""

    async def relay() -> None:
        try:
            await pay_debts(bus, store, timeout_seconds=timeout_seconds)
        except (BusError, NotInForce) as exc:
            log.warning("accounts, revocations or suspensions still to be told", extra={"reason": str(exc)})

    async with _every(interval_seconds, relay, name="relay accounts"):
        yield


@asynccontextmanager
async def noting_use(store: Store, authenticator: Authenticator, *, interval_seconds: float) -> AsyncIterator[None]:
    """Write `last_used_at` every `interval_seconds` while the block runs, and once more at its end."""

    async def note() -> None:
        used = authenticator.take_used()
        if not used:
            return
        try:
            await store.note_used(used, at=datetime.now(UTC), coarse=timedelta(seconds=interval_seconds))
        except StoreAway as exc:
            log.warning("use of tokens not noted", extra={"reason": str(exc), "tokens": len(used)})

    async with _every(interval_seconds, note, name="note use of tokens"):
        yield
    await note()


@asynccontextmanager
async def _every(seconds: float, work: Callable[[], Awaitable[None]], *, name: str) -> AsyncIterator[None]:
    async def loop() -> None:
        while True:
            try:
                await work()
            except Exception as exc:  # the edge of a background task: one bad round must not be the last
                log.error("background work crashed", extra={"work": name, "error": type(exc).__name__})
            await asyncio.sleep(seconds)

    async with beside(loop(), name=name):
        yield
