"""The sources of the previous release, from this repository's history: `deploy/previous-release` names the commit.

They run in today's environment: their requirements are a part of today's.
"""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from devstack.repository import ROOT

NAMED = ROOT / "deploy/previous-release"
_FOLDERS = ("libs/contracts/src", "libs/chassis/src", "libs/scoring/src")


def sources(folder: Path) -> str:
    """Put them below `folder`; the import path of a process that runs them."""
    commit = NAMED.read_text(encoding="utf-8").strip()
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"the previous release {commit[:12]} is not in this clone: git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    services = (f"services/{service}/src" for service in ("gateway", "quota", "router", "billing"))
    return ":".join(str(folder / path) for path in (*_FOLDERS, *services))
