"""Looking at configuration files: `check`, `check-config`, `diff`."""

from pathlib import Path
from typing import Annotated

import typer

from chassis.watched import ConfigInvalid, load
from contracts.plans import PlanCatalogue
from router.commands.arguments import read_profiles, remark
from router.differences import differences, is_silent
from router.errors import ConfigurationRefused
from router.listings import configuration_text
from router.profiles import Profiles
from router.settings import Settings
from router.smells import smells
from router.store import Store, checked

DIFFERENT = 1


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (check, check_config, diff):
        app.command()(command)


def check(
    file: Annotated[Path | None, typer.Argument(help="A profiles file. Default: the configured one.")] = None,
) -> None:
    """Check a profiles file, with the plans if they are there; print who serves what, and warn of probable mistakes.

    Exit 0: it can be used. 1: it cannot, for every reason that is named.
    """
    settings = Settings()
    plans, profiles = _checked(settings.plans_file, file or settings.profiles_file)
    _show(profiles, plans)


def check_config() -> None:
    """Check the settings and both configured files, without touching anything; print who serves what.

    Exit 0: a router would start with them. 1: it would not, for every reason that is named.
    """
    settings = Settings()
    current = Store(plans_file=settings.plans_file, profiles_file=settings.profiles_file).current
    _show(current.profiles, current.plans)


def diff(
    old: Annotated[Path, typer.Argument(help="A profiles file.")],
    new: Annotated[Path, typer.Argument(help="Another one.")],
) -> None:
    """Say what changes between two profiles files, by alias and by target.

    Exit 0: nothing. 1: something. 2: one of them cannot be used.
    """
    before, after = read_profiles(old), read_profiles(new)
    lines = differences(before, after)
    for line in lines:
        typer.echo(line)
    if is_silent(before, after):
        remark(f"warning: the version is not raised ({before.version} → {after.version}): receipts name the version")
    if lines:
        raise typer.Exit(DIFFERENT)


def _checked(plans_file: Path, profiles_file: Path) -> tuple[PlanCatalogue | None, Profiles]:
    """Both, or `ConfigurationRefused` with every reason."""
    reasons: list[str] = []
    plans: PlanCatalogue | None = None
    profiles: Profiles | None = None
    try:
        plans = load(plans_file, PlanCatalogue) if plans_file.is_file() else None
    except ConfigInvalid as exc:
        reasons.append(str(exc))
    try:
        profiles = load(profiles_file, Profiles)
    except ConfigInvalid as exc:
        reasons.append(str(exc))
    if reasons or profiles is None:
        raise ConfigurationRefused(reasons)
    if plans is None:
        remark(f"checked without plans: there is no {plans_file}")
    else:
        checked(plans, profiles)
    return plans, profiles


def _show(profiles: Profiles, plans: PlanCatalogue | None) -> None:
    typer.echo(configuration_text(profiles, plans))
    found = smells(profiles, plans)
    if found:
        typer.echo()
    for smell in found:
        typer.echo(f"warning: {smell}")
