"""Another time for single processes: libfaketime, preloaded. For tests of midnights, leap days and clocks that differ.

Go programs (the NATS server) read the clock past libc and stay in real time.
"""

import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil

from devstack.errors import StartFailed
from devstack.launch import PRELOAD

INSTALL = "Debian and Ubuntu: apt-get install libfaketime"
_FILES = ("libfaketimeMT.so.1", "libfaketime.so.1")
_FOLDERS = (
    f"/usr/lib/{platform.machine()}-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
)


def library() -> Path | None:
    """The preloadable library of this system, None when it is not installed."""
    places = (Path(folder) / name for name in _FILES for folder in _FOLDERS)
    return next((place for place in places if place.exists()), None)


def shifted(*, seconds: float) -> dict[str, str]:
    """The environment of a process whose clock is `seconds` ahead (behind, if negative). Timers keep real time.

    Raises `StartFailed` without libfaketime.
    """
    found = library()
    if found is None:
        raise StartFailed(f"libfaketime is not installed. {INSTALL}")
    _forget_the_dead()
    return {
        PRELOAD: str(found),
        "FAKETIME": f"{seconds:+.3f}",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Postgres and Python look at modification times of files; only the clock shall differ.
        "NO_FAKE_STAT": "1",
    }


def _forget_the_dead() -> None:
    """Remove the shared memory of killed processes: whoever is given such a pid as another user could not start."""
    for path in Path("/dev/shm").glob("*faketime_*_*"):
        pid = path.name.rpartition("_")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


def showing(moment: datetime) -> dict[str, str]:
    """The environment of a process for which it is `moment` now, and goes on from there."""
    return shifted(seconds=(moment - datetime.now(UTC)).total_seconds())
