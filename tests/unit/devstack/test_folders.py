"""What lies in the data folder is written whole, kept private, and found again."""

import stat
from pathlib import Path

import pytest

from devstack.children import Account
from devstack.errors import FolderUnusable
from devstack.folders import Keepsakes, can_pass, make_folder, read_json, write_json

_STRANGER = Account("stranger", 54321, 54321)


def test_a_document_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    write_json(path, {"token": "old"})
    write_json(path, {"token": "new"})
    assert read_json(path) == {"token": "new"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["stack.json"]


@pytest.mark.parametrize("damage", ["", "{", "[1]", "\0\0\0"])
def test_a_damaged_document_counts_as_missing(tmp_path: Path, damage: str) -> None:
    (tmp_path / "kept.json").write_text(damage)
    assert read_json(tmp_path / "kept.json") == {}


def test_a_secret_is_made_once_and_found_again(tmp_path: Path) -> None:
    first = Keepsakes(tmp_path / "kept.json").secret("password")
    again = Keepsakes(tmp_path / "kept.json")
    assert again.secret("password") == first
    assert again.secret("another") != first
    assert len(first) >= 32


def test_an_existing_folder_keeps_its_permissions(tmp_path: Path) -> None:
    private = tmp_path / "mine"
    private.mkdir(mode=0o700)
    make_folder(private)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnusable, match="SMARTROUTE_DATA_DIR"):
        make_folder(tmp_path / "file" / "data")


def test_one_private_step_on_the_way_stops_another_user(tmp_path: Path) -> None:
    below = tmp_path / "private" / "open"
    below.mkdir(parents=True)
    below.chmod(0o755)
    (tmp_path / "private").chmod(0o700)
    assert not can_pass(_STRANGER, below)
    assert can_pass(_STRANGER, Path("/"))
