"""Alembic's entry: the tables of quota, in the one way that all services migrate."""

from chassis.migrations import run_environment
from quota.tables import Table

run_environment(Table.metadata)
