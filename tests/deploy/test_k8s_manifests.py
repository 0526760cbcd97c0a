"""The manifests as they are: nothing is found. What would be found is tried in the files beside this one."""

from pathlib import Path

import pytest

from tests.deploy.k8s import asserted, rendering, told
from tests.deploy.k8s.place import K8S, SERVICES
from tests.deploy.k8s.rendering import Rendered, documents


def test_production_has_no_fault(production: Rendered, tmp_path: Path) -> None:
    assert list(asserted.of_overlay(production, "production", folder=tmp_path)) == []


def test_dev_has_no_fault(dev: Rendered, tmp_path: Path) -> None:
    assert list(asserted.of_overlay(dev, "dev", folder=tmp_path)) == []


@pytest.mark.parametrize("name", [component.name for component in rendering.components()])
def test_every_component_is_complete_on_the_base_alone(name: str, tmp_path: Path, dev: Rendered) -> None:
    assert dev.all  # without kustomize this is skipped like the others
    rendered = Rendered(documents(rendering.trial(K8S / "components" / name, tmp_path)))
    assert list(asserted.of_component(rendered)) == []


def test_what_kustomize_cannot_include_is_what_it_was_made_from() -> None:
    assert list(asserted.of_files()) == []


def test_dev_needs_no_operator(dev: Rendered) -> None:
    foreign = {document["apiVersion"] for document in dev.all if "." in document["apiVersion"]}
    assert foreign == {"networking.k8s.io/v1"}


def test_dev_runs_one_of_each(dev: Rendered) -> None:
    counts = {name: deployment["spec"]["replicas"] for name in SERVICES if (deployment := dev.find("Deployment", name))}
    assert counts == dict.fromkeys(SERVICES, 1)


def test_everything_that_a_container_runs_is_checked_against_the_settings_that_it_reads() -> None:
    assert {service for service, word in told.READ_BY if word == "serve"} == set(SERVICES)
    assert {service for service, word in told.READ_BY if word == "migrate"} == {"gateway", "quota", "billing"}
