"""What several commands have in common: files, moments in UTC, and how they end when something is wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from chassis import bus, logs
from chassis.bus import Bus
from chassis.watched import ConfigInvalid, load
from contracts.plans import PlanCatalogue
from router.profiles import Profiles
from router.settings import Settings

TROUBLE = 2
# Who asks is waiting; the service itself is more patient.
CONNECTED_WITHIN_SECONDS = 5.0

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def fail(reason: str, *, code: int = TROUBLE) -> NoReturn:
    """End with one line."""
    typer.echo(f"error: {reason}", err=True)
    raise typer.Exit(code)


def remark(text: str) -> None:
    """Say what is no part of the result."""
    typer.echo(text, err=True)


def read_profiles(file: Path) -> Profiles:
    """A profiles file; ends the command when it cannot be used."""
    try:
        return load(file, Profiles)
    except ConfigInvalid as exc:
        fail(str(exc))


def read_plans_if_there(file: Path) -> PlanCatalogue | None:
    """The plans; None without the file. Ends the command when it cannot be used."""
    if not file.is_file():
        return None
    try:
        return load(file, PlanCatalogue)
    except ConfigInvalid as exc:
        fail(str(exc))


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Bus]:
    """The bus, for a command. Raises `BusError`."""
    logs.configure("router", instance=settings.instance, level="ERROR")
    async with bus.connect(
        settings.nats_url, name="router", instance=settings.instance, wait_seconds=CONNECTED_WITHIN_SECONDS
    ) as connection:
        yield connection


def moment(text: str) -> datetime:
    """An ISO 8601 date or date and time; UTC unless it says another offset."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"`{text}` is no date or time like 2026-12-01 or 2026-12-01T08:30") from exc
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def day(text: str) -> date:
    """A day like 2026-12-31."""
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"`{text}` is no day like 2026-12-31") from exc
