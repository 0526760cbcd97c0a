"""What all commands stand on: settings, the store, the bus, and how a result is printed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

import typer

from chassis import bus, logs
from chassis.bus import Bus, BusError
from chassis.database import create_engine
from gateway import terminal
from gateway.accounts import written_of
from gateway.errors import NotInForce
from gateway.settings import AdminSettings
from gateway.store import Store
from gateway.tables import Account, Token

BUS_WAIT_SECONDS = 5.0

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def read_settings() -> AdminSettings:
    settings = terminal.read_settings(AdminSettings)
    logs.configure("gateway", instance=settings.instance, level="ERROR")
    return settings


def run(settings: AdminSettings, work: Callable[[Store], Awaitable[None]]) -> None:
    async def with_store() -> None:
        engine = create_engine(settings.database_url.get_secret_value(), pool_size=2)
        try:
            await work(Store(engine))
        finally:
            await engine.dispose()

    with terminal.failures_told():
        asyncio.run(with_store())


@asynccontextmanager
async def connected(settings: AdminSettings) -> AsyncIterator[Bus]:
    url = settings.nats_url.get_secret_value()
    async with bus.connect(
        url,
        name="gateway",
        instance=settings.instance,
        ca_file=settings.nats_ca_file,
        wait_seconds=BUS_WAIT_SECONDS,
    ) as opened:
        yield opened


def show(result: Mapping[str, object], text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(result) if as_json else text)


@asynccontextmanager
async def putting_in_force(settings: AdminSettings, subject: Account | Token) -> AsyncIterator[Bus]:
    """A connection to ask quota over. Raises `NotInForce`, too, when there is none."""
    try:
        async with connected(settings) as connection:
            yield connection
    except NotInForce:
        raise
    except BusError as exc:
        raise NotInForce(written_of(subject), str(exc)) from exc


def moment(value: datetime | None) -> str | None:
    return value.isoformat() if value is not None else None
