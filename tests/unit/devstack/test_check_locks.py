"""What `make check` says of lock files that do not fit the projects."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from devstack.check.locks import Declared, check, faults, pins
from devstack.repository import ROOT

LOCK = """\
anyio==4.16.0 \\
    --hash=sha256:00
Uv_Build==0.13.6 ; python_version >= '3.11' \\
    --hash=sha256:01 \\
    --hash=sha256:02
"""


def declared(text: str) -> list[Declared]:
    return [Declared(Requirement(text), "services/quota/pyproject.toml")]


def test_every_entry_is_read_with_its_version() -> None:
    assert pins(LOCK) == {"anyio": Version("4.16.0"), "uv-build": Version("0.13.6")}


def test_an_entry_without_a_hash_is_refused() -> None:
    with pytest.raises(ValueError, match=r"httpx==0\.28\.1 has no hash"):
        pins(LOCK + "httpx==0.28.1\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("anyio", None),
        ("anyio>=4,<5", None),
        ("UV.build", None),
        ("smartroute-contracts", None),
        ("anyio>=5", "declares anyio>=5, but a.lock has 4.16.0"),
        ("orjson", "declares orjson, which is not in a.lock"),
    ],
)
def test_what_is_declared_must_be_pinned_within_its_bounds(text: str, complaint: str | None) -> None:
    found = list(faults(declared(text), pins(LOCK), lock="a.lock"))
    assert len(found) == (0 if complaint is None else 1)
    assert all(complaint is not None and complaint in fault for fault in found)


def _a_workspace(folder: Path, *, lock: str) -> Path:
    (folder / "services/quota").mkdir(parents=True)
    (folder / "libs").mkdir()
    (folder / "pyproject.toml").write_text(
        '[dependency-groups]\nbuild = ["uv_build"]\nmodel = []\nclients = []\ndev = ["anyio>=4"]\n'
        '[tool.uv]\nconstraint-dependencies = ["httpx>=1", "anyio>=4.1"]\n',
        encoding="utf-8",
    )
    (folder / "services/quota/pyproject.toml").write_text(
        '[build-system]\nrequires = ["uv_build"]\n[project]\ndependencies = ["anyio"]\n'
        '[project.optional-dependencies]\nfast = ["uvloop"]\n',
        encoding="utf-8",
    )
    for name in ("requirements.lock", "requirements-dev.lock"):
        (folder / name).write_text(lock, encoding="utf-8")
    for name in ("requirements-model.lock", "requirements-clients.lock"):
        (folder / name).write_text("", encoding="utf-8")
    return folder


def test_dependencies_of_extras_count_and_bounds_hold_for_what_is_pinned_only(tmp_path: Path) -> None:
    (fault,) = check(_a_workspace(tmp_path, lock=LOCK))
    assert fault.startswith("services/quota/pyproject.toml declares uvloop, which is not in requirements.lock")


def test_what_training_needs_is_pinned_among_the_tools(tmp_path: Path) -> None:
    root = _a_workspace(tmp_path, lock=LOCK)
    project = root / "services/quota/pyproject.toml"
    project.write_text(project.read_text(encoding="utf-8").replace("fast = ", "train = "), encoding="utf-8")
    (fault,) = check(root)
    assert fault.startswith("services/quota/pyproject.toml declares uvloop, which is not in requirements-dev.lock")


def test_a_lock_that_records_an_address_is_refused(tmp_path: Path) -> None:
    found = check(_a_workspace(tmp_path, lock="--index-url https://example.test/simple\n" + LOCK))
    assert "requirements.lock records addresses; run `make lock`" in found


def test_the_locks_of_this_repository_fit() -> None:
    assert check(ROOT) == []
