"""Small plans and profiles for tests of the router."""

from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from contracts.plans import PlanCatalogue
from contracts.router import Choose
from router.profiles import Profiles
from router.store import Configuration, checked

TARGETS: dict[str, Any] = {
    "near": {"base_url": "http://127.0.0.1:8081/v1", "model": "small", "key": None},
    "far": {"base_url": "https://far.example.com/v1", "model": "large", "key": "env:FAR_KEY"},
}


def plans(*, version: int = 1, names: tuple[str, ...] = ("free", "pro")) -> dict[str, Any]:
    return {
        "version": version,
        "default_plan": names[0],
        "plans": [
            {
                "name": name,
                "alias": f"alias-{name}",
                "public_name": name,
                "power": "some",
                "best_fit": "tests",
                "daily_prompts": 1,
                "monthly_prompts": 1,
            }
            for name in names
        ],
    }


def profiles(
    *,
    version: int = 1,
    names: tuple[str, ...] = ("free", "pro"),
    targets: dict[str, Any] | None = None,
    order: tuple[str, ...] = ("near", "far"),
) -> dict[str, Any]:
    return {
        "version": version,
        "targets": TARGETS if targets is None else targets,
        "profiles": {f"alias-{name}": {"targets": list(order)} for name in names},
    }


def configuration(**of_profiles: Any) -> Configuration:
    return configured(profiles(**of_profiles))


def choose(*, plan: str = "pro", alias: str = "alias-pro", number: int = 0, **fields: Any) -> Choose:
    """An ask. The same `number` is the same request id, and so the same jitter."""
    return Choose(request_id=UUID(int=number), plan=plan, alias=alias, **fields)


def tiered(
    light: tuple[str, ...] = ("near",), strong: tuple[str, ...] = ("far",), *, strong_budget: float = 0.25, **more: Any
) -> dict[str, Any]:
    """A profiles file whose profiles have two tiers."""
    found = profiles(**more)
    tiers = {"light": list(light), "strong": list(strong), "strong_budget": strong_budget}
    found["profiles"] = dict.fromkeys(found["profiles"], tiers)
    return found


def configured(document: dict[str, Any]) -> Configuration:
    """The configuration of a profiles file and the plans of `plans`."""
    return checked(PlanCatalogue.model_validate(plans()), Profiles.model_validate(document))


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path
