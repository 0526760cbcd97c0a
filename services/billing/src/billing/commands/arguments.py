"""What arguments of several commands have in common: moments in UTC, lines and requests, who decided and why."""

import getpass
from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Actor = Annotated[str, typer.Option(help="Who decided it; kept with it. Default: who is logged in.")]
Limit = Annotated[int, typer.Option(min=1, help="The newest that many.")]


def moment(text: str) -> datetime:
    """An ISO 8601 date or date and time; UTC unless it says another offset. `now` is not one: leave the option out."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"`{text}` is no date or time like 2026-12-01 or 2026-12-01T08:30") from exc
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"`{text}` is no day like 2026-12-31") from exc


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
    return actor or getpass.getuser()
