"""Brings the database of a stack up to date: what was migrated already starts nothing."""

from pathlib import Path

from devstack import database as databases
from devstack import programs, repository
from devstack.report import Report, timed
from devstack.together import side_by_side


async def bring_up_to_date(database: databases.Database, *, logs: Path, report: Report) -> None:
    """Run the migrations that have changed since the last time, side by side. Raises `CommandFailed`."""
    done = await databases.migrated(database)
    digests = {name: databases.digest_of(repository.migrations(name)) for name in databases.SERVICES_WITH_TABLES}
    waiting = [name for name, digest in digests.items() if done.get(name) != digest]
    if not waiting:
        return

    async def migrate(service: str) -> None:
        await programs.migrate(service, database, log=logs / f"{service}-migrate.log")
        await databases.note_migrated(database, service, digests[service])

    with timed(report, f"migrations of {', '.join(waiting)}"):
        await side_by_side(*(migrate(service) for service in waiting))
