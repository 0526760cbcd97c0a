"""Every outside fact is documented, and every documented one exists."""

import importlib
import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from tests.architecture.repository import ROOT, SERVICES, files, shown

_ROW = re.compile(r"^\|\s*`([A-Z][A-Z0-9_]+)`\s*\|\s*([^|]*?)\s*\|", re.MULTILINE)
_VARIABLE = re.compile(r"\b(?:" + "|".join(service.upper() for service in SERVICES) + r")_[A-Z][A-Z0-9_]*\b")


def _fields(service: str) -> dict[str, FieldInfo]:
    """The settings of a service by the name of their variable."""
    module = importlib.import_module(f"{service}.settings")
    classes = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, BaseSettings)]
    return {
        f"{each.model_config['env_prefix']}{name}".upper(): field
        for each in classes
        if each is not BaseSettings
        for name, field in each.model_fields.items()
    }


def _default(field: FieldInfo) -> str | None:
    """The default as the table shows it; None where it is words, because it is made at the start."""
    if field.default_factory is not None:
        return None
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    # Seconds are floats in the code; people write `5`.
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _documented(service: str) -> dict[str, str]:
    readme = ROOT / "services" / service / "README.md"
    rows: list[tuple[str, str]] = _ROW.findall(readme.read_text(encoding="utf-8"))
    return {name: default.strip("`") for name, default in rows if name.startswith(f"{service.upper()}_")}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_in_the_readme_with_its_default(service: str) -> None:
    expected = {name: _default(field) for name, field in _fields(service).items()}
    documented = _documented(service)
    assert documented.keys() == expected.keys()
    wrong = {
        name: (documented[name], default)
        for name, default in expected.items()
        if default not in (None, documented[name])
    }
    assert wrong == {}, "documented, and as it is"


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_has_the_prefix_of_its_service(service: str) -> None:
    assert all(name.startswith(f"{service.upper()}_") for name in _fields(service))


def test_every_variable_that_a_document_or_manifest_names_exists() -> None:
    known = {name for service in SERVICES for name in _fields(service)}
    named = {
        f"{shown(path)}: {variable}"
        for path in _documents()
        for variable in _VARIABLE.findall(path.read_text(encoding="utf-8"))
        if variable not in known
    }
    assert sorted(named) == []


def _documents() -> list[Path]:
    """Documentation, and what deploys us."""
    return [
        path
        for path in files()
        if path.suffix == ".md" or (path.is_relative_to(ROOT / "deploy") and path.suffix in {".yaml", ".yml", ".env"})
    ]
