"""How a process runs: one event loop, one context manager that holds everything, SIGTERM or SIGINT ends it."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from contextlib import AbstractAsyncContextManager

log = logging.getLogger(__name__)


def default_instance() -> str:
    """Host name and pid: the pod's name on Kubernetes, unique on one machine."""
    return f"{socket.gethostname()}-{os.getpid()}"


def run(app: AbstractAsyncContextManager[object]) -> None:
    """Enter `app`, wait for a signal, leave it. What cannot start raises out of here and ends the process."""
    if sys.platform == "win32":
        asyncio.run(_run(app))
    else:
        import uvloop

        uvloop.run(_run(app))


async def _run(app: AbstractAsyncContextManager[object]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with app:
        # What is there now stays: without this a full collection walks all of it, and every open request waits 60 ms.
        gc.collect()
        gc.freeze()
        log.info("ready")
        await stop.wait()
        log.info("stopping")
    log.info("stopped")
