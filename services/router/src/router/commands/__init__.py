"""The commands of operators: one module per group, each with a `register` that hangs its commands into the app.

Results go to standard output, as text or as JSON; remarks to standard error.
"""

import typer

from router.commands import checks, decisions, explain, replay, targets


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for group in (checks, explain, decisions, targets, replay):
        group.register(app)
