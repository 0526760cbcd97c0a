"""Alembic's entry: the tables of billing, in the one way that all services migrate."""

from billing.tables import Table
from chassis.migrations import run_environment

run_environment(Table.metadata)
