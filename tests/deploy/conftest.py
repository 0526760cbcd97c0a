"""The overlays, rendered once. Without kustomize there is nothing to look at."""

import pytest

from tests.deploy.k8s import rendering
from tests.deploy.k8s.place import K8S
from tests.deploy.k8s.rendering import Rendered


def _overlay(name: str) -> Rendered:
    if rendering.command() is None:
        pytest.skip(rendering.HOW_TO_INSTALL)
    return Rendered(rendering.documents(rendering.text(K8S / "overlays" / name)))


@pytest.fixture(scope="session")
def production() -> Rendered:
    """As it comes out of kustomize. Tests break copies of it."""
    return _overlay("production")


@pytest.fixture(scope="session")
def dev() -> Rendered:
    return _overlay("dev")
