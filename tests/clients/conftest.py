"""Endpoints and workplaces for the tests of the real clients."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from devstack.pytest_plugin import FreshDatabase
from tests.clients import installation
from tests.clients.endpoint import FORMATS, IS_DIRECT, Endpoint, Format, gateway, provider_itself
from tests.clients.workplace import Workplace

OpenEndpoint = Callable[..., AbstractAsyncContextManager[Endpoint]]


@pytest.fixture(params=FORMATS[:1] if IS_DIRECT else FORMATS, ids="provider-{}".format)
def provider_format(request: pytest.FixtureRequest) -> Format:
    """What the provider behind the gateway speaks; every scenario must look the same to the client."""
    chosen: Format = request.param
    return chosen


if IS_DIRECT:

    @pytest.fixture
    def open_endpoint(provider_format: Format) -> OpenEndpoint:
        return lambda **_: provider_itself()

else:

    @pytest.fixture
    def open_endpoint(
        nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, provider_format: Format
    ) -> OpenEndpoint:
        """`open_endpoint(prompts=1)`: an endpoint of this test's own with so small an allowance."""
        return lambda **wishes: gateway(nats_url, fresh_database, tmp_path, format=provider_format, **wishes)


@pytest_asyncio.fixture
async def endpoint(open_endpoint: OpenEndpoint) -> AsyncIterator[Endpoint]:
    async with open_endpoint() as opened:
        yield opened


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """A client's home and folder. Skips where the clients are not installed."""
    if not installation.is_complete():
        pytest.skip("the clients are not installed: `make test-clients` does it")
    return Workplace.under(tmp_path / "client")
