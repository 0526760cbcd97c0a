"""What staff reads of a configuration: who serves what, as plain text."""

from collections.abc import Sequence

from contracts.plans import PlanCatalogue
from router.profiles import Profile, Profiles, Target


def configuration_text(profiles: Profiles, plans: PlanCatalogue | None) -> str:
    """Every alias with the targets that serve it and how, and every target with its address."""
    versions = [f"profiles version {profiles.version}"]
    if plans is not None:
        versions.insert(0, f"plans version {plans.version}")
    lines = [", ".join(versions)]
    for alias, profile in profiles.profiles.items():
        lines += ["", _titled(alias, plans), *profile_lines(profile)]
    return "\n".join([*lines, "", *_targets(profiles)])


def profile_lines(profile: Profile) -> list[str]:
    """The targets of a profile by tier, and what it goes by."""
    if profile.targets:
        lines = [f"  in order  {', '.join(profile.targets)}"]
    else:
        lines = [f"  light     {', '.join(profile.light)}"] if profile.light else []
        share = f"  ({percent(profile.budget)} of the requests)" if profile.has_both_tiers else ""
        lines += [f"  strong    {', '.join(profile.strong)}{share}"] if profile.strong else []
    limits = profile.first_byte
    words = [
        f"price weight {profile.price_weight:g}",
        f"affinity {profile.affinity}",
        "hedges" if profile.may_hedge else "no hedges",
        f"first byte within {limits.p95_factor:g} times p95, at least {limits.floor_seconds:g} s",
        f"regions {', '.join(profile.regions)}" if profile.regions else "all regions",
    ]
    return [*lines, f"  {'; '.join(words)}"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as what is in them. A column with nothing in it is left out."""
    kept = [column for column, title in enumerate(head) if not rows or any(row[column] for row in rows)]
    lines = [[row[column] for column in kept] for row in [head, *rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(kept))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def percent(share: float) -> str:
    """A share of 1 as people write it: `25 %`, `12.5 %`."""
    return f"{round(share * 100, 1):g} %"


def amount(value: float) -> str:
    """A price or a score with three digits that count."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _titled(alias: str, plans: PlanCatalogue | None) -> str:
    plan = plans.plan_of_alias(alias) if plans is not None else None
    return f"{alias} (plan {plan.name})" if plan is not None else alias


def _targets(profiles: Profiles) -> list[str]:
    head = ("target", "address", "model", "format", "window", "price in/out", "at once", "per minute", "region", "key")
    rows = [
        (
            name,
            target.base_url,
            target.model,
            target.format,
            _number(target.context_window),
            _price(target),
            _number(target.capacity),
            _number(target.requests_per_minute),
            target.region or "",
            target.key or "no key",
        )
        for name, target in profiles.targets.items()
    ]
    return table(head, rows)


def _number(value: int | None) -> str:
    return f"{value:,}" if value is not None else ""


def _price(target: Target) -> str:
    prices = target.prices
    if prices is None:
        return ""
    return f"{prices.input_per_million:f}/{prices.output_per_million:f} {prices.currency}"
