"""How each of our services is run: the command, the environment, the health address."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from devstack.children import run_to_end
from devstack.database import Database

# Passed on from the user's environment; everything a service is told about itself is set by us.
_DROPPED_PREFIXES = ("SMARTROUTE_", "GATEWAY_", "QUOTA_", "ROUTER_", "BILLING_", "PG")


def command(service: str, *arguments: str) -> tuple[str, ...]:
    """`python -m <service> …`, without the current folder on the import path."""
    return (sys.executable, "-P", "-m", service, *arguments)


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The user's environment without what could be mistaken for settings of ours (PG*: libpq reads those), plus `own`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED_PREFIXES)}
    return {**kept, **own}


async def migrate(service: str, database: Database, *, log: Path) -> None:
    """Run a service's migrations as the owner of its schema. Raises `CommandFailed`."""
    own = {f"{service.upper()}_DATABASE_URL": database.owner_url(service)}
    await run_to_end(f"{service} migrate", command(service, "migrate"), log=log, environment=environment(own))
