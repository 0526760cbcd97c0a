"""What a profiles file may say and hardly means: told as warnings, no reason to refuse it."""

from collections.abc import Iterator, Sequence

from contracts.plans import PlanCatalogue
from router.profiles import Profile, Profiles


def smells(profiles: Profiles, plans: PlanCatalogue | None) -> list[str]:
    """A sentence for everything that is probably a mistake."""
    found: list[str] = []
    for alias, profile in profiles.profiles.items():
        found += [f"{alias}: {smell}" for smell in _of_profile(profile, profiles)]
    found += [
        f"{name}: has no `context_window`: long requests may go there, and clients compact by nothing"
        for name, target in profiles.targets.items()
        if target.context_window is None
    ]
    found += _unused(profiles, plans)
    return found


def _of_profile(profile: Profile, profiles: Profiles) -> Iterator[str]:
    both = [name for name in profile.light if name in profile.strong]
    if both:
        yield f"{', '.join(both)} in both tiers: the strong budget buys nothing there"
    if profile.may_hedge and len(profile.members) < 2:
        yield "may hedge, but has one target: there is no second one to call"
    if profile.regions:
        outside = [name for name in profile.members if profiles.targets[name].region not in profile.regions]
        if len(outside) == len(profile.members):
            yield f"no target is in {', '.join(profile.regions)}: every request is refused"
        elif outside:
            yield f"{', '.join(outside)} never serve: not in {', '.join(profile.regions)}"
    for tier, names in (("order", profile.targets), ("light tier", profile.light), ("strong tier", profile.strong)):
        yield from _of_tier(tier, names, profile, profiles)


def _of_tier(tier: str, names: Sequence[str], profile: Profile, profiles: Profiles) -> Iterator[str]:
    targets = [profiles.targets[name] for name in names]
    if not targets:
        return
    if not any(target.dialect.takes_tools for target in targets):
        yield f"no target of the {tier} takes tools"
    # A fixed order asks for no price.
    if tier == "order" or not profile.price_weight or len(targets) < 2:
        return
    currencies = sorted({target.prices.currency for target in targets if target.prices is not None})
    unpriced = [name for name in names if profiles.targets[name].prices is None]
    if unpriced:
        yield f"{', '.join(unpriced)} of the {tier} without prices: none counts there, whatever the price weight"
    if len(currencies) > 1:
        yield f"prices of the {tier} in {' and '.join(currencies)}: they are compared as if they were one currency"


def _unused(profiles: Profiles, plans: PlanCatalogue | None) -> Iterator[str]:
    used = {name for profile in profiles.profiles.values() for name in profile.members}
    targets = [name for name in profiles.targets if name not in used]
    if targets:
        yield f"targets that no profile uses: {', '.join(targets)}"
    if plans is not None:
        aliases = [alias for alias in profiles.profiles if plans.plan_of_alias(alias) is None]
        if aliases:
            yield f"profiles that no plan uses: {', '.join(aliases)}"
