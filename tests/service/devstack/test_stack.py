"""The whole product under the supervisor: facts that stay true, restarts that keep addresses, data that survives."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from devstack.children import launched
from devstack.nats import nats_server
from devstack.ports import free_port
from devstack.postgres import postgres_server
from devstack.probes import http_json
from devstack.pytest_plugin import short_folder
from devstack.settings import SERVICES
from devstack.stack import Stack
from tests.service.devstack.small_children import is_alive, soon

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def stack_dir() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(stack_dir: Path) -> AsyncIterator[Stack]:
    async with Stack(stack_dir, replicas={"gateway": 2, "quota": 2}) as running:
        yield running


def _facts(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "stack.json").read_text()))


async def _plan(base_url: str, token: str) -> object:
    return (await http_json(f"{base_url}/usage", headers={"Authorization": f"Bearer {token}"}) or {}).get("plan")


async def test_the_facts_name_addresses_and_living_processes(stack: Stack, stack_dir: Path) -> None:
    facts = _facts(stack_dir)
    assert (stack_dir / "stack.json").stat().st_mode & 0o077 == 0
    assert facts["base_url"] == stack.base_url
    counts = {name: len(pids) for name, pids in facts["processes"].items()}
    assert counts == {"nats": 1, "postgres": 1, "gateway": 2, "quota": 2, "router": 1, "billing": 1}
    assert all(is_alive(pid) for pids in facts["processes"].values() for pid in pids)
    assert [entry["pid"] for entry in facts["services"]["quota"]] == facts["processes"]["quota"]


async def test_gateways_are_told_where_the_portal_is_and_where_its_mails_go(stack: Stack) -> None:
    origin = stack.base_url.removesuffix("/v1")
    for child in stack.children("gateway"):
        told = child.program.environment
        assert (told["GATEWAY_PUBLIC_URL"], told["GATEWAY_SMTP_URL"]) == (origin, stack.mail.url)


async def test_every_plan_has_a_user_of_the_portal(stack: Stack, stack_dir: Path) -> None:
    users = _facts(stack_dir)["portal_users"]
    assert list(users) == list(stack.tokens)
    assert users == stack.portal_users
    assert users["free"]["email"] == "free@smartroute.example"
    assert (stack_dir / "portal.json").stat().st_mode & 0o077 == 0


async def test_every_plan_has_a_token_that_every_gateway_takes(stack: Stack) -> None:
    assert len(stack.gateways) == 2
    for base_url in stack.gateways:
        assert [await _plan(base_url, token) for token in stack.tokens.values()] == list(stack.tokens)


async def test_an_operators_command_runs_in_the_place_of_its_service(stack: Stack, stack_dir: Path) -> None:
    async def run(*arguments: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "devstack", "run", *arguments),
            env={**os.environ, "SMARTROUTE_DATA_DIR": str(stack_dir)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    code, out, err = await run("billing", "subscriptions", "--json")
    assert code == 0, err
    assert {line["plan"] for line in json.loads(out)} == set(stack.tokens)
    assert (stack_dir / "config/environments.json").stat().st_mode & 0o077 == 0
    code, _, err = await run("nothing")
    assert (code, "billing" in err) == (2, True)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_killed_service_comes_back_where_it_was_and_the_facts_follow(
    stack: Stack, stack_dir: Path, service: str
) -> None:
    before = _facts(stack_dir)["services"][service]
    child = stack.children(service)[0]
    restarts = child.restarts
    child.send(signal.SIGKILL)
    await soon(lambda: child.restarts > restarts and child.pid is not None, within_seconds=30)
    await soon(child.program.ready, within_seconds=60)
    after = _facts(stack_dir)["services"][service]
    assert after[0]["pid"] == child.pid != before[0]["pid"]
    assert after[0]["health_port"] == before[0]["health_port"]
    assert after[0]["port"] == before[0]["port"]


async def test_passwords_and_tokens_are_in_no_log(stack: Stack) -> None:
    text = stack.log_text()
    assert "ready" in text
    passwords = {user["password"] for user in stack.portal_users.values()}
    for secret in (*stack.tokens.values(), *passwords, stack.nats_url.split("@")[0], stack.database_url.split("@")[0]):
        assert secret not in text


async def test_a_stopped_stack_has_left_nothing_but_data_and_resumes(data_dir: Path) -> None:
    async with Stack(data_dir, keep_data=True) as first:
        tokens, base_url, pids = first.tokens, first.base_url, first.processes
    assert not any(is_alive(pid) for found in pids.values() for pid in found)
    assert not (data_dir / "stack.json").exists()
    async with Stack(data_dir) as second:
        assert second.tokens == tokens
        assert second.base_url == base_url
        assert (data_dir / "logs/gateway-migrate.log").stat().st_mtime < _began(second), "nothing was left to migrate"


def _began(stack: Stack) -> float:
    """When the first process of this run began."""
    return min(psutil.Process(pid).create_time() for pids in stack.processes.values() for pid in pids)


async def test_given_servers_are_used_and_not_stopped(data_dir: Path) -> None:
    # Servers of this test's own: `up` sets the passwords of roles, which a Postgres server has only once.
    async with nats_server(data_dir / "nats") as nats, postgres_server(data_dir / "postgres") as postgres:
        process = await _up(
            data_dir / "stack",
            SMARTROUTE_NATS_URL=nats.url,
            SMARTROUTE_DATABASE_URL=postgres.admin_url.replace("/postgres", "/given"),
        )
        try:
            facts = await _ready(data_dir / "stack", process)
            assert facts["processes"]["nats"] == facts["processes"]["postgres"] == []
            assert facts["nats_url"] == nats.url
            assert facts["database_url"].endswith("/given")
            assert await _plan(facts["base_url"], facts["tokens"]["max"]) == "max"
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 60)
        assert process.returncode == 0
        assert await nats.child.program.ready()
        assert await postgres.child.program.ready()


async def test_after_kill_9_of_the_supervisor_nothing_runs_and_the_next_start_works(data_dir: Path) -> None:
    process = await _up(data_dir, SMARTROUTE_REPLICAS="gateway=2")
    first = await _ready(data_dir, process)
    assert len({entry["port"] for entry in first["services"]["gateway"]}) == 1
    process.kill()
    await process.wait()
    pids = [pid for found in first["processes"].values() for pid in found]
    await soon(lambda: not any(is_alive(pid) for pid in pids), within_seconds=30)

    async with Stack(data_dir) as again:
        assert again.tokens == first["tokens"]


async def _up(data_dir: Path, **variables: str) -> asyncio.subprocess.Process:
    own = {
        "SMARTROUTE_DATA_DIR": str(data_dir),
        "SMARTROUTE_PORT": str(free_port()),
        "SMARTROUTE_UPSTREAM_URL": "http://127.0.0.1:9/v1",
        "SMARTROUTE_UPSTREAM_MODEL": "m",
        **variables,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMARTROUTE_")}
    # Tied to this test run: it must not outlive it.
    command = launched((sys.executable, "-m", "devstack", "up"), death_signal=signal.SIGTERM)
    return await asyncio.create_subprocess_exec(*command, env={**kept, **own}, stdout=subprocess.DEVNULL)


async def _ready(data_dir: Path, process: asyncio.subprocess.Process) -> dict[str, Any]:
    await soon(lambda: (data_dir / "stack.json").exists() or process.returncode is not None, within_seconds=120)
    return _facts(data_dir)
