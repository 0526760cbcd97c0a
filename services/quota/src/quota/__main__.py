"""`python -m quota`: the service itself, its migrations, and what staff ask of it."""

import sys

import typer
from pydantic import ValidationError

from chassis import process
from chassis.bus import BusError
from chassis.watched import ConfigInvalid, load
from contracts.plans import PlanCatalogue
from quota import commands
from quota.app import SERVICE, running
from quota.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def serve() -> None:
    """Answer asks and fold settlements until SIGTERM or SIGINT."""
    process.run(running(Settings()))


@app.command()
def migrate() -> None:
    """Bring the schema up to date; QUOTA_DATABASE_URL must name the owner role."""
    from chassis import migrations

    migrations.migrate(SERVICE, Settings().database_url.get_secret_value())


@app.command()
def check_config() -> None:
    """Check the settings and the plan catalogue, without touching anything."""
    settings = Settings()
    catalogue = load(settings.plans_file, PlanCatalogue)
    typer.echo(f"quota: settings are valid; {settings.plans_file} is version {catalogue.version}")


app.command()(commands.conflicts)
app.add_typer(commands.dead_letters, name="dead-letters")


def main() -> None:
    """Exit code 2 for settings and files that the caller can mend, 1 for a part that is away."""
    try:
        app()
    except ValidationError as exc:
        for fault in process.settings_faults(exc, prefix="QUOTA_"):
            typer.echo(fault, err=True)
        sys.exit(2)
    except ConfigInvalid as exc:
        typer.echo(str(exc), err=True)
        sys.exit(2)
    except BusError as exc:
        typer.echo(str(exc), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
