"""How a process begins and runs: faults of its settings are told, logs and telemetry are on, one event loop turns.

One context manager holds everything; SIGTERM or SIGINT ends it.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from importlib.metadata import version

from pydantic import ValidationError

from chassis import logs, telemetry

log = logging.getLogger(__name__)


def default_instance() -> str:
    """Host name and pid: the pod's name on Kubernetes, unique on one machine."""
    return f"{socket.gethostname()}-{os.getpid()}"


def settings_faults(refused: ValidationError, *, prefix: str) -> list[str]:
    """A line per environment variable that is missing or wrong. Its value is not shown: some are secrets."""
    return [
        f"{prefix}{'_'.join(str(part) for part in fault['loc'])}".upper() + f": {fault['msg']}"
        for fault in refused.errors(include_input=False, include_url=False)
    ]


@contextmanager
def observed(service: str, *, instance: str, log_level: str) -> Iterator[None]:
    """Logs and telemetry of this process, which exist once; on the way out what is recorded is exported."""
    logs.configure(service, instance=instance, level=log_level)
    recorded = telemetry.start(service, instance=instance, version=version(f"smartroute-{service}"))
    try:
        yield
    finally:
        recorded.shutdown()


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
