"""Whether a service's tables are there, as its readiness asks. `chassis.migrations` makes them.

Apart from it, because a service that runs never migrates: the library that does is a tenth of what its start costs.
"""

from functools import cache
from importlib.resources import files

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


@cache
def needed(service: str) -> str:
    """The revision of this release; migrations are numbered: `0003_turns.py`. Raises `ValueError` without any."""
    names = (file.name for file in files(service).joinpath("migrations/versions").iterdir())
    return max(name.partition("_")[0] for name in names if name[0].isdigit())


async def is_current(engine: AsyncEngine, service: str) -> bool:
    """Whether the schema is at the revision this release needs, or at a later one."""
    async with engine.connect() as connection:
        found = (await connection.execute(text(f'SELECT version_num FROM "{service}".alembic_version'))).scalars().all()
    return bool(found) and max(found) >= needed(service)
