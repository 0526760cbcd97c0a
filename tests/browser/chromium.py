"""The Chromium of the machine: where it is, how it is got when it is missing, and how it is started.

None is downloaded for the tests. Where there is none and we may install programs (CI, a bare Debian), Debian's own is
installed once; anywhere else the tests of the browser fail with a sentence that says what to install.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# Chromium talks to nobody but the page, and runs as root, where its sandbox cannot.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),
)
_LOCK = Path(tempfile.gettempdir()) / "smartroute-chromium.lock"
_INSTALL_SECONDS = 600


class NoChromium(Exception):
    """There is no browser to test with, and none could be installed."""


def found() -> Path | None:
    """The first Chromium or Chrome on the PATH."""
    return next((Path(path) for name in NAMES if (path := shutil.which(name))), None)


def ensured() -> Path:
    """The browser's program, installed first if need be and allowed. Workers that ask at once wait for one another."""
    path = found()
    if path is not None:
        return path
    with _LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = found() or _installed()
    if path is None:
        raise NoChromium(
            "the portal is tested in a real browser, and there is none here: install Chromium or Google Chrome "
            "(Debian and Ubuntu: apt install chromium), so that one of these is on the PATH: " + ", ".join(NAMES)
        )
    return path


def _installed() -> Path | None:
    """Debian's Chromium, when we are root on a system with apt."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = (
        ("apt-get", "update", "-q"),
        ("apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"),
    )
    for command in commands:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_INSTALL_SECONDS,
        )
        if done.returncode:
            raise NoChromium(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
    return found()


@asynccontextmanager
async def running(program: Path) -> AsyncIterator[Browser]:
    """A browser without a window, until the block ends."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        try:
            yield browser
        finally:
            await browser.close()
