"""Folders for stacks that a whole module shares."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.prepared import prepare_folder
from devstack.pytest_plugin import short_folder


@pytest.fixture(scope="module")
def module_data_dir() -> Iterator[Path]:
    """A folder for the stack of a module, in which it finds its tables."""
    with short_folder() as folder:
        yield prepare_folder(folder)
