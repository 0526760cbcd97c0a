"""Daily closes: `close`, `closes`, `close-key new`, `close-key public`."""

import asyncio
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from billing import listings, signing
from billing.app import opened_store
from billing.closing import close_days
from billing.domain.closes import Close
from billing.errors import CannotClose
from billing.settings import Settings
from billing.store import Closes
from chassis.command_arguments import AsJson, day

keys = typer.Typer(no_args_is_help=True, help="The key that signs daily closes.")


def register(app: typer.Typer) -> None:
    for command in (close, closes):
        app.command()(command)
    app.add_typer(keys, name="close-key")


def close(
    through: Annotated[
        date | None, typer.Option("--day", parser=day, metavar="D", help="Up to this UTC day. Default: yesterday.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Close the UTC days that are over, one after the other. The running service does that by itself."""
    settings = Settings()

    async def work() -> Sequence[Close]:
        async with opened_store(settings) as store:
            if through is not None and through >= await store.closes.today():
                raise CannotClose(through, "it is not over")
            closed = await close_days(store.closes, settings.close_key_file, through=through)
            return closed or await _closed_before(store.closes, through)

    done = asyncio.run(work())
    if as_json:
        typer.echo(listings.closes_json(done))
    else:
        typer.echo(listings.closes_table(done) if done else "nothing to close")


def closes(as_json: AsJson = False) -> None:
    """Print every closed day, oldest first."""
    settings = Settings()

    async def read() -> Sequence[Close]:
        async with opened_store(settings) as store:
            return await store.closes.all()

    found = asyncio.run(read())
    typer.echo(listings.closes_json(found) if as_json else listings.closes_table(found))


@keys.command("new")
def new_key(path: Annotated[Path, typer.Argument(help="A file that does not exist yet.")]) -> None:
    """Make a key, readable for its owner alone, and print its public half."""
    _print_public(signing.new_key(path).public)


@keys.command("public")
def public_key(
    path: Annotated[Path, typer.Argument(help="The private key.")],
    as_json: AsJson = False,
) -> None:
    """Print the public half of a key, for those who check closes."""
    public = signing.read_key(path).public
    if as_json:
        typer.echo(json.dumps({"key_id": public.key_id, "public_key": public.pem}))
        return
    _print_public(public)


async def _closed_before(store: Closes, through: date | None) -> Sequence[Close]:
    """The close that was asked for by its day, when it is there already."""
    found = await store.of(through) if through is not None else None
    return [] if found is None else [found]


def _print_public(public: signing.PublicKey) -> None:
    typer.echo(f"key {public.key_id}\n{public.pem}", nl=False)
