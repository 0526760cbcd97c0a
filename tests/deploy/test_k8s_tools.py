"""The tools of others, as they are called: what they are there for is noticed. `make k8s-check` installs them."""

from pathlib import Path

import pytest
import yaml

from tests.deploy.k8s import scanning
from tests.deploy.k8s.broken import broken, container
from tests.deploy.k8s.rendering import Rendered
from tests.deploy.k8s.scanning import Tools


@pytest.fixture(scope="session")
def tools() -> Tools:
    found = Tools.installed()
    if found is None:
        pytest.skip("checkov and kubernetes-validate are not installed: `make k8s-check` does that")
    return found


def _written(rendered: Rendered, folder: Path) -> Path:
    file = folder / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(rendered.all), encoding="utf-8")
    return file


def test_a_misspelt_field_is_noticed(tools: Tools, production: Rendered, tmp_path: Path) -> None:
    misspelt = broken(production, "Deployment", "router", lambda found: found["spec"].update(minReadySecond=5))
    (fault,) = tools.schema_faults(_written(misspelt, tmp_path))
    assert "minReadySecond" in fault


@pytest.mark.parametrize(
    ("version", "kind"), [("apps/v1", "Deploymnt"), ("networking.k8s.io/v7", "NetworkPolicy"), ("keda.sh/v2", "Scaler")]
)
def test_a_kind_that_nobody_knows_is_noticed(
    tools: Tools, production: Rendered, tmp_path: Path, version: str, kind: str
) -> None:
    unknown = broken(production, "ServiceAccount", "router", lambda found: found.update(apiVersion=version, kind=kind))
    (fault,) = tools.schema_faults(_written(unknown, tmp_path))
    assert f"kind {kind} with api version {version}" in fault


def test_a_bad_habit_is_noticed(tools: Tools, production: Rendered, tmp_path: Path) -> None:
    careless = broken(
        production, "Deployment", "router", lambda found: container(found)["securityContext"].update(privileged=True)
    )
    assert any("CKV_K8S_16" in fault for fault in tools.habits(_written(careless, tmp_path)))


def test_an_exception_that_nothing_needs_is_noticed(
    tools: Tools, production: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = tmp_path / "exceptions.yaml"
    more.write_text(scanning.EXCEPTIONS.read_text(encoding="utf-8") + "CKV_K8S_16: nobody knows\n", encoding="utf-8")
    monkeypatch.setattr(scanning, "EXCEPTIONS", more)
    found = list(tools.habits(_written(production, tmp_path)))
    assert found == ["exceptions.yaml: nothing needs CKV_K8S_16 any more"]
