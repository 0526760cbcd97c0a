"""What staff ask of quota on the command line: settlements without effect, and messages that were given up."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, fields
from typing import Annotated
from uuid import UUID

import typer

from chassis.bus import Bus, Receiver
from chassis.database import create_engine
from chassis.dead_letter_commands import dead_letters_app
from quota.app import receiving
from quota.settings import Settings
from quota.store import KeptSettlement, kept_settlements


@asynccontextmanager
async def _receiving() -> AsyncIterator[tuple[Bus, Sequence[Receiver]]]:
    async with receiving(Settings()) as opened:
        yield opened


dead_letters = dead_letters_app(_receiving)


def conflicts(
    account: Annotated[UUID | None, typer.Option(help="Only those of this account.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest that many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print settlements without effect: late ones, and those of requests that nobody reserved."""

    async def read() -> Sequence[KeptSettlement]:
        engine = create_engine(Settings().database_url.get_secret_value())
        try:
            return await kept_settlements(engine, account_id=account, limit=limit)
        finally:
            await engine.dispose()

    found = asyncio.run(read())
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], default=str))
    else:
        typer.echo(_table(found) if found else "no conflicts")


def _table(found: Sequence[KeptSettlement]) -> str:
    names = [field.name for field in fields(KeptSettlement)]
    rows = [names, *([_shown(getattr(one, name)) for name in names] for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names))]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
