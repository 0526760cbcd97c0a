"""How commands speak to the operator: settings that are wrong and work that failed end with one line and code 1."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import sqlalchemy.exc
import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from chassis.bus import BusError
from chassis.process import settings_faults
from chassis.watched import ConfigInvalid
from gateway.errors import CommandFailed

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def fail(reason: str) -> NoReturn:
    typer.echo(f"error: {reason}", err=True)
    raise typer.Exit(1)


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """From the environment. The values are not shown: some are secrets."""
    try:
        return kind()
    except ValidationError as exc:
        fail("; ".join(settings_faults(exc, prefix=kind.model_config.get("env_prefix", ""))))


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn what is expected to go wrong into one line. Anything else is a bug and shows its stack."""
    try:
        yield
    except (CommandFailed, BusError, ConfigInvalid) as exc:
        fail(str(exc))
    except sqlalchemy.exc.OperationalError as exc:
        fail(f"the database cannot be used: {str(exc.orig).strip()}")
    except OSError as exc:
        fail(str(exc))
