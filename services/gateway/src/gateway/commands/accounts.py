"""The commands on accounts: opening, suspending, listing, and the demo's."""

from pathlib import Path
from typing import Annotated

import typer

from chassis.bus import BusError
from chassis.database import create_engine
from chassis.watched import load
from contracts.plans import PlanCatalogue
from gateway import accounts, demo, demo_users
from gateway.auth import Authenticator
from gateway.commands.session import AsJson, connected, moment, putting_in_force, read_settings, run, show
from gateway.errors import PlanUnknown
from gateway.settings import AdminSettings
from gateway.store import Store
from gateway.store.users import UserStore
from gateway.tables import Account

IdOrName = Annotated[str, typer.Argument(help="Id or name of the account.")]


def create_account(
    name: Annotated[str, typer.Argument(help="Unique name of the customer.")],
    *,
    plan: Annotated[str | None, typer.Option(help="Plan to open with; without it, the default plan.")] = None,
    as_json: AsJson = False,
) -> None:
    """Open an account and tell the other services."""
    settings = read_settings()

    async def work(store: Store) -> None:
        if plan is not None:
            plans = load(settings.plans_file, PlanCatalogue)
            if plans.plan(plan) is None:
                raise PlanUnknown(plan, plans.names)
        account = await accounts.open_account(store, name=name, plan=plan)
        is_announced = await _announced(settings, store, account)
        result = {"account_id": str(account.account_id), "name": name, "plan": plan, "announced": is_announced}
        show(result, f"account {account.account_id} opened", as_json=as_json)

    run(settings, work)


async def _announced(settings: AdminSettings, store: Store, account: Account) -> bool:
    """Whether the other services were told. If not, nothing is lost: a running gateway tells them."""
    try:
        async with connected(settings) as connection:
            await accounts.announce(connection, store, account, timeout_seconds=settings.publish_timeout_seconds)
    except BusError as exc:
        typer.echo(f"not announced yet ({exc}); a running gateway will do it", err=True)
        return False
    return True


def suspend_account(
    account: IdOrName,
    *,
    reason: Annotated[str, typer.Option(help="Why, for staff; the customer is not shown it.")],
    as_json: AsJson = False,
) -> None:
    """Suspend an account. When this returns 0, nothing is admitted for it any more, on any replica."""
    settings = read_settings()

    async def work(store: Store) -> None:
        found = await accounts.find_account(store, account)
        await _put_in_force(settings, store, await accounts.suspend(store, found, reason=reason), as_json=as_json)

    run(settings, work)


def resume_account(account: IdOrName, *, as_json: AsJson = False) -> None:
    """End the suspension of an account. When this returns 0, its requests are admitted again."""
    settings = read_settings()

    async def work(store: Store) -> None:
        found = await accounts.find_account(store, account)
        await _put_in_force(settings, store, await accounts.resume(store, found), as_json=as_json)

    run(settings, work)


async def _put_in_force(settings: AdminSettings, store: Store, account: Account, *, as_json: bool) -> None:
    async with putting_in_force(settings, account) as connection:
        seconds = settings.block_token_timeout_seconds
        await accounts.tell_suspension(connection, store, account, timeout_seconds=seconds)
    state = "not suspended" if account.suspended_at is None else "suspended"
    show(
        {**_described(account), "in_force": True},
        f"account {account.account_id} is {state}, in force now",
        as_json=as_json,
    )


def list_accounts(*, as_json: AsJson = False) -> None:
    """List all accounts, and which of them are suspended."""
    settings = read_settings()

    async def work(store: Store) -> None:
        listed = await store.accounts()
        result = {"accounts": [_described(account) for account in listed]}
        show(result, "\n".join(_line(account) for account in listed), as_json=as_json)

    run(settings, work)


def seed_demo(
    *,
    tokens_file: Annotated[Path, typer.Option(help="Where the tokens are kept, by plan; made readable for you only.")],
) -> None:
    """Make one demo account per plan, each with a working token and a user of the portal, who is written to
    `portal.json` beside the tokens. Repeating it keeps what still works."""
    settings = read_settings()

    async def work(store: Store) -> None:
        plans = load(settings.plans_file, PlanCatalogue)
        authenticator = Authenticator(
            store, cache_seconds=1, refusal_cache_seconds=0, cache_entries=100, lookup_timeout_seconds=10
        )
        async with connected(settings) as connection:
            made = await demo.seed(
                store,
                connection,
                authenticator,
                plans=plans,
                file=tokens_file,
                timeout_seconds=settings.publish_timeout_seconds,
            )
        engine = create_engine(settings.database_url.get_secret_value(), pool_size=1)
        try:
            file = tokens_file.with_name(demo_users.FILE)
            users = await demo_users.seed(store, UserStore(engine), plans=plans, file=file)
        finally:
            await engine.dispose()
        typer.echo(f"demo accounts are ready ({len(made)} new tokens, {len(users)} new users)")

    run(settings, work)


def _described(account: Account) -> dict[str, object]:
    return {
        "account_id": str(account.account_id),
        "name": account.name,
        "plan": account.plan,
        "opened_at": moment(account.opened_at),
        "suspended_at": moment(account.suspended_at),
        "suspension_reason": account.suspension_reason,
        "in_force": account.suspension_told >= account.suspension_revision,
    }


def _line(account: Account) -> str:
    suspended = ""
    if account.suspended_at is not None:
        suspended = f"  SUSPENDED {account.suspended_at:%Y-%m-%d %H:%M} ({account.suspension_reason})"
    owed = "" if account.suspension_told >= account.suspension_revision else "  NOT in force yet"
    return f"{account.account_id}  {account.name}  opened {account.opened_at:%Y-%m-%d}{suspended}{owed}"


COMMANDS = (create_account, suspend_account, resume_account, list_accounts, seed_demo)
