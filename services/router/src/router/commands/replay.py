"""`replay`: what another profiles file would have made of a day's decisions."""

import asyncio
import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import typer

from chassis.bus import BusError
from chassis.command_arguments import AsJson, day
from router.commands.arguments import connected, fail, read_profiles, remark
from router.history import History
from router.profiles import Profiles
from router.replayed import Report
from router.replaying import Replay
from router.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    profiles: Annotated[Path, typer.Option(help="The profiles file to try.")],
    on: Annotated[date, typer.Option("--day", parser=day, metavar="D", help="The UTC day to decide again.")],
    alias: Annotated[str | None, typer.Option(help="Only decisions of this alias.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide the recorded decisions of a day again with another profiles file, and tell what would be different.

    A dry run: nothing is asked, nothing changes. Targets are seen as they were then; the load that other choices would
    have made is not known. Exit 0: done. 2: the file or the record cannot be read.
    """
    new = read_profiles(profiles)
    settings = Settings()
    try:
        report = asyncio.run(_replayed(settings, new, on, alias))
    except BusError as exc:
        fail(f"the record of decisions cannot be read: {exc}")
    typer.echo(json.dumps(report.document()) if as_json else report.text())


async def _replayed(settings: Settings, new: Profiles, on: date, alias: str | None) -> Report:
    report, again = Report(new), Replay(new)
    since = datetime.combine(on, time(), UTC)
    async with connected(settings) as connection:
        history = History(connection)
        async for decision in history.between(since, since + timedelta(days=1)):
            if alias in (None, decision.alias):
                report.add(again.again(decision))
        if history.unread:
            remark(f"{history.unread} messages could not be read: they are of another version")
    return report
