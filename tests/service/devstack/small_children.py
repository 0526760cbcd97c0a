"""Small real programs for the supervisor's tests."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import psutil

from devstack.children import Program
from devstack.ports import LOOPBACK, free_port
from devstack.probes import http_ready

_SERVER = """
import http.server, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in sys.argv else signal.SIG_DFL)
if "parent" in sys.argv:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def web_server(folder: Path, name: str = "web", *flags: str) -> Program:
    """A server on a free port. `deaf` ignores SIGTERM, `parent` has a child of its own."""
    port = free_port()
    return Program(
        name=name,
        command=(sys.executable, "-c", _SERVER, str(port), *flags),
        log=folder / f"{name}.log",
        ready=http_ready(f"http://{LOOPBACK}:{port}/"),
        folder=folder,
        stop_seconds=0.5,
        ready_seconds=20.0,
    )


def failing(folder: Path) -> Program:
    """Says something and ends."""
    command = (sys.executable, "-c", "import sys; sys.exit('the disk is on fire')")
    return replace(web_server(folder, "failing"), command=command)


def silent(folder: Path) -> Program:
    """Runs and never becomes ready."""
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    return replace(web_server(folder, "silent"), command=command, ready_seconds=0.5)


async def soon(holds: Callable[[], Awaitable[bool] | bool], *, within_seconds: float = 15.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within_seconds):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
