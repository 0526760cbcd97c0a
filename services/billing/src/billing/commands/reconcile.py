"""Checking the books: `reconcile` and `rebuild`.

Exit codes of both: 0 the books agree, 1 they do not and every difference is named, 2 they could not be compared.
"""

import asyncio
from collections.abc import Coroutine
from datetime import date
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from billing import reports
from billing.app import connected, opened_store
from billing.domain.differences import Report
from billing.errors import BillingError, NotComparable
from billing.reconcile import Asked, Rebuilt, compare, known_keys
from billing.reconcile import rebuild as rebuild_
from billing.settings import Settings
from billing.store import SchemaNotReady
from billing.store.audit import audit
from chassis.bus import BusError
from chassis.command_arguments import AsJson, day
from chassis.database import StoreAway

BY_COMMAND = "command"
# Who asks is waiting; the service itself is more patient.
CONNECTED_WITHIN_SECONDS = 5.0
DIFFERENT, NOT_COMPARABLE = 1, 2

ResultT = TypeVar("ResultT")

Wait = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds to wait for the services to have folded what is there now.")
]


def register(app: typer.Typer) -> None:
    for command in (reconcile, rebuild):
        app.command()(command)


def reconcile(
    on: Annotated[
        date | None, typer.Option("--day", parser=day, metavar="D", help="Only prompts of this UTC day.")
    ] = None,
    account: Annotated[UUID | None, typer.Option(help="Only this account.")] = None,
    last: Annotated[bool, typer.Option("--last", help="Show the newest comparison, do not make one.")] = False,
    wait_seconds: Wait = 5.0,
    as_json: AsJson = False,
) -> None:
    """Compare the stream, the ledger and quota's books; verify every chain and every close.

    Exit 0: equal. 1: different, each difference is named. 2: could not be compared.
    """
    if last and (on or account):
        raise typer.BadParameter("--last shows the newest comparison of everything")
    settings = Settings()
    asked = Asked(BY_COMMAND, day=on, account_id=account, wait_seconds=wait_seconds)
    report = _result(_last(settings) if last else _compared(settings, asked))
    typer.echo(report.as_json() if as_json else reports.report_table(report))
    if report.result != "equal":
        raise typer.Exit(DIFFERENT if report.result == "different" else NOT_COMPARABLE)


def rebuild(wait_seconds: Wait = 5.0, as_json: AsJson = False) -> None:
    """Fold the whole stream again, beside the ledger, and compare the totals of both byte for byte.

    Exit 0: identical. 1: different, the first lines that differ are printed. 2: could not be compared.
    """
    settings = Settings()

    async def work() -> Rebuilt:
        async with connected(settings, wait_seconds=CONNECTED_WITHIN_SECONDS) as connection:
            return await rebuild_(settings.database_url.get_secret_value(), connection, wait_seconds=wait_seconds)

    rebuilt = _result(work())
    typer.echo(rebuilt.as_json() if as_json else reports.rebuilt_text(rebuilt))
    if not rebuilt.is_identical:
        raise typer.Exit(DIFFERENT)


async def _compared(settings: Settings, asked: Asked) -> Report:
    """A comparison that is kept like those that billing makes by itself."""
    url = settings.database_url.get_secret_value()
    async with (
        opened_store(settings) as store,
        connected(settings, wait_seconds=CONNECTED_WITHIN_SECONDS) as connection,
    ):
        async with audit(url) as session:
            if session is None:
                raise NotComparable("another comparison is under way; try again in a moment")
            report = await compare(session, connection, asked, known_keys(settings.close_key_file))
        await store.reconciliations.add(report)
        return report


async def _last(settings: Settings) -> Report:
    async with opened_store(settings) as store:
        report = await store.reconciliations.last()
    if report is None:
        raise NotComparable("the books were never compared")
    return report


def _result(work: Coroutine[None, None, ResultT]) -> ResultT:
    """What `work` returns. Everything that keeps the books from being compared ends with one line and its exit code."""
    try:
        return asyncio.run(work)
    except SchemaNotReady as exc:
        reason = f"{exc}; run `python -m billing migrate` as its owner"
    except StoreAway as exc:
        reason = f"the database does not answer ({exc}); check BILLING_DATABASE_URL"
    except (BusError, BillingError) as exc:
        reason = str(exc)
    typer.echo(f"could not be compared: {reason}", err=True)
    raise typer.Exit(NOT_COMPARABLE)
