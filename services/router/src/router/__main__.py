"""`python -m router serve | check-config | schema`."""

import argparse
import json
import sys
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from chassis import process
from contracts.plans import PlanCatalogue
from router.app import running
from router.errors import ConfigurationRefused
from router.profiles import Profiles
from router.settings import Settings
from router.store import Configuration, Store

FILES: dict[str, type[BaseModel]] = {"profiles": Profiles, "plans": PlanCatalogue}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; what is wrong with the settings or the files goes to stderr, and the exit status is 1."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "schema":
        sys.stdout.write(schema(FILES[chosen.file]))
        return 0
    try:
        settings = Settings()
        if chosen.command == "check-config":
            store = Store(plans_file=settings.plans_file, profiles_file=settings.profiles_file)
            sys.stdout.write(describe(store.current))
        else:
            process.run(running(settings))
    except ConfigurationRefused as exc:
        sys.stderr.writelines(f"{reason}\n" for reason in exc.reasons)
        return 1
    except ValidationError as exc:
        sys.stderr.writelines(f"{fault}\n" for fault in process.settings_faults(exc, prefix="ROUTER_"))
        return 1
    return 0


def schema(model: type[BaseModel]) -> str:
    """The JSON Schema of a configuration file, as editors read it."""
    return json.dumps(model.model_json_schema(), indent=2, sort_keys=True) + "\n"


def describe(configuration: Configuration) -> str:
    """Every alias with the targets that serve it, and every target with its address, as plain tables."""
    plans, profiles = configuration.plans, configuration.profiles
    aliases = [(plan.alias, plan.name, ", ".join(profiles.profiles[plan.alias].members)) for plan in plans.plans]
    targets = [
        (name, target.base_url, target.model, target.key or "no key") for name, target in profiles.targets.items()
    ]
    unused = [alias for alias in profiles.profiles if plans.plan_of_alias(alias) is None]
    lines = [
        f"plans version {plans.version}, profiles version {profiles.version}",
        "",
        *_table(("alias", "plan", "targets, best first"), aliases),
        "",
        *_table(("target", "base URL", "model", "key"), targets),
    ]
    if unused:
        lines += ["", f"profiles that no plan uses: {', '.join(unused)}"]
    return "\n".join(lines) + "\n"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m router", description="From plan and alias to upstream targets.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer router.v1.choose until SIGTERM")
    commands.add_parser("check-config", help="check plans and profiles, print who serves what; status 1 with reasons")
    file = commands.add_parser("schema", help="print the JSON Schema of a configuration file, for editors")
    file.add_argument("file", choices=sorted(FILES))
    return parser


if __name__ == "__main__":
    sys.exit(main())
