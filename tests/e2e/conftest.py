"""Folders for stacks that a whole module shares."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.pytest_plugin import short_folder


@pytest.fixture(scope="module")
def module_data_dir() -> Iterator[Path]:
    """An empty folder that all tests of a module share."""
    with short_folder() as folder:
        yield folder
