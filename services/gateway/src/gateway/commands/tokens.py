"""The commands on service tokens."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer

from gateway import accounts
from gateway.auth import SCOPES
from gateway.commands.session import AsJson, moment, putting_in_force, read_settings, run, show
from gateway.errors import ScopeUnknown
from gateway.store import Store
from gateway.tables import Token


def create_token(
    account: Annotated[str, typer.Argument(help="Id or name of the account.")],
    *,
    name: Annotated[str, typer.Option(help="What it is for.")] = "token",
    expires_days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; without it, never.")] = None,
    scopes: Annotated[str, typer.Option(help="What it may do, separated by commas.")] = ",".join(SCOPES),
    as_json: AsJson = False,
) -> None:
    """Make a service token and print it. It is not stored and cannot be shown again."""
    settings = read_settings()
    asked = tuple(dict.fromkeys(scope.strip() for scope in scopes.split(",")))

    async def work(store: Store) -> None:
        for scope in asked:
            if scope not in SCOPES:
                raise ScopeUnknown(scope, SCOPES)
        owner = await accounts.find_account(store, account)
        lifetime = timedelta(days=expires_days) if expires_days is not None else None
        secret, token = await accounts.issue_token(store, owner, name=name, scopes=asked, lifetime=lifetime)
        show({"token": secret, **_described(token)}, secret, as_json=as_json)

    run(settings, work)


def revoke_token(
    token_id: Annotated[UUID, typer.Argument(help="Id of the token, from list-tokens.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Revoke a token. When this returns 0, nothing is admitted with it any more, on any replica."""
    settings = read_settings()

    async def work(store: Store) -> None:
        token = await accounts.mark_revoked(store, token_id)
        async with putting_in_force(settings, token) as connection:
            seconds = settings.block_token_timeout_seconds
            await accounts.block_token(connection, store, token, timeout_seconds=seconds)
        result = {"token_id": str(token_id), "in_force": True}
        show(result, f"token {token_id} is revoked, in force now", as_json=as_json)

    run(settings, work)


def list_tokens(
    account: Annotated[str, typer.Argument(help="Id or name of the account.")], *, as_json: AsJson = False
) -> None:
    """List the tokens of an account, without their secrets."""
    settings = read_settings()

    async def work(store: Store) -> None:
        owner = await accounts.find_account(store, account)
        listed = await store.tokens_of(owner.account_id)
        described = [_described(token) for token in listed]
        lines = [_line(token) for token in listed]
        show({"account_id": str(owner.account_id), "tokens": described}, "\n".join(lines), as_json=as_json)

    run(settings, work)


def _described(token: Token) -> dict[str, object]:
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


COMMANDS = (create_token, revoke_token, list_tokens)
