"""`python -m router serve` as a process, as an image runs it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from chassis import bus
from contracts.router import CHOOSE, Choose, Chosen
from devstack.nats import RunningNats
from devstack.ports import free_port
from tests.unit.router.configurations import plans, profiles, write


@asynccontextmanager
async def a_router(nats_url: str, folder: Path, port: int) -> AsyncIterator[Process]:
    write(folder / "plans.yaml", plans())
    write(folder / "profiles.yaml", profiles())
    environment = os.environ | {
        "ROUTER_NATS_URL": nats_url,
        "ROUTER_HEALTH_PORT": str(port),
        "ROUTER_INSTANCE": "router-of-test",
        "ROUTER_PLANS_FILE": str(folder / "plans.yaml"),
        "ROUTER_PROFILES_FILE": str(folder / "profiles.yaml"),
    }
    with (folder / "router.log").open("wb") as log:
        command = (sys.executable, "-m", "router", "serve")
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL, stderr=log)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def get(port: int, path: str) -> tuple[int, str]:
    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    return await asyncio.to_thread(fetch)


async def until(port: int, path: str, status: int) -> str:
    """The body of the first answer with `status`, waited for up to 15 seconds."""
    for _ in range(150):
        found, body = await get(port, path)
        if found == status:
            return body
        await asyncio.sleep(0.1)
    pytest.fail(f"{path} answered {found}, not {status}: {body}")


async def test_a_router_is_ready_measured_and_stops_without_losing_an_ask(nats_url: str, tmp_path: Path) -> None:
    port = free_port()
    async with a_router(nats_url, tmp_path, port) as process, bus.connect(nats_url, name="t", instance="t") as gateway:
        ready = await until(port, "/readyz", 200)
        assert json.loads(ready) == {"ready": True, "checks": {"nats": True, "configuration": True}}
        ask = Choose(request_id=uuid4(), plan="pro", alias="alias-pro")
        asks = [asyncio.create_task(bus.ask(gateway, CHOOSE, ask, timeout_seconds=5)) for _ in range(60)]
        await asyncio.gather(*asks)
        _, metrics = await get(port, "/metrics")
        late = [asyncio.create_task(bus.ask(gateway, CHOOSE, ask, timeout_seconds=5)) for _ in range(60)]
        await asyncio.sleep(0)
        await gateway.flush()
        process.send_signal(signal.SIGTERM)
        assert all(isinstance(reply, Chosen) for reply in await asyncio.gather(*late))
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert "smartroute_router_target_set_aside{" in metrics
    assert 'smartroute_alias_served="alias-pro"' in metrics
    logged = [json.loads(line) for line in (tmp_path / "router.log").read_text().splitlines()]
    assert {"ready", "stopping", "stopped"} <= {line["message"] for line in logged}
    assert {line["service"] for line in logged} == {"router"}


async def test_a_router_is_not_ready_while_nats_is_away_and_ready_again_after(
    nats_server: RunningNats, nats_url: str, tmp_path: Path
) -> None:
    port = free_port()
    async with a_router(nats_url, tmp_path, port):
        await until(port, "/readyz", 200)
        await nats_server.child.halt()
        body = await until(port, "/readyz", 503)
        assert json.loads(body)["checks"] == {"nats": False, "configuration": True}
        assert (await get(port, "/livez"))[0] == 200
        await nats_server.child.start()
        await until(port, "/readyz", 200)


@pytest.mark.parametrize("content", ["version: [", "version: 1"])
async def test_a_router_with_a_bad_file_ends_with_the_reason(nats_url: str, tmp_path: Path, content: str) -> None:
    async with a_router(nats_url, tmp_path, free_port()) as first:
        first.kill()
    (tmp_path / "profiles.yaml").write_text(content)
    environment = os.environ | {
        "ROUTER_NATS_URL": nats_url,
        "ROUTER_PLANS_FILE": str(tmp_path / "plans.yaml"),
        "ROUTER_PROFILES_FILE": str(tmp_path / "profiles.yaml"),
    }
    command = (sys.executable, "-m", "router", "serve")
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 1
    assert "profiles.yaml" in said.decode()
