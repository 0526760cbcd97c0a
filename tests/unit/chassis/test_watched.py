"""Configuration files that change while we run."""

import asyncio
import logging
import os
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from chassis import watched
from chassis.watched import ConfigInvalid, Watched, load


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int
    names: dict[str, int] = {}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("number: 1\n")
    return path


def rewrite(file: Path, number: int) -> None:
    file.write_text(f"number: {number}\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("number: [", "not YAML"),
        ("number: many", "number: "),
        ("nubmer: 1", "nubmer: "),
        ("", "file: "),
        ("- 1", "file: "),
        ("number: 1\nnumber: 2", "`number` is given twice"),
        ("number: 1\nnames: {a: 1, b: 2, a: 3}", "`a` is given twice"),
        ("number: !!python/object/apply:os.getcwd []", "not YAML"),
        ("{[1]: 2}", "not YAML"),
        ("[" * 5000, "not YAML"),
    ],
)
def test_a_bad_file_is_refused_with_file_place_and_reason(file: Path, text: str, reason: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigInvalid) as refused:
        load(file, Config)
    assert str(refused.value).startswith(f"{file}: ")
    assert reason in str(refused.value)


def test_the_value_that_was_refused_is_not_in_the_reason(file: Path) -> None:
    file.write_text("number: hunter2")
    with pytest.raises(ConfigInvalid) as refused:
        load(file, Config)
    assert "hunter2" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="No such file"):
        load(tmp_path / "nowhere.yaml", Config)


def test_anchors_and_merges_of_yaml_still_work(file: Path) -> None:
    file.write_text("number: 1\nnames: {<<: &more {a: 1}, b: 2, <<: *more}\n")
    assert load(file, Config).names == {"a": 1, "b": 2}


def test_a_change_is_seen_once(file: Path) -> None:
    config = Watched(file, Config)
    assert not config.refresh()
    file.write_text("number: 2\n")
    assert config.refresh()
    assert not config.refresh()
    assert config.value.number == 2


def test_a_bad_change_keeps_the_last_good_value_and_is_logged_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Watched(file, Config)
    file.write_text("number: many\n")
    assert [config.refresh() for _ in range(3)] == [False] * 3
    assert config.value.number == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    file.write_text("number: 3\n")
    assert config.refresh()
    assert config.value.number == 3


def test_a_file_that_vanishes_is_logged_once_and_read_again_when_it_is_back(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Watched(file, Config)
    file.unlink()
    assert [config.refresh() for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1
    file.write_text("number: 4\n")
    assert config.refresh()
    assert config.value.number == 4


def test_a_swapped_symbolic_link_is_a_change(tmp_path: Path) -> None:
    for version in (1, 2):
        (tmp_path / f"data-{version}").mkdir()
        (tmp_path / f"data-{version}/config.yaml").write_text(f"number: {version}\n")
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "data-1")
    config = Watched(link / "config.yaml", Config)
    replacement = tmp_path / "next"
    replacement.symlink_to(tmp_path / "data-2")
    os.replace(replacement, link)
    assert config.refresh()
    assert config.value.number == 2


async def test_watching_reloads_while_the_block_runs_and_not_after(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "POLL_SECONDS", 0.01)
    config = Watched(file, Config)
    async with config.watching():
        rewrite(file, 5)
        await asyncio.sleep(0.1)
        assert config.value.number == 5
    rewrite(file, 6)
    await asyncio.sleep(0.05)
    assert config.value.number == 5
