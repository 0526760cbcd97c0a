"""Small plans and profiles for tests of the router."""

from pathlib import Path
from typing import Any

import yaml

from contracts.plans import PlanCatalogue
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
    return checked(PlanCatalogue.model_validate(plans()), Profiles.model_validate(profiles(**of_profiles)))


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path
