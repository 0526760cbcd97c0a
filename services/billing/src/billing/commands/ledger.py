"""The ledger: `ledger`, `conflicts`, `credit`, `correct`."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated
from uuid import UUID

import typer

from billing import listings
from billing.app import opened_store
from billing.commands.arguments import Limit, line_or_request
from billing.domain.corrections import Decision, Differences, correction, credit_note
from billing.domain.lines import Entry, Posted
from billing.settings import Settings
from billing.store import Conflict, LedgerFilter
from chassis.command_arguments import AsJson, day

Target = Annotated[
    str, typer.Argument(metavar="LINE_OR_REQUEST", help="A settlement line's number, or its request's id.")
]
Reason = Annotated[str, typer.Option(help="Why; kept with the line.")]
Author = Annotated[str, typer.Option(help="Who decided it; kept with the line.")]


def register(app: typer.Typer) -> None:
    for command in (ledger, conflicts, credit, correct):
        app.command()(command)


def ledger(
    account: Annotated[UUID | None, typer.Option(help="Only lines of this account.")] = None,
    request: Annotated[UUID | None, typer.Option(help="Only lines of this request.")] = None,
    used_on: Annotated[
        date | None, typer.Option("--day", parser=day, metavar="D", help="Only lines of this UTC day.")
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    routes: Annotated[
        bool, typer.Option("--routes", help="With the way that each request went, which is no part of the hash.")
    ] = False,
) -> None:
    """Print lines of the ledger, oldest first."""
    if as_json and as_csv:
        raise typer.BadParameter("--json or --csv, not both")
    settings = Settings()

    async def read() -> Sequence[Posted]:
        async with opened_store(settings) as store:
            return await store.ledger.lines(LedgerFilter(account, request, used_on, limit))

    show = listings.ledger_json if as_json else listings.ledger_csv if as_csv else listings.ledger_table
    typer.echo(show(asyncio.run(read()), with_routes=routes))


def conflicts(
    account: Annotated[UUID | None, typer.Option(help="Only those of this account.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Print settlements that were not the first of their request, newest first."""
    settings = Settings()

    async def read() -> Sequence[Conflict]:
        async with opened_store(settings) as store:
            return await store.ledger.conflicts(account_id=account, limit=limit)

    found = asyncio.run(read())
    typer.echo(listings.conflicts_json(found) if as_json else listings.conflicts_table(found))


def credit(
    target: Target,
    prompts: Annotated[int, typer.Option(min=1, help="How many to give back.")],
    reason: Reason,
    author: Author,
    as_json: AsJson = False,
) -> None:
    """Write a credit note. It gives nothing back to use: for that there is `grant`."""
    decision = Decision(author, reason)

    def make(named: Posted, lines: Sequence[Posted], at: datetime) -> Entry:
        return credit_note(named, lines, prompts, decision=decision, at=at)

    _write(target, make, as_json)


def correct(
    target: Target,
    reason: Reason,
    author: Author,
    prompts: Annotated[int, typer.Option(help="Difference of prompts.")] = 0,
    input_tokens: Annotated[int, typer.Option(help="Difference of input tokens.")] = 0,
    cached_input_tokens: Annotated[int, typer.Option(help="Difference of cached input tokens.")] = 0,
    output_tokens: Annotated[int, typer.Option(help="Difference of output tokens.")] = 0,
    reasoning_tokens: Annotated[int, typer.Option(help="Difference of reasoning tokens.")] = 0,
    cost: Annotated[str | None, typer.Option(help="Difference of cost: -0.05.")] = None,
    currency: Annotated[str | None, typer.Option(help="Its currency, if the line has no cost.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a correction: signed differences, in a line that names the corrected one."""
    differences = Differences(
        prompts=prompts,
        input_tokens=input_tokens,
        cached_input_tokens=cached_input_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
        cost=None if cost is None else _amount(cost),
        currency=currency,
    )
    decision = Decision(author, reason)

    def make(named: Posted, lines: Sequence[Posted], at: datetime) -> Entry:
        return correction(named, lines, differences, decision=decision, at=at)

    _write(target, make, as_json)


def _write(target: str, make: Callable[[Posted, Sequence[Posted], datetime], Entry], as_json: bool) -> None:
    settings = Settings()
    named = line_or_request(target)

    async def write() -> Posted:
        async with opened_store(settings) as store:
            return await store.ledger.correct(named, make)

    line = asyncio.run(write())
    typer.echo(json.dumps(listings.line_document(line)) if as_json else listings.ledger_table([line]))


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as exc:
        raise typer.BadParameter(f"`{text}` is no amount like -0.05") from exc
