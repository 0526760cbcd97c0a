"""`python -m router …`: the service itself, and the commands of operators."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import BaseModel, ValidationError

from chassis import process
from contracts.plans import PlanCatalogue
from router import commands
from router.app import running
from router.errors import ConfigurationRefused
from router.profiles import Profiles
from router.settings import Settings

FILES: dict[str, type[BaseModel]] = {"profiles": Profiles, "plans": PlanCatalogue}


class File(StrEnum):
    """A configuration file."""

    PLANS = "plans"
    PROFILES = "profiles"


app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
)


@app.command()
def serve() -> None:
    """Answer router.v1.choose until SIGTERM or SIGINT."""
    process.run(running(Settings()))


@app.command(name="schema")
def print_schema(file: Annotated[File, typer.Argument(help="Of which file.")]) -> None:
    """Print the JSON Schema of a configuration file, for editors."""
    typer.echo(schema(FILES[file]), nl=False)


commands.register(app)


def schema(model: type[BaseModel]) -> str:
    """The JSON Schema of a configuration file, as editors read it."""
    return json.dumps(model.model_json_schema(), indent=2, sort_keys=True) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. What is wrong with the settings or the files goes to stderr, and the exit status is 1."""
    try:
        app(arguments, prog_name="python -m router")
    except ConfigurationRefused as exc:
        faults = exc.reasons
    except ValidationError as exc:
        faults = process.settings_faults(exc, prefix="ROUTER_")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    for fault in faults:
        typer.echo(fault, err=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
