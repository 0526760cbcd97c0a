"""Whoever has read one service can read all: the same modules, short files, short functions, telling names."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from tests.architecture.repository import LIBRARIES, ROOT, SERVICES, files, package, shown, sources, tree

MODULES = ("__main__", "app", "settings", "errors", "handlers", "domain", "store")
WITH_TABLES = ("gateway", "quota", "billing")
LONGEST_FILE = 400
LONGEST_FUNCTION = 40
NAMES_THAT_SAY_NOTHING = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}

# Path, or path::function, with the reason why a limit does not hold for it. Every entry must still be needed.
EXCEPTIONS: dict[str, str] = {}

_UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b")


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_modules(service: str) -> None:
    folder = package(service)
    missing = [
        name
        for name in MODULES
        if not (folder / f"{name}.py").is_file() and not (folder / name / "__init__.py").is_file()
    ]
    assert missing == []


@pytest.mark.parametrize("service", SERVICES)
def test_services_with_tables_have_migrations_and_the_others_neither(service: str) -> None:
    folder = package(service)
    has = service in WITH_TABLES
    assert ((folder / "tables.py").is_file(), (folder / "migrations/env.py").is_file()) == (has, has)
    assert bool(list(folder.glob("migrations/versions/*.py"))) == has


@pytest.mark.parametrize("member", SERVICES + LIBRARIES)
def test_every_import_name_is_a_folder_of_this_repository(member: str) -> None:
    spec = importlib.util.find_spec(member)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve() == package(member) / "__init__.py"


def _is_wire_model(path: Path) -> bool:
    return path.name == "models.py" and "wire" in path.parts


def _long_files() -> set[str]:
    return {
        shown(path)
        for path in sources()
        if not _is_wire_model(path) and len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE
    }


def _long_functions() -> set[str]:
    """Counted from the `def` line to the last one, decorators left out."""
    return {
        f"{shown(path)}::{node.name}"
        for path in sources(ROOT / "libs", ROOT / "services")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > LONGEST_FUNCTION
    }


def test_no_file_is_longer_than_400_lines() -> None:
    assert sorted(_long_files() - EXCEPTIONS.keys()) == []


def test_no_function_of_the_product_is_longer_than_40_lines() -> None:
    assert sorted(_long_functions() - EXCEPTIONS.keys()) == []


def test_every_exception_is_still_needed() -> None:
    assert sorted(EXCEPTIONS.keys() - _long_files() - _long_functions()) == []


def test_every_file_is_named_by_its_noun() -> None:
    assert [shown(path) for path in files() if path.name in NAMES_THAT_SAY_NOTHING] == []


def test_every_module_says_what_it_owns() -> None:
    silent = [shown(path) for path in sources() if tree(path).body and ast.get_docstring(tree(path)) is None]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    unfinished = [
        f"{shown(path)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if _UNFINISHED.search(line)
    ]
    unfinished += [
        f"{shown(path)}:{node.lineno}"
        for path in sources(ROOT / "libs", ROOT / "services")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]
    assert unfinished == []
