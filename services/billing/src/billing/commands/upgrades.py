"""Wishes for larger plans and their payments: `upgrades`, `approve-upgrade`, `decline-upgrade`, `payments`."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from billing import listings
from billing.app import opened_store
from billing.commands.arguments import Actor, Limit, actor_or_user
from billing.commands.plans import told_or_waits, wait_until_told
from billing.domain.upgrades import State, Wish, checked_larger
from billing.handlers.upgrades import shut_page
from billing.payments import opened_payments
from billing.settings import Settings
from billing.store import PaymentEvent, Store
from billing.store.upgrades import Decision
from chassis.command_arguments import AsJson
from chassis.watched import load
from contracts.plans import PlanCatalogue

Named = Annotated[UUID, typer.Argument(metavar="UPGRADE_OR_ACCOUNT", help="The upgrade's id, or its account's.")]


def register(app: typer.Typer) -> None:
    for command in (upgrades, approve_upgrade, decline_upgrade, payments):
        app.command()(command)


def upgrades(
    account: Annotated[UUID | None, typer.Option(help="Only those of this account.")] = None,
    with_decided: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Print wishes for a larger plan that wait for a decision, oldest first."""
    settings = Settings()

    async def read() -> Sequence[Wish]:
        async with opened_store(settings) as store:
            return await store.upgrades.list(account_id=account, pending_only=not with_decided, limit=limit)

    found = asyncio.run(read())
    typer.echo(listings.upgrades_json(found) if as_json else listings.upgrades_table(found))


def approve_upgrade(upgrade: Named, actor: Actor = "", as_json: AsJson = False) -> None:
    """Move the account to the plan that it asked for, and wait until the running service has told the others."""
    settings = Settings()
    catalogue = load(settings.plans_file, PlanCatalogue)

    def approved(wish: Wish, holds: str, now: datetime) -> Wish:
        decided = wish.decided(State.APPROVED, at=now, actor=actor_or_user(actor))
        checked_larger(catalogue, wish.plan, holds=holds)
        return decided

    async def approve() -> tuple[Wish, bool]:
        async with opened_store(settings) as store:
            wish = await _decide(settings, store, upgrade, approved)
            standing = await store.subscriptions.standing(wish.account_id)
            return wish, standing is not None and await wait_until_told(store.subscriptions, standing.now)

    wish, is_published = asyncio.run(approve())
    if as_json:
        typer.echo(json.dumps(listings.upgrade_document(wish) | {"published": is_published}))
        return
    typer.echo(f"{wish.account_id} is on plan {wish.plan}, upgrade {wish.upgrade_id} is approved")
    typer.echo(told_or_waits(is_published, "in force everywhere"))


def decline_upgrade(
    upgrade: Named,
    reason: Annotated[str, typer.Option(help="Why; the customer reads it.")],
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Decline a wish. The customer is told the reason and may ask again."""
    settings = Settings()
    if not reason.strip():
        raise typer.BadParameter("--reason must not be empty")

    def declined(wish: Wish, _holds: str, now: datetime) -> Wish:
        return wish.decided(State.DECLINED, at=now, actor=actor_or_user(actor), reason=reason)

    async def decline() -> Wish:
        async with opened_store(settings) as store:
            return await _decide(settings, store, upgrade, declined)

    wish = asyncio.run(decline())
    typer.echo(json.dumps(listings.upgrade_document(wish)) if as_json else f"upgrade {wish.upgrade_id} is declined")


def payments(
    for_staff: Annotated[bool, typer.Option("--for-staff", help="Only those that staff has to look at.")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Print notices of payment providers and what they did, oldest first."""
    settings = Settings()

    async def read() -> Sequence[PaymentEvent]:
        async with opened_store(settings) as store:
            return await store.payments.events(for_staff_only=for_staff, limit=limit)

    found = asyncio.run(read())
    typer.echo(listings.payments_json(found) if as_json else listings.payments_table(found))


async def _decide(settings: Settings, store: Store, named: UUID, decision: Decision) -> Wish:
    """Decide, then shut the payment page: who paid before that is found by `payments --for-staff`."""
    wish = await store.upgrades.pending(named)
    decided = await store.upgrades.decide(wish, decision)
    async with opened_payments(settings) as port:
        if not await shut_page(port, decided):
            typer.echo("its payment page was paid all the same; see `python -m billing payments`", err=True)
    return decided
