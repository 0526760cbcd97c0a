"""Arguments that the command lines of several services take: the same words, checked in the same way."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def moment(text: str) -> datetime:
    """An ISO 8601 date or date and time; UTC unless it says another offset. `now` is not one: leave the option out."""
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
