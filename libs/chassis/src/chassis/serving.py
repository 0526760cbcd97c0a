"""One way to serve HTTP: uvicorn inside our own event loop, stopped with a limit on open responses."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    """Leaves signals to `chassis.process`: one process, one place that decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A listening TCP socket. With `reuse_port`, replicas share the port and the kernel spreads connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(2048)
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def serving(
    app: Any,  # an ASGI application: uvicorn's own type for it is Any, too
    *,
    host: str,
    port: int,
    reuse_port: bool = False,
    grace_seconds: float = 5.0,
    http: str | type[asyncio.Protocol] = "httptools",
) -> AsyncIterator[None]:
    """Serve `app` while the block runs; on the way out accept nothing new and let open responses end, to a limit.

    `http` is a name or a class of uvicorn's for those who must guard the connection itself.
    """
    config = uvicorn.Config(
        app,
        http=http,
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        date_header=False,
        # uvicorn would believe what any local peer says of where a request comes from; who we believe is a setting.
        proxy_headers=False,
        log_config=None,
        h11_max_incomplete_event_size=None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=round(grace_seconds),
    )
    server = _Server(config)
    listener = listen(host, port, reuse_port=reuse_port)
    task = asyncio.create_task(server.serve(sockets=[listener]), name=f"http {host}:{port}")
    try:
        await _started(server, task)
        yield
    finally:
        server.should_exit = True
        await task
        listener.close()


async def _started(server: _Server, task: asyncio.Task[None]) -> None:
    while not server.started:
        if task.done():
            await task
            raise RuntimeError("the HTTP server ended before it started")
        await asyncio.sleep(0.01)
