"""The files of this repository as the architecture tests read them: without what .gitignore names."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("gateway", "quota", "router", "billing")
LIBRARIES = ("contracts", "chassis", "scoring", "devstack")


def package(member: str) -> Path:
    """The folder of a member's import package."""
    return ROOT / ("services" if member in SERVICES else "libs") / member / "src" / member


@cache
def files() -> tuple[Path, ...]:
    """Every file that is or would be tracked. Walked, not asked of git: a copy without history is checked, too."""
    return tuple(sorted(_walk(ROOT)))


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name == ".git" or any(fnmatch(entry.name, pattern) for pattern in _ignored()):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)
        elif entry.is_file():
            yield entry


@cache
def _ignored() -> tuple[str, ...]:
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip().rstrip("/") for line in lines if line.strip() and not line.startswith("#"))


def sources(*folders: Path) -> list[Path]:
    """The Python files of these folders, or of the whole repository."""
    return [
        path
        for path in files()
        if path.suffix == ".py" and (not folders or any(path.is_relative_to(folder) for folder in folders))
    ]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function, by its full name."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def top_level(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def shown(path: Path) -> str:
    """A path as people write it, for lists of faults."""
    return path.relative_to(ROOT).as_posix()
