"""What the health endpoints answer."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest

from chassis import health
from chassis.health import Check, build_health_app, health_server
from devstack.ports import free_port


async def passes() -> bool:
    return True


async def fails() -> bool:
    return False


async def breaks() -> bool:
    raise ConnectionError("canary")


async def hangs() -> bool:
    await asyncio.sleep(60)
    return True


async def get(checks: Mapping[str, Check], path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=build_health_app(checks))
    async with httpx.AsyncClient(transport=transport, base_url="http://health") as client:
        return await client.get(path)


async def test_ready_is_when_every_check_passes() -> None:
    response = await get({"nats": passes, "database": passes}, "/readyz")
    assert response.status_code == 200
    assert response.json() == {"ready": True, "checks": {"nats": True, "database": True}}


@pytest.mark.parametrize("check", [fails, breaks, hangs])
async def test_a_check_that_fails_breaks_or_hangs_is_named_and_not_explained(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.05)
    response = await get({"nats": passes, "database": check}, "/readyz")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "checks": {"nats": True, "database": False}}


async def test_live_does_not_depend_on_any_check() -> None:
    response = await get({"nats": breaks}, "/livez")
    assert (response.status_code, response.text) == (200, "ok")


async def test_metrics_are_prometheus_text() -> None:
    response = await get({}, "/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "python_info" in response.text


async def test_health_is_served_on_its_port_while_the_block_runs() -> None:
    port = free_port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        async with health_server("127.0.0.1", port, {"nats": passes}):
            assert (await client.get("/readyz")).status_code == 200
        with pytest.raises(httpx.TransportError):
            await client.get("/livez")


async def test_port_zero_serves_nothing() -> None:
    async with health_server("127.0.0.1", 0, {}):
        pass
