"""Plans and grants: `set-plan`, `subscriptions`, `grant`, `grants`."""

import asyncio
import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import typer

from billing import listings
from billing.app import opened_store
from billing.commands.arguments import Actor, Limit, actor_or_user, month
from billing.domain import subscriptions as rules
from billing.domain.subscriptions import Grant, Span, Standing, Subscription, checked_plan
from billing.settings import Settings
from billing.store import Subscriptions
from chassis.command_arguments import AsJson, day, moment
from chassis.watched import load
from contracts.plans import PlanCatalogue

PUBLISHED_WITHIN_SECONDS = 5.0
PUBLISHED_POLL_SECONDS = 0.05

Account = Annotated[UUID, typer.Argument(help="The account's id.")]


def register(app: typer.Typer) -> None:
    for command in (set_plan, subscriptions, grant, grants):
        app.command()(command)


def set_plan(
    account: Account,
    plan: Annotated[str, typer.Argument(help="A plan of the catalogue.")],
    begins: Annotated[
        datetime | None,
        typer.Option("--from", parser=moment, metavar="WHEN", help="UTC date or time to come. Default: now."),
    ] = None,
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Move an account to another plan, and wait until the running service has told the others."""
    settings = Settings()
    checked_plan(load(settings.plans_file, PlanCatalogue), plan)

    async def change() -> tuple[Subscription, bool]:
        async with opened_store(settings) as store:
            subscription = await store.subscriptions.change_plan(
                account, plan, actor=actor_or_user(actor), effective_at=begins
            )
            return subscription, await wait_until_told(store.subscriptions, subscription)

    changed, is_published = asyncio.run(change())
    if as_json:
        told = {"account_id": str(account), "plan": plan, "revision": changed.revision, "published": is_published}
        typer.echo(json.dumps(told | {"effective_at": changed.effective_at.isoformat()}))
        return
    since = "is on" if begins is None else f"is from {changed.effective_at.isoformat()} on"
    typer.echo(f"{changed.name} ({account}) {since} plan {plan}, revision {changed.revision}")
    typer.echo(told_or_waits(is_published, "in force everywhere" if begins is None else "known everywhere"))


def subscriptions(as_json: AsJson = False) -> None:
    """Print every account with its plan, and changes to come."""
    settings = Settings()

    async def read() -> Sequence[Standing]:
        async with opened_store(settings) as store:
            return await store.subscriptions.standings()

    found = asyncio.run(read())
    typer.echo(listings.subscriptions_json(found) if as_json else listings.subscriptions_table(found))


def grant(
    account: Account,
    prompts: Annotated[int, typer.Argument(min=1, max=1_000_000_000, help="How many more.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the grant.")],
    for_day: Annotated[
        date | None, typer.Option("--day", parser=day, metavar="D", help="For this UTC day: 2026-12-31.")
    ] = None,
    for_month: Annotated[
        date | None, typer.Option("--month", parser=month, metavar="M", help="For this UTC month: 2026-12.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="WHEN", help="From now until this UTC date or time.")
    ] = None,
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Give an account extra prompts, and wait until the running service has told the others."""
    settings = Settings()
    span = _span(for_day, for_month, until)
    if not reason.strip():
        raise typer.BadParameter("--reason must not be empty")

    async def add() -> tuple[Grant, bool]:
        async with opened_store(settings) as store:
            added = await store.subscriptions.grant(account, prompts, span, actor=actor_or_user(actor), reason=reason)
            return added, await wait_until_told(store.subscriptions, added)

    added, is_published = asyncio.run(add())
    if as_json:
        (document,) = json.loads(listings.grants_json([added]))
        typer.echo(json.dumps(document | {"published": is_published}))
        return
    typer.echo(
        f"{account} has {prompts} more from {added.starts_at.isoformat()} until {added.ends_at.isoformat()}, "
        f"grant {added.grant_id}"
    )
    typer.echo(told_or_waits(is_published, "known everywhere"))


def grants(
    account: Annotated[UUID | None, typer.Option(help="Only grants of this account.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Print grants, oldest first."""
    settings = Settings()

    async def read() -> Sequence[Grant]:
        async with opened_store(settings) as store:
            return await store.subscriptions.grants(account_id=account, limit=limit)

    found = asyncio.run(read())
    typer.echo(listings.grants_json(found) if as_json else listings.grants_table(found))


def _span(for_day: date | None, for_month: date | None, until: datetime | None) -> Span:
    given = [each for each in (for_day, for_month, until) if each is not None]
    if len(given) != 1:
        raise typer.BadParameter("exactly one of --day, --month and --until")
    if until is not None:
        return rules.until(until)
    return rules.of_day(for_day) if for_day is not None else rules.of_month(for_month or given[0])


async def wait_until_told(store: Subscriptions, told: Subscription | Grant) -> bool:
    """Whether it is told, waiting a moment for the running service to do it."""
    deadline = asyncio.get_running_loop().time() + PUBLISHED_WITHIN_SECONDS
    while not await store.is_published(told):
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(PUBLISHED_POLL_SECONDS)
    return True


def told_or_waits(is_published: bool, meaning: str) -> str:
    if is_published:
        return f"published: {meaning}"
    return "recorded, not yet published: a running billing service does that as soon as it can"
