"""Who calls, for the endpoints that go through FastAPI."""

from collections.abc import Awaitable, Callable

from fastapi import Request

from gateway.auth import Authenticator
from gateway.domain import Caller
from gateway.http import header

Dependency = Callable[[Request], Awaitable[Caller]]


def build_caller(authenticator: Authenticator) -> Dependency:
    """A dependency that authenticates. Raises what `Authenticator.authenticate` raises."""

    async def caller(request: Request) -> Caller:
        return await authenticator.authenticate(header(request.scope, b"authorization"))

    return caller
