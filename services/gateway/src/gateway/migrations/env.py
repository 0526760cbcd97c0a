"""What alembic runs: the gateway's tables."""

from chassis.migrations import run_environment
from gateway.tables import Table

run_environment(Table.metadata)
