"""The commands of the operator. Results go to standard output, as text or as JSON; remarks to standard error."""

import typer

from gateway.commands import accounts, responses, tokens, users


def register(cli: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (*accounts.COMMANDS, *tokens.COMMANDS, *responses.COMMANDS, *users.COMMANDS):
        cli.command()(command)
