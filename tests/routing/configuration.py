"""Plans and profiles for the simulations: equal targets without prices, and the shipped profiles with targets."""

from pathlib import Path
from typing import Any

import yaml

from contracts.plans import PlanCatalogue
from router.profiles import Profiles
from router.store import Configuration, checked

ALIAS = "mini"
PLAN = "plan-mini"
# The baselines' first-byte time-out; a target that is not known yet has no other one.
FIRST_BYTE_SECONDS = 15.0
SHIPPED = Path(__file__).resolve().parents[2] / "deploy/config/profiles.yaml"


def equals(count: int, *, may_hedge: bool = False, affinity: str = "none", models: int = 1) -> Configuration:
    """One profile with `count` targets of one tier, no prices; their models repeat in turn."""
    targets = {f"u{index}": _target(f"model-{index % models}", index) for index in range(count)}
    profile = {"light": list(targets), "price_weight": 0, "affinity": affinity, "may_hedge": may_hedge}
    return _checked(targets, {ALIAS: profile})


def shipped() -> Configuration:
    """The profiles as they are shipped, with three light and two strong targets in place of the one local model."""
    file = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    light = {f"light{index}": _target("small", index) | {"prices": _prices(1 + index)} for index in range(3)}
    strong = {f"strong{index}": _target("large", 3 + index) | {"prices": _prices(10 + index)} for index in range(2)}
    profiles = {}
    for alias, vector in file["profiles"].items():
        tiers = {"light": list(light), "strong": list(strong)}
        profiles[alias] = vector | {tier: names for tier, names in tiers.items() if tier in vector}
    return _checked(light | strong, profiles)


def plan_of(alias: str) -> str:
    """The plan that an alias is served under."""
    return f"plan-{alias}"


def _prices(of_input: int) -> dict[str, Any]:
    return {"currency": "EUR", "input_per_million": of_input, "output_per_million": 4 * of_input}


def _target(model: str, index: int) -> dict[str, Any]:
    return {
        "base_url": f"http://127.0.0.1:{8000 + index}/v1",
        "model": model,
        "timeouts": {"first_byte_seconds": FIRST_BYTE_SECONDS},
    }


def _checked(targets: dict[str, Any], profiles: dict[str, Any]) -> Configuration:
    plans = [
        {
            "name": plan_of(alias),
            "alias": alias,
            "public_name": alias,
            "power": "some",
            "best_fit": "simulations",
            "daily_prompts": 1,
            "monthly_prompts": 1,
        }
        for alias in profiles
    ]
    catalogue = {"version": 1, "default_plan": plans[0]["name"], "plans": plans}
    file = {"version": 1, "targets": targets, "profiles": profiles}
    return checked(PlanCatalogue.model_validate(catalogue), Profiles.model_validate(file))
