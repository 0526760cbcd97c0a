"""`python -m billing`: the service itself, its migrations, and the commands of billing staff."""

import asyncio
import getpass
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer
from pydantic import ValidationError

from billing import listings
from billing.app import build_app, opened_store
from billing.domain import Subscription, checked_plan
from billing.errors import BillingError
from billing.settings import Settings
from billing.store import LedgerFilter, SchemaNotReady, Store
from billing.tables import LedgerRow
from chassis import migrations, process
from chassis.bus import BusError
from chassis.database import StoreAway
from chassis.watched import ConfigInvalid, load
from contracts.plans import PlanCatalogue

PUBLISHED_WITHIN_SECONDS = 5.0
PUBLISHED_POLL_SECONDS = 0.05

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def serve() -> None:
    """Run the service until SIGTERM or SIGINT."""
    process.run(build_app(_settings()))


@app.command()
def migrate() -> None:
    """Bring the schema up to date; BILLING_DATABASE_URL must name the owner role."""
    migrations.migrate("billing", _settings().database_url.get_secret_value())


@app.command()
def check_config() -> None:
    """Check the settings and the plan catalogue, without touching anything."""
    settings = _settings()
    catalogue = load(settings.plans_file, PlanCatalogue)
    typer.echo(f"billing: settings are valid; {settings.plans_file} is version {catalogue.version}")


@app.command()
def set_plan(
    account: Annotated[UUID, typer.Argument(help="The account's id.")],
    plan: Annotated[str, typer.Argument(help="A plan of the catalogue.")],
    actor: Annotated[str, typer.Option(help="Who decided it; kept with the change.")] = "",
    as_json: AsJson = False,
) -> None:
    """Move an account to another plan, and wait until the running service has told the others."""
    settings = _settings()
    checked_plan(load(settings.plans_file, PlanCatalogue), plan)

    async def change() -> tuple[Subscription, bool]:
        async with opened_store(settings) as store:
            subscription = await store.change_plan(account, plan, actor=actor or getpass.getuser())
            return subscription, await _published(store, subscription)

    subscription, is_published = asyncio.run(change())
    if as_json:
        told = {"account_id": str(account), "plan": plan, "revision": subscription.revision, "published": is_published}
        typer.echo(json.dumps(told | {"effective_at": subscription.effective_at.isoformat()}))
        return
    typer.echo(f"{subscription.name} ({account}) is on plan {plan}, revision {subscription.revision}")
    typer.echo(
        "published: in force everywhere"
        if is_published
        else "recorded, not yet published: a running billing service does that as soon as it can"
    )


@app.command()
def ledger(
    account: Annotated[UUID | None, typer.Option(help="Only lines of this account.")] = None,
    request: Annotated[UUID | None, typer.Option(help="Only the line of this request.")] = None,
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only lines of this UTC day.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest that many lines.")] = 50,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Print lines of the ledger, oldest first."""
    if as_json and as_csv:
        raise typer.BadParameter("--json or --csv, not both")
    settings = _settings()
    wanted = LedgerFilter(account, request, day.date() if day else None, limit)

    async def read() -> Sequence[LedgerRow]:
        async with opened_store(settings) as store:
            return await store.ledger(wanted)

    lines = asyncio.run(read())
    show = listings.ledger_json if as_json else listings.ledger_csv if as_csv else listings.ledger_table
    typer.echo(show(lines))


@app.command()
def subscriptions(as_json: AsJson = False) -> None:
    """Print every account with its plan."""
    settings = _settings()

    async def read() -> Sequence[Subscription]:
        async with opened_store(settings) as store:
            return await store.subscriptions()

    found = asyncio.run(read())
    typer.echo(listings.subscriptions_json(found) if as_json else listings.subscriptions_table(found))


async def _published(store: Store, subscription: Subscription) -> bool:
    """Whether the revision is told, waiting a moment for the running service to do it."""
    deadline = asyncio.get_running_loop().time() + PUBLISHED_WITHIN_SECONDS
    while not await store.is_published(subscription.account_id, subscription.revision):
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(PUBLISHED_POLL_SECONDS)
    return True


def _settings() -> Settings:
    return Settings()


def main() -> None:
    """Exit code 2 for what the caller can mend (settings, plan, account), 1 for a part that is away."""
    try:
        app()
    except ValidationError as exc:
        for fault in process.settings_faults(exc, prefix="BILLING_"):
            typer.echo(fault, err=True)
        sys.exit(2)
    except (ConfigInvalid, BillingError) as exc:
        typer.echo(str(exc), err=True)
        sys.exit(2)
    except SchemaNotReady as exc:
        typer.echo(f"{exc}; run `python -m billing migrate` as its owner", err=True)
        sys.exit(1)
    except StoreAway as exc:
        typer.echo(f"the database does not answer ({exc}); check BILLING_DATABASE_URL", err=True)
        sys.exit(1)
    except BusError as exc:
        typer.echo(str(exc), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
