"""The floor: the least that a Python gateway can do. Body in, provider called, bytes out; nothing checked or counted.

Raw ASGI on uvicorn (uvloop, httptools) and the HTTP client of `gateway.upstream`. What the gateway needs beyond this is
what its promises cost.

Run as `python floor.py --provider URL`; the first line of its output is the port.
"""

import argparse
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn
import uvloop

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}


class PassThrough:
    """An ASGI app that posts every body to the same path of one provider and sends the answer back."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        body = b""
        is_complete = False
        while not is_complete:
            message = await receive()
            body += message.get("body", b"")
            is_complete = not message.get("more_body", False)
        url = self._origin + scope["path"]
        async with self._provider().post(url, data=body, headers=_HEADERS, allow_redirects=False) as answer:
            kind = answer.headers.get("content-type", "").encode()
            if kind.startswith(b"application/json"):
                whole = await answer.read()
                headers = [(b"content-type", kind), (b"content-length", str(len(whole)).encode())]
                await send({"type": "http.response.start", "status": answer.status, "headers": headers})
                await send({"type": "http.response.body", "body": whole})
                return
            headers = [(b"content-type", kind)]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    def _provider(self) -> aiohttp.ClientSession:
        """The session, made at the first request: it needs the running loop."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout
            )
        return self._session

    async def close(self) -> None:
        """Close the connections to the provider."""
        if self._session is not None:
            await self._session.close()


async def serve(provider: str) -> None:
    """Serve on a free port of 127.0.0.1 until SIGTERM; the port is printed."""
    app = PassThrough(provider.removesuffix("/v1"))
    config = uvicorn.Config(app, http="httptools", lifespan="off", log_level="warning", access_log=False)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await uvicorn.Server(config).serve(sockets=[listener])
    await app.close()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provider", required=True, help="base URL, ending in /v1")
    uvloop.run(serve(parser.parse_args().provider))


if __name__ == "__main__":
    main()
