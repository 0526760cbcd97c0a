"""Loading both files, refusing what does not fit, keeping the last good pair."""

import asyncio
import logging
from pathlib import Path

import pytest

from chassis import watched
from router.errors import ConfigurationRefused
from router.store import Configuration, Store
from tests.unit.router.configurations import plans, profiles, write

THREE = ("free", "plus", "pro")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    write(tmp_path / "plans.yaml", plans())
    write(tmp_path / "profiles.yaml", profiles())
    return Store(plans_file=tmp_path / "plans.yaml", profiles_file=tmp_path / "profiles.yaml")


def test_both_files_are_blamed_at_once(tmp_path: Path) -> None:
    (tmp_path / "plans.yaml").write_text("version: [")
    with pytest.raises(ConfigurationRefused) as refused:
        Store(plans_file=tmp_path / "plans.yaml", profiles_file=tmp_path / "profiles.yaml")
    assert [reason.split(":")[0] for reason in refused.value.reasons] == [
        str(tmp_path / "plans.yaml"),
        str(tmp_path / "profiles.yaml"),
    ]


def test_an_alias_without_profile_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "plans.yaml", plans(names=THREE))
    write(tmp_path / "profiles.yaml", profiles())
    with pytest.raises(ConfigurationRefused, match="alias-plus"):
        Store(plans_file=tmp_path / "plans.yaml", profiles_file=tmp_path / "profiles.yaml")


def test_a_changed_file_is_taken_over(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "profiles.yaml", profiles(version=2, order=("far",)))
    assert store.refresh()
    assert store.current.profiles.version == 2
    assert store.current.profiles.profiles["alias-free"].targets == ("far",)


def test_a_profiles_file_that_misses_an_alias_is_refused_and_the_last_good_one_kept(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = store.current
    write(tmp_path / "profiles.yaml", profiles(version=2, names=("free",)))
    assert not store.refresh()
    assert not store.refresh()
    assert store.current is good
    assert [record.levelno for record in caplog.records if "refused" in record.message] == [logging.ERROR]


@pytest.mark.parametrize("first", ["plans", "profiles"])
def test_a_new_plan_and_its_profile_may_arrive_in_either_order(store: Store, tmp_path: Path, first: str) -> None:
    writes = {
        "plans": lambda: write(tmp_path / "plans.yaml", plans(version=2, names=THREE)),
        "profiles": lambda: write(tmp_path / "profiles.yaml", profiles(version=2, names=THREE)),
    }
    for name in sorted(writes, key=lambda name: name != first):
        writes[name]()
        store.refresh()
    assert store.current.plans.names == list(THREE)
    assert store.current.profiles.version == 2


def test_a_change_under_the_same_version_is_taken_with_a_warning(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "profiles.yaml", profiles(version=1, order=("far",)))
    assert store.refresh()
    assert "same version" in caplog.text


async def test_watching_tells_of_each_new_configuration(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.store.POLL_SECONDS", 0.01)
    assert watched.POLL_SECONDS <= 2
    heard: asyncio.Queue[Configuration] = asyncio.Queue()
    async with store.watching(heard.put_nowait):
        write(tmp_path / "profiles.yaml", profiles(version=5))
        found = await asyncio.wait_for(heard.get(), 2)
    assert found.profiles.version == 5


def test_the_effective_alias_is_the_lower_of_plan_and_ask(store: Store) -> None:
    assert dict(store.current.effective) == {
        ("free", "alias-free"): "alias-free",
        ("free", "alias-pro"): "alias-free",
        ("pro", "alias-free"): "alias-free",
        ("pro", "alias-pro"): "alias-pro",
    }
