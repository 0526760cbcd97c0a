"""The lock files fit the projects: every dependency that a member declares is pinned within its bounds, with hashes.

Whether the resolution as a whole is the newest is not asked: that takes a package index, and `make lock` does it.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from devstack.repository import ROOT

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?P<rest>[^\n]*(?:\n[ \t]+[^\n]*)*)", re.MULTILINE)
_OURS = "smartroute-"
# Groups that have a lock of their own.
_LOCKED_APART = ("model", "clients", "k8s", "traces")
# An extra that no service runs with: it is pinned among the tools.
_EXTRAS_OF_TOOLS = frozenset({"train"})


@dataclass(frozen=True, slots=True)
class Declared:
    """A requirement with the place that asks for it."""

    requirement: Requirement
    where: str


def pins(lock: str) -> dict[str, Version]:
    """Name and version of every entry of a lock file. Raises `ValueError` for one without a hash."""
    found: dict[str, Version] = {}
    for entry in _PIN.finditer(lock):
        if "--hash=sha256:" not in entry["rest"]:
            raise ValueError(f"{entry['name']}=={entry['version']} has no hash")
        found[canonicalize_name(entry["name"])] = Version(entry["version"])
    return found


def faults(declared: Iterable[Declared], pinned: Mapping[str, Version], *, lock: str) -> Iterator[str]:
    """Declared dependencies that the lock lacks, or has at a version out of bounds."""
    for each in declared:
        name = canonicalize_name(each.requirement.name)
        if name.startswith(_OURS):
            continue
        if name not in pinned:
            yield f"{each.where} declares {each.requirement}, which is not in {lock}: run `make lock`"
        elif not each.requirement.specifier.contains(pinned[name], prereleases=True):
            yield f"{each.where} declares {each.requirement}, but {lock} has {pinned[name]}: run `make lock`"


def _read(path: Path) -> dict[str, Any]:  # TOML has no narrower type
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _all(texts: Iterable[str], where: str) -> list[Declared]:
    return [Declared(Requirement(text), where) for text in texts]


def _of_members(root: Path) -> tuple[list[Declared], list[Declared]]:
    """What members need to run, and what extras for tools need."""
    found: list[Declared] = []
    tools: list[Declared] = []
    for path in sorted([*root.glob("services/*/pyproject.toml"), *root.glob("libs/*/pyproject.toml")]):
        document = _read(path)
        where = path.relative_to(root).as_posix()
        found += _all(document["project"]["dependencies"], where)
        for name, extra in document["project"].get("optional-dependencies", {}).items():
            (tools if name in _EXTRAS_OF_TOOLS else found).extend(_all(extra, where))
        found += _all(document["build-system"]["requires"], where)
    return found, tools


def check(root: Path) -> list[str]:
    """Every fault of the lock files."""
    project = _read(root / "pyproject.toml")
    groups = {name: _all(texts, f"group {name}") for name, texts in project["dependency-groups"].items()}
    bounds = _all(project["tool"]["uv"]["constraint-dependencies"], "constraint-dependencies")
    members, tools = _of_members(root)
    apart = {f"requirements-{name}.lock": groups.pop(name) for name in _LOCKED_APART if name in groups}
    locks = {
        "requirements.lock": [*members, *groups.pop("build")],
        **apart,
        "requirements-dev.lock": [*tools, *(each for group in groups.values() for each in group)],
    }
    found: list[str] = []
    for name, declared in locks.items():
        text = (root / name).read_text(encoding="utf-8")
        if "://" in text or "--index-url" in text:
            found.append(f"{name} records addresses; run `make lock`")
        try:
            pinned = pins(text)
        except ValueError as exc:
            found.append(f"{name}: {exc}")
            continue
        # A bound that the whole stack shares is about what is used; it does not ask for anything.
        kept = [bound for bound in bounds if canonicalize_name(bound.requirement.name) in pinned]
        found += faults([*declared, *kept], pinned, lock=name)
    return found


def main() -> int:
    found = check(ROOT)
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
