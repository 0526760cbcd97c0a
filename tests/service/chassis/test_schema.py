"""A service is ready at the schema of its release and at later ones, and not before."""

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from chassis.database import create_engine
from chassis.schema import is_current, needed
from devstack.database import SERVICES_WITH_TABLES
from devstack.pytest_plugin import FreshDatabase
from devstack.repository import ROOT


@pytest.mark.parametrize("service", SERVICES_WITH_TABLES)
def test_migrations_are_numbered_in_order_and_the_last_one_is_needed(service: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / service / "src" / service / "migrations"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert script.get_heads() == [needed(service)]
    assert revisions == [f"{number:04}" for number in range(len(revisions), 0, -1)]


@pytest.mark.parametrize(("found", "is_ready"), [(None, False), ("0001", False), ("needed", True), ("9999", True)])
async def test_a_service_is_ready_at_its_schema_and_at_later_ones(
    fresh_database: FreshDatabase, found: str | None, *, is_ready: bool
) -> None:
    database = await fresh_database("quota")
    async with await psycopg.AsyncConnection.connect(database.owner_url("quota"), autocommit=True) as owner:
        if found is None:
            await owner.execute("DELETE FROM quota.alembic_version")
        elif found != "needed":
            await owner.execute("UPDATE quota.alembic_version SET version_num = %s", [found])
    engine = create_engine(database.url("quota"))
    try:
        assert await is_current(engine, "quota") is is_ready
    finally:
        await engine.dispose()
