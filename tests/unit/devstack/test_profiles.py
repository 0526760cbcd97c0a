"""The profiles file of a stack: every alias has a way out, and a key is never in it."""

import stat
from pathlib import Path

import yaml

from contracts.plans import PlanCatalogue
from devstack import profiles, repository
from devstack.settings import Upstream


def test_one_provider_serves_every_alias_and_its_key_lies_elsewhere(tmp_path: Path) -> None:
    path = profiles.write_upstream(
        tmp_path / "profiles.yaml", Upstream("https://api.example.com/v1", "gpt-x", "canary-key")
    )
    document = yaml.safe_load(path.read_text())
    catalogue = PlanCatalogue.model_validate(yaml.safe_load(repository.PLANS.read_text()))
    assert list(document["profiles"]) == catalogue.aliases
    assert "canary-key" not in path.read_text()
    key = Path(document["targets"]["default"]["key"].removeprefix("file:"))
    assert key.read_text() == "canary-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_provider_without_a_key_is_asked_without_one(tmp_path: Path) -> None:
    path = profiles.write_upstream(tmp_path / "profiles.yaml", Upstream("http://localhost:1/v1", "m"))
    assert yaml.safe_load(path.read_text())["targets"]["default"]["key"] is None


def test_a_given_file_is_used_where_it_is(tmp_path: Path) -> None:
    given = tmp_path / "mine.yaml"
    assert profiles.write_given(tmp_path / "profiles.yaml", given) == given
