"""One tree of errors per service, drawn where it is defined; a code means one thing and is documented."""

import importlib
from collections import Counter
from typing import Any

import pytest

from tests.architecture.repository import ROOT, SERVICES


def _errors(service: str) -> list[Any]:
    module = importlib.import_module(f"{service}.errors")
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Exception) and each.__module__ == module.__name__
    ]


def _codes(service: str) -> dict[str, str]:
    """The code of every error below a root that has one, by class name. The root itself is raised by nobody."""
    errors = _errors(service)
    return {
        error.__name__: error.code
        for error in errors
        if isinstance(getattr(error, "code", None), str) and any(base in errors for base in error.__mro__[1:])
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_class_is_in_the_drawn_tree(service: str) -> None:
    drawn = importlib.import_module(f"{service}.errors").__doc__ or ""
    names = [error.__name__ for error in _errors(service)]
    assert f"{service.capitalize()}Error" in names
    assert [name for name in names if name not in drawn] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_code_belongs_to_one_class(service: str) -> None:
    counted = Counter(_codes(service).values())
    assert [code for code, count in counted.items() if count > 1] == []


def test_every_code_is_documented() -> None:
    documented = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    codes = {code for service in SERVICES for code in _codes(service).values()}
    faults = {fault for service in SERVICES for error in _errors(service) for fault in getattr(error, "faults", ())}
    assert sorted(code for code in codes | faults if f"`{code}`" not in documented) == []
