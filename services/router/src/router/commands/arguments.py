"""What several commands have in common: files, the bus, and how they end when something is wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

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
        settings.nats_url,
        name="router",
        instance=settings.instance,
        ca_file=settings.nats_ca_file,
        wait_seconds=CONNECTED_WITHIN_SECONDS,
    ) as connection:
        yield connection
