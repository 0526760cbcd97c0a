"""Migrations and tables agree: each service migrates an empty database, and alembic finds nothing left to do."""

import asyncio
import shutil
import sys
import tempfile
import uuid
from pathlib import Path

from alembic.util import CommandError

from chassis import migrations
from devstack import programs
from devstack.database import SERVICES_WITH_TABLES, create, roles
from devstack.errors import CommandFailed
from devstack.postgres import postgres_server
from devstack.unprivileged import remove_outside


async def faults(folder: Path) -> list[str]:
    """What is wrong, one text per service that has a fault."""
    found: list[str] = []
    async with postgres_server(folder / "postgres") as server:
        passwords = dict.fromkeys(roles(), uuid.uuid4().hex)
        database = await create(server.admin_url, passwords=passwords, name="check")
        for service in SERVICES_WITH_TABLES:
            try:
                await programs.migrate(service, database, log=folder / "migrate.log")
                await asyncio.to_thread(migrations.check, service, database.owner_url(service))
            except (CommandFailed, CommandError) as exc:
                found.append(f"{service}: {exc}")
    return found


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="sr-"))
    # As root, Postgres runs as another user, who must be able to pass through.
    folder.chmod(0o711)
    try:
        found = asyncio.run(faults(folder))
    finally:
        remove_outside(folder / "postgres/cluster")
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
