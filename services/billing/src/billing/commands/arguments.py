"""What arguments of several commands have in common: months, lines and requests, who decided and why."""

import getpass
from datetime import date
from typing import Annotated
from uuid import UUID

import typer

Actor = Annotated[str, typer.Option(help="Who decided it; kept with it. Default: who is logged in.")]
Limit = Annotated[int, typer.Option(min=1, help="The newest that many.")]


def month(text: str) -> date:
    """The first day of a month like 2026-12."""
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as exc:
        raise typer.BadParameter(f"`{text}` is no month like 2026-12") from exc


def line_or_request(text: str) -> int | UUID:
    """The number of a line, or the id of a request."""
    if text.isdecimal():
        return int(text)
    try:
        return UUID(text)
    except ValueError as exc:
        raise typer.BadParameter(f"`{text}` is neither the number of a line nor the id of a request") from exc


def actor_or_user(actor: str) -> str:
    """Who does it. Raises `BadParameter` for a user without a name, as in a container."""
    try:
        return actor or getpass.getuser()
    except (KeyError, OSError) as exc:  # KeyError before Python 3.13
        raise typer.BadParameter("who does this? Say it with --actor: this system's user has no name") from exc
