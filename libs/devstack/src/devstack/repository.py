"""Where the repository's own files are: the members are installed editable, so the tree is around this file."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
PLANS = ROOT / "deploy/config/plans.yaml"
PROFILES = ROOT / "deploy/config/profiles.yaml"


def migrations(service: str) -> list[Path]:
    """The files that say what a service's tables are."""
    return sorted((ROOT / "services" / service / "src" / service / "migrations").rglob("*.py"))
