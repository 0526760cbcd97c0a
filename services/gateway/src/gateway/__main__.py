"""`python -m gateway …`: serve, migrate, check the configuration, describe the interface, accounts and tokens."""

from pathlib import Path
from typing import Annotated

import typer

from chassis import process
from chassis.watched import load
from contracts.plans import PlanCatalogue
from gateway import commands, openapi, terminal
from gateway.settings import DatabaseSettings, PortalSettings, Settings

SERVICE = "gateway"

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
commands.register(cli)


@cli.command()
def serve() -> None:
    """Serve until SIGTERM or SIGINT; open responses are finished, within the grace time."""
    from gateway.app import running

    settings, of_portal = terminal.read_settings(Settings), terminal.read_settings(PortalSettings)
    with (
        process.observed(SERVICE, instance=settings.instance, log_level=settings.log_level),
        terminal.failures_told(),
    ):
        process.run(running(settings, of_portal))


@cli.command()
def migrate() -> None:
    """Bring the schema to this release's revision. Takes the owner role in GATEWAY_DATABASE_URL."""
    from chassis import migrations

    settings = terminal.read_settings(DatabaseSettings)
    with terminal.failures_told():
        migrations.migrate(SERVICE, settings.database_url.get_secret_value())


@cli.command()
def check_config() -> None:
    """Read settings and plans as `serve` does, and say what is wrong with them."""
    settings, of_portal = terminal.read_settings(Settings), terminal.read_settings(PortalSettings)
    with terminal.failures_told():
        load(settings.plans_file, PlanCatalogue)
    if of_portal.smtp_url is None:
        typer.echo("warning: no GATEWAY_SMTP_URL, so nobody can sign up or choose a new password", err=True)
    typer.echo("configuration is good")


@cli.command(name="openapi")
def describe(
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when the file is out of date.")] = False,
    file: Annotated[Path, typer.Option(help="The description to write or check.")] = openapi.FILE,
) -> None:
    """Write the OpenAPI description of the public interface."""
    described = openapi.document_text()
    if not check:
        file.write_text(described, encoding="utf-8")
        typer.echo(f"wrote {file}")
    elif not file.is_file() or file.read_text(encoding="utf-8") != described:
        terminal.fail(f"{file} is out of date: run `python -m gateway openapi` and review what changed")


if __name__ == "__main__":
    cli()
