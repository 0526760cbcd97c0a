"""What is measured: the mock provider alone, the floor, and the whole product; all are started and stopped here."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from devstack.stack import Stack

HERE = Path(__file__).resolve().parent
SHIPPED_PROFILES = HERE.parents[1] / "deploy/config/profiles.yaml"

# The mock paces its chunks for the model `paced` and not for `burst`. The gateway reaches both by an alias of their
# own, and by another one where it calls the mock as a provider of Responses.
ALIASES = {
    "paced": "smart-route-mini",
    "burst": "smart-route-infinite",
    "paced-responses": "smart-route-focus",
    "burst-responses": "smart-route-deep",
}
PATHS = {"chat": "chat/completions", "responses": "responses"}


@dataclass(frozen=True)
class Subject:
    """One thing to send load to. `models` maps the names in `ALIASES` to what is asked for; `pids()` are those of
    now."""

    name: str
    base_url: str
    pids: Callable[[], Mapping[str, list[int]]]
    token: str = "none"
    models: Mapping[str, str] = field(default_factory=lambda: {name: name.partition("-")[0] for name in ALIASES})

    def url(self, client: str) -> str:
        """Where requests of a client's format go."""
        return f"{self.base_url}/{PATHS[client]}"


@asynccontextmanager
async def mock_provider() -> AsyncIterator[Subject]:
    """The mock provider, in a process of its own."""
    async with _child("mock_provider.py") as (pid, port):
        yield Subject("direct", f"http://127.0.0.1:{port}/v1", lambda: {"provider": [pid]})


@asynccontextmanager
async def floor(provider: Subject) -> AsyncIterator[Subject]:
    """The bare pass-through, in a process of its own."""
    async with _child("floor.py", "--provider", provider.base_url) as (pid, port):
        yield Subject("floor", f"http://127.0.0.1:{port}/v1", lambda: {"floor": [pid]})


@asynccontextmanager
async def product(provider: Subject, *, profile_to: Path | None) -> AsyncIterator[Subject]:
    """The four services on NATS and Postgres with everything on; telemetry goes to the mock at the default sampling."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": provider.base_url.removesuffix("/v1")}
    if profile_to is not None:
        environment |= {"BENCH_PROFILE": str(profile_to), "PYTHONPATH": str(HERE / "sampling")}
    with scratch_folder() as folder:
        async with Stack(folder / "data", profiles=_profiles(provider), environment=environment) as stack:
            yield Subject("gateway", stack.base_url, lambda: stack.processes, stack.tokens["unlimited"], ALIASES)


async def prompts_counted(subject: Subject) -> int:
    """How many prompts the product says that its account has used this month."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        answer = await client.get(f"{subject.base_url}/usage", headers={"Authorization": f"Bearer {subject.token}"})
    return int(answer.raise_for_status().json()["monthly"]["used"])


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder that other users can pass through: Postgres does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="sr-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def toggle_profile(pids: list[int]) -> None:
    """Start or stop the sampling in the gateways (see sampling/sitecustomize.py)."""
    for pid in pids:
        os.kill(pid, signal.SIGUSR2)


def _profiles(provider: Subject) -> dict[str, object]:
    """The shipped profiles with every alias sent to the mock."""
    shipped = yaml.safe_load(SHIPPED_PROFILES.read_text())
    names = {alias: name for name, alias in ALIASES.items()}
    targets: dict[str, object] = {}
    for name in ALIASES:
        model, _, format = name.partition("-")
        targets[name] = {"base_url": provider.base_url, "key": None, "model": model, "format": format or "chat"}
    return {
        "version": shipped["version"],
        "targets": targets,
        "profiles": {alias: {"targets": [names.get(alias, "burst")]} for alias in shipped["profiles"]},
    }


@asynccontextmanager
async def _child(script: str, *arguments: str) -> AsyncIterator[tuple[int, int]]:
    """A Python program of this folder that prints its port; its pid and that port."""
    command = (sys.executable, str(HERE / script), *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 10)
        if not line.strip():
            raise RuntimeError(f"{script} ended before it said its port")
        yield process.pid, int(line)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
