"""Where the repository's own files are: the members are installed editable, so the tree is around this file."""

from pathlib import Path

import yaml

from contracts.plans import PlanCatalogue

ROOT = Path(__file__).resolve().parents[4]
PLANS = ROOT / "deploy/config/plans.yaml"
PROFILES = ROOT / "deploy/config/profiles.yaml"
NATS_USERS = ROOT / "deploy/nats/users.conf"


def migrations(service: str) -> list[Path]:
    """The files that say what a service's tables are."""
    return sorted((ROOT / "services" / service / "src" / service / "migrations").rglob("*.py"))


def plan_names(plans: Path) -> list[str]:
    """The plans of a catalogue, weakest first."""
    return PlanCatalogue.model_validate(yaml.safe_load(plans.read_text(encoding="utf-8"))).names
