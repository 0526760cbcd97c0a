"""`decisions`: what was decided, from the record that is kept for days."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from chassis.bus import BusError
from chassis.command_arguments import AsJson, moment
from contracts.decisions import Decision
from contracts.streams import DAY_SECONDS, DECISIONS
from router.commands.arguments import connected, fail, remark
from router.history import LATE_SECONDS, History, made_at
from router.recorded import decision_text, document, newest_table
from router.settings import Settings

ResultT = TypeVar("ResultT")

KEPT = timedelta(seconds=DECISIONS.max_age_seconds)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(decisions)


def decisions(
    request: Annotated[UUID | None, typer.Option(help="The decision of this request.")] = None,
    last: Annotated[int | None, typer.Option(min=1, max=10_000, help="List the newest so many.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="T", help="Look from here on; needed for ids that tell no time."),
    ] = None,
    until: Annotated[datetime | None, typer.Option(parser=moment, metavar="T", help="Look up to here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a recorded decision: what was asked, what decided, what every target was worth, what was told.

    Exit 0: found. 2: not found, or the record cannot be read.
    """
    if (request is None) == (last is None):
        raise typer.BadParameter("either --request or --last")
    if request is None:
        found = _read(lambda history: history.newest(last or 1))
        if as_json:
            typer.echo(json.dumps([document(one) for one in found]))
        else:
            typer.echo(newest_table(found) if found else "nothing was decided yet")
        return
    first, end = _stretch(request, since, until)

    async def find(history: History) -> tuple[Sequence[Decision], datetime | None]:
        found = await history.of_request(request, first, end)
        return found, None if found else await history.begins()

    found, begins = _read(find)
    if not found:
        fail(_not_found(request, first, end, begins))
    if as_json:
        typer.echo(json.dumps([document(one) for one in found]))
    else:
        typer.echo("\n\n".join(decision_text(one) for one in found))


def _stretch(request: UUID, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """Where to look for a request."""
    made = made_at(request)
    if made is None and since is None:
        raise typer.BadParameter("this id does not tell when the request was made: give --since, and --until")
    first = since or made
    assert first is not None, "one of both"
    return first, until or first + timedelta(seconds=LATE_SECONDS)


def _not_found(request: UUID, first: datetime, end: datetime, begins: datetime | None) -> str:
    where = f"between {first:%Y-%m-%d %H:%M:%S} and {end:%Y-%m-%d %H:%M:%S} UTC"
    if begins is None:
        return f"no decision of {request}: the record is empty"
    if end < begins:
        days = KEPT.total_seconds() / DAY_SECONDS
        return (
            f"no decision of {request} {where}: decisions are kept for {days:.0f} days at the most, "
            f"and the record begins at {begins:%Y-%m-%d %H:%M:%S} UTC"
        )
    return f"no decision of {request} {where}; look elsewhere with --since and --until"


def _read(work: Callable[[History], Awaitable[ResultT]]) -> ResultT:
    settings = Settings()

    async def read() -> ResultT:
        async with connected(settings) as connection:
            history = History(connection)
            found = await work(history)
            if history.unread:
                remark(f"{history.unread} messages could not be read: they are of another version")
            return found

    try:
        return asyncio.run(read())
    except BusError as exc:
        fail(f"the record of decisions cannot be read: {exc}")
