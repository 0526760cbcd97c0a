"""Prometheus's own tool for rules, which Debian has in its package `prometheus`: from the system, or fetched once."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGE = "prometheus"
HOW_TO = (
    f"promtool is missing. Install Debian's package `{PACKAGE}` (apt install {PACKAGE}); elsewhere, Prometheus has it."
)


class NoPromtool(Exception):
    """It is not here and cannot be fetched. The text says what to install."""


def promtool() -> Path:
    """Raises `NoPromtool`. What is fetched is unpacked into this user's cache: nothing is installed or started."""
    found = shutil.which("promtool")
    if found is not None:
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smartroute"
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / "promtool"
    with (cache / "promtool.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            _fetch(kept)
    return kept


def _fetch(place: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NoPromtool(HOW_TO)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        # apt gives up its rights for downloads; the folder has to be open to whom it becomes.
        Path(folder).chmod(0o777)
        if not _runs("apt-get", "download", PACKAGE, folder=folder):
            is_known = os.geteuid() == 0 and _runs("apt-get", "update", folder=folder)
            if not is_known or not _runs("apt-get", "download", PACKAGE, folder=folder):
                raise NoPromtool(HOW_TO)
        (archive,) = Path(folder).glob("*.deb")
        if not _runs("dpkg-deb", "--extract", str(archive), folder, folder=folder):
            raise NoPromtool(HOW_TO)
        (Path(folder) / "usr/bin/promtool").rename(place)


def _runs(*command: str, folder: str) -> bool:
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
