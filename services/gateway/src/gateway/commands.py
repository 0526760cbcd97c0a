"""The commands on accounts and tokens. Results go to standard output, as text or as JSON; remarks to standard error."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from chassis import bus, logs
from chassis.bus import Bus, BusError
from chassis.database import create_engine
from chassis.watched import load
from contracts.plans import PlanCatalogue
from gateway import accounts, demo, terminal
from gateway.auth import SCOPES, Authenticator
from gateway.errors import NotInForce, PlanUnknown, ScopeUnknown
from gateway.settings import AdminSettings
from gateway.store import Store
from gateway.tables import Account, Token

BUS_WAIT_SECONDS = 5.0

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(cli: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (create_account, create_token, revoke_token, list_tokens, seed_demo):
        cli.command()(command)


def create_account(
    name: Annotated[str, typer.Argument(help="Unique name of the customer.")],
    *,
    plan: Annotated[str | None, typer.Option(help="Plan to open with; without it, the default plan.")] = None,
    as_json: AsJson = False,
) -> None:
    """Open an account and tell the other services."""
    settings = _settings()

    async def work(store: Store) -> None:
        if plan is not None:
            plans = load(settings.plans_file, PlanCatalogue)
            if plans.plan(plan) is None:
                raise PlanUnknown(plan, plans.names)
        account = await accounts.open_account(store, name=name, plan=plan)
        is_announced = await _announced(settings, store, account)
        result = {"account_id": str(account.account_id), "name": name, "plan": plan, "announced": is_announced}
        _print(result, f"account {account.account_id} opened", as_json=as_json)

    _run(settings, work)


async def _announced(settings: AdminSettings, store: Store, account: Account) -> bool:
    """Whether the other services were told. If not, nothing is lost: a running gateway tells them."""
    try:
        async with _connected(settings) as connection:
            await accounts.announce(connection, store, account, timeout_seconds=settings.publish_timeout_seconds)
    except BusError as exc:
        typer.echo(f"not announced yet ({exc}); a running gateway will do it", err=True)
        return False
    return True


def create_token(
    account: Annotated[str, typer.Argument(help="Id or name of the account.")],
    *,
    name: Annotated[str, typer.Option(help="What it is for.")] = "token",
    expires_days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; without it, never.")] = None,
    scopes: Annotated[str, typer.Option(help="What it may do, separated by commas.")] = ",".join(SCOPES),
    as_json: AsJson = False,
) -> None:
    """Make a service token and print it. It is not stored and cannot be shown again."""
    settings = _settings()
    asked = tuple(dict.fromkeys(scope.strip() for scope in scopes.split(",")))

    async def work(store: Store) -> None:
        for scope in asked:
            if scope not in SCOPES:
                raise ScopeUnknown(scope, SCOPES)
        owner = await accounts.find_account(store, account)
        lifetime = timedelta(days=expires_days) if expires_days is not None else None
        secret, token = await accounts.issue_token(store, owner, name=name, scopes=asked, lifetime=lifetime)
        _print({"token": secret, **_described(token)}, secret, as_json=as_json)

    _run(settings, work)


def revoke_token(
    token_id: Annotated[UUID, typer.Argument(help="Id of the token, from list-tokens.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Revoke a token. When this returns 0, nothing is admitted with it any more, on any replica."""
    settings = _settings()

    async def work(store: Store) -> None:
        await accounts.mark_revoked(store, token_id)
        try:
            async with _connected(settings) as connection:
                seconds = settings.block_token_timeout_seconds
                await accounts.block_token(connection, store, token_id, timeout_seconds=seconds)
        except NotInForce:
            raise
        except BusError as exc:
            raise NotInForce(token_id, str(exc)) from exc
        result = {"token_id": str(token_id), "in_force": True}
        _print(result, f"token {token_id} is revoked, in force now", as_json=as_json)

    _run(settings, work)


def list_tokens(
    account: Annotated[str, typer.Argument(help="Id or name of the account.")], *, as_json: AsJson = False
) -> None:
    """List the tokens of an account, without their secrets."""
    settings = _settings()

    async def work(store: Store) -> None:
        owner = await accounts.find_account(store, account)
        listed = await store.tokens_of(owner.account_id)
        described = [_described(token) for token in listed]
        lines = [_line(token) for token in listed]
        _print({"account_id": str(owner.account_id), "tokens": described}, "\n".join(lines), as_json=as_json)

    _run(settings, work)


def seed_demo(
    *,
    tokens_file: Annotated[Path, typer.Option(help="Where the tokens are kept, by plan; made readable for you only.")],
) -> None:
    """Make one demo account per plan with a working token each. Repeating it keeps what still works."""
    settings = _settings()

    async def work(store: Store) -> None:
        plans = load(settings.plans_file, PlanCatalogue)
        authenticator = Authenticator(
            store, cache_seconds=1, refusal_cache_seconds=0, cache_entries=100, lookup_timeout_seconds=10
        )
        async with _connected(settings) as connection:
            made = await demo.seed(
                store,
                connection,
                authenticator,
                plans=plans,
                file=tokens_file,
                timeout_seconds=settings.publish_timeout_seconds,
            )
        typer.echo(f"demo accounts are ready ({len(made)} new tokens)")

    _run(settings, work)


def _settings() -> AdminSettings:
    settings = terminal.read_settings(AdminSettings)
    logs.configure("gateway", instance=settings.instance, level="ERROR")
    return settings


def _run(settings: AdminSettings, work: Callable[[Store], Awaitable[None]]) -> None:
    async def with_store() -> None:
        engine = create_engine(settings.database_url.get_secret_value(), pool_size=2)
        try:
            await work(Store(engine))
        finally:
            await engine.dispose()

    with terminal.failures_told():
        asyncio.run(with_store())


@asynccontextmanager
async def _connected(settings: AdminSettings) -> AsyncIterator[Bus]:
    url = settings.nats_url.get_secret_value()
    async with bus.connect(url, name="gateway", instance=settings.instance, wait_seconds=BUS_WAIT_SECONDS) as opened:
        yield opened


def _print(result: Mapping[str, object], text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(result) if as_json else text)


def _described(token: Token) -> dict[str, object]:
    def moment(value: datetime | None) -> str | None:
        return value.isoformat() if value is not None else None

    return {
        "token_id": str(token.token_id),
        "account_id": str(token.account_id),
        "name": token.name,
        "scopes": token.scopes,
        "last_four": token.last_four,
        "created_at": moment(token.created_at),
        "expires_at": moment(token.expires_at),
        "revoked_at": moment(token.revoked_at),
        "last_used_at": moment(token.last_used_at),
    }


def _line(token: Token) -> str:
    revoked = f"  REVOKED {token.revoked_at:%Y-%m-%d %H:%M}" if token.revoked_at is not None else ""
    expires = f"{token.expires_at:%Y-%m-%d}" if token.expires_at is not None else "never"
    used = f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at is not None else "never"
    scopes = ",".join(token.scopes)
    return f"{token.token_id}  …{token.last_four}  {token.name}  {scopes}  expires {expires}  used {used}{revoked}"
