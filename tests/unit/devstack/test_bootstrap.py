"""The set-up from a bare Python: what it refuses, what it stamps, how it explains pip."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "libs/devstack/bootstrap.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bootstrap = _load()


def _run(venv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *arguments],
        env={**os.environ, "SMARTROUTE_VENV": str(venv)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _finished(venv: Path, *parts: str) -> None:
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    (venv / "pyvenv.cfg").write_text("")
    (venv / bootstrap.STAMPS).write_text(json.dumps({part: bootstrap.fingerprint(part) for part in parts}))


def test_a_finished_environment_is_left_alone_and_silent(tmp_path: Path) -> None:
    _finished(tmp_path / "venv", "base", "members", "dev", "browser")
    done = _run(tmp_path / "venv", "--dev")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_only_the_parts_that_changed_are_missing(tmp_path: Path) -> None:
    _finished(tmp_path / "venv", "base", "members")
    environment = bootstrap.Environment(tmp_path / "venv")
    assert environment.lacks(["base", "members"]) == []
    assert environment.lacks(["base", "members", "dev", "model"]) == ["dev", "model"]


def test_an_environment_whose_python_has_gone_is_made_anew(tmp_path: Path) -> None:
    _finished(tmp_path / "venv", "base", "members")
    (tmp_path / "venv/bin/python").unlink()
    assert bootstrap.Environment(tmp_path / "venv").lacks(["base", "members"]) == ["base", "members"]


@pytest.mark.parametrize(("part", "packages"), [("npm", "NODE_CLIENTS"), ("browser", "NODE_TOOLS")])
def test_node_packages_are_fetched_anew_when_their_list_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, packages: str
) -> None:
    _finished(tmp_path / "made", "base", part)
    environment = bootstrap.Environment(tmp_path / "made")
    assert environment.lacks(["base", part]) == []
    (tmp_path / "package.json").write_text("{}")
    monkeypatch.setattr(bootstrap, packages, tmp_path / "package.json")
    assert environment.lacks(["base", part]) == [part]


def test_every_node_package_is_named_with_one_exact_version() -> None:
    for packages in (bootstrap.NODE_CLIENTS, bootstrap.NODE_TOOLS):
        named = json.loads(packages.read_text())["dependencies"]
        assert named
        assert [name for name, version in named.items() if not version.replace(".", "").isdigit()] == []


def test_a_damaged_stamp_means_install_again(tmp_path: Path) -> None:
    _finished(tmp_path / "venv", "base", "members")
    (tmp_path / "venv" / bootstrap.STAMPS).write_text("{")
    assert bootstrap.Environment(tmp_path / "venv").lacks(["base", "members"]) == ["base", "members"]


def test_a_folder_that_is_no_environment_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    done = _run(tmp_path)
    assert done.returncode == 1
    assert "is no virtual environment" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_a_sentence_and_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = _run(tmp_path / "file" / "venv")
    assert done.returncode == 1
    assert "SMARTROUTE_VENV" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("NewConnectionError: Temporary failure in name resolution", "cannot be reached"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES: hash do not match", "do not trust"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("npm error code ENOTFOUND\nnpm error network request failed", "cannot be reached"),
        ("ERROR: No matching distribution found for uvloop", "no such package"),
    ],
)
def test_what_pip_says_is_explained(words: str, meaning: str) -> None:
    assert meaning in bootstrap.explain(words)


def test_an_older_python_can_read_the_file_as_far_as_the_version_check() -> None:
    compile(SCRIPT.read_text().partition("ROOT =")[0], str(SCRIPT), "exec", dont_inherit=True)
    head = SCRIPT.read_text().partition("ROOT =")[0]
    assert "match " not in head
    assert ":=" not in head
    assert 'f"' not in head
