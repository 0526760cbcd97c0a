"""`targets`: the fleet as a running router sees it."""

import asyncio
import json
from typing import Annotated

import typer

from chassis import bus
from chassis.bus import Bus, BusError, PeerUnavailable
from chassis.command_arguments import AsJson
from contracts.decisions import TAKE_OVER, Knowledge, TakeOver
from router.commands.arguments import connected, fail
from router.overview import document, overview
from router.settings import Settings

NOBODY = 3
ANSWER_SECONDS = 2.0
CLEAR = "\x1b[2J\x1b[H"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(targets)


def targets(
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="With --watch: seconds between two looks.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Show every target as a running router sees it: health, times to the first byte, load; and how budgets are spent.

    Exit 0: a router answered. 3: none did.
    """
    settings = Settings()

    async def work() -> None:
        async with connected(settings) as connection:
            while True:
                known = await _ask(connection)
                shown = json.dumps(document(known)) if as_json else overview(known)
                typer.echo(f"{CLEAR}{shown}" if watch and not as_json else shown)
                if not watch:
                    return
                await asyncio.sleep(every)

    try:
        asyncio.run(work())
    except PeerUnavailable as exc:
        fail(f"no router answers ({exc.reason})", code=NOBODY)
    except BusError as exc:
        fail(f"no router answers: {exc}", code=NOBODY)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _ask(connection: Bus) -> Knowledge:
    ask = TakeOver(instance=connection.instance, with_pins=False)
    reply = await bus.ask(connection, TAKE_OVER, ask, timeout_seconds=ANSWER_SECONDS)
    if not isinstance(reply, Knowledge):
        raise BusError(f"a router answers that it cannot: {reply.code}")
    return reply
