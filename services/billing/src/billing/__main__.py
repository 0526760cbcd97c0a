"""`python -m billing`: the service itself, its migrations, and the commands of billing staff."""

import sys

import typer
from pydantic import ValidationError

from billing.app import build_app, check_prices
from billing.commands import closes, dead_letters, ledger, plans, reconcile, upgrades
from billing.errors import BillingError
from billing.settings import Settings
from billing.signing import read_key
from billing.store import SchemaNotReady
from chassis import process
from chassis.bus import BusError
from chassis.database import StoreAway
from chassis.watched import ConfigInvalid, load
from contracts.plans import PlanCatalogue

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
)


@app.command()
def serve() -> None:
    """Run the service until SIGTERM or SIGINT."""
    process.run(build_app(Settings()))


@app.command()
def migrate() -> None:
    """Bring the schema up to date; BILLING_DATABASE_URL must name the owner role."""
    from chassis import migrations

    migrations.migrate("billing", Settings().database_url.get_secret_value())


@app.command()
def check_config() -> None:
    """Check the settings, the plan catalogue and the key of the closes, without touching anything."""
    settings = Settings()
    catalogue = load(settings.plans_file, PlanCatalogue)
    check_prices(settings, catalogue)
    if settings.close_key_file is not None:
        read_key(settings.close_key_file)
    typer.echo(f"billing: settings are valid; {settings.plans_file} is version {catalogue.version}")


for group in (plans, upgrades, ledger, closes, reconcile, dead_letters):
    group.register(app)


def main() -> None:
    """Exit code 2 for what the caller can mend (settings, plan, account), 1 for a part that is away."""
    try:
        app()
    except ValidationError as exc:
        for fault in process.settings_faults(exc, prefix="BILLING_"):
            typer.echo(fault, err=True)
        sys.exit(2)
    except (ConfigInvalid, BillingError) as exc:
        typer.echo(str(exc), err=True)
        sys.exit(2)
    except SchemaNotReady as exc:
        typer.echo(f"{exc}; run `python -m billing migrate` as its owner", err=True)
        sys.exit(1)
    except StoreAway as exc:
        typer.echo(f"the database does not answer ({exc}); check BILLING_DATABASE_URL", err=True)
        sys.exit(1)
    except BusError as exc:
        typer.echo(str(exc), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
