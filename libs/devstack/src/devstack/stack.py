"""The whole product as child processes: `make up` and the end-to-end tests both start it here.

    NATS ─ streams ──────────────────────┐
    Postgres ─ roles, schemas ─ migrate ─┼─ quota, router, billing, gateway ─ demo accounts ─ stack.json
    local model, mail, viewer of traces ─┘

What is on one line is done in order, the three lines side by side. Stopping goes the other way.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack import database as databases
from devstack import demo, model, nats, postgres, profiles, programs, repository, traces
from devstack.children import Program
from devstack.errors import PortTaken, StartFailed
from devstack.folders import Keepsakes, make_folder, write_json
from devstack.mail import MailServer, Received, mail_server
from devstack.migrating import bring_up_to_date
from devstack.ports import LOOPBACK, free_port, is_free, owner_of
from devstack.programs import Replica, Surroundings
from devstack.register import Register
from devstack.report import Report, Silence, timed
from devstack.settings import SERVICES, Choices
from devstack.supervisor import Supervised, Supervisor
from devstack.together import side_by_side
from devstack.unprivileged import remove_outside

# What each service is told, for commands in its place (`python -m devstack run`); it carries passwords: mode 0600.
ENVIRONMENTS = "config/environments.json"


class Stack:
    """`async with Stack(folder, profiles={...}) as stack:` and all of it is ready; on leaving all of it has ended.

    Without `choices` this is the tests' mode: free ports, no local model, each gateway on a port of its own.
    `profiles` is a document or a file and wins over `choices`; `environment` is set on every service last, and
    `overrides` after that on single processes, by their name: `quota-2`, `postgres`. `nats_nodes` above one makes a
    cluster of the bus, whose streams have a copy on every node; with `guards_nats` services come to that as in
    production, each as a user of its own and over TLS.
    `keep_data=False` removes what had to lie outside `data_dir` (see `unprivileged.py`); `data_dir` is the caller's.
    """

    _kept: Keepsakes
    _surroundings: Surroundings
    _mail: MailServer

    def __init__(
        self,
        data_dir: Path,
        *,
        choices: Choices | None = None,
        profiles: Path | Mapping[str, object] | None = None,
        plans: Path | None = None,
        replicas: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        overrides: Mapping[str, Mapping[str, str]] | None = None,
        nats_nodes: int = 1,
        guards_nats: bool = False,
        report: Report | None = None,
        keep_data: bool = False,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.logs = self.data_dir / "logs"
        self.tokens: dict[str, str] = {}
        # Who signs in to the portal, by plan: `email` and `password`.
        self.portal_users: dict[str, dict[str, str]] = {}
        self.nats = nats.NatsAccess("")
        self.database_url = ""
        self.traces_url: str | None = None  # the viewer's pages, if it was chosen
        self._choices = choices or Choices(self.data_dir, replicas=dict(replicas or {}))
        self._shares_port = choices is not None
        self._profiles = profiles
        self._plans = plans or repository.PLANS
        self._extra = dict(environment or {})
        self._overrides = dict(overrides or {})
        self._nats_nodes = nats_nodes
        self._guards_nats = guards_nats
        self._nats_names: list[str] = []
        self._report = report or Silence()
        self._keep_data = keep_data
        self._register = Register(self.data_dir)
        self._ready = False
        self._replicas: list[Replica] = []
        self._database: databases.Database | None = None
        self._supervisor = Supervisor(say=self._report.say, changed=self._changed)
        self._resources = AsyncExitStack()

    # What a test asks a running stack

    @property
    def base_url(self) -> str:
        """The shared address of all gateways, or the first gateway's when each has its own."""
        return self.gateways[0]

    @property
    def nats_url(self) -> str:
        """The bus, for whoever looks at it from outside."""
        return self.nats.url

    @property
    def gateways(self) -> list[str]:
        """The base URL of every gateway that has an address of its own."""
        return list(dict.fromkeys(f"{replica.origin}/v1" for replica in self._replicas if replica.service == "gateway"))

    @property
    def processes(self) -> dict[str, list[int]]:
        """The current pids: servers, model and services by their name, replicas together."""
        found: dict[str, list[int]] = {name: [] for name in ("nats", "postgres", *SERVICES)}
        services = {replica.name: replica.service for replica in self._replicas}
        services |= dict.fromkeys(self._nats_names, "nats")
        for name, pids in self._supervisor.pids().items():
            found.setdefault(services.get(name, name), []).extend(pids)
        return found

    def children(self, service: str) -> list[Supervised]:
        """The supervised processes of a service (or `nats`, `postgres`, `model`): halt, start or send them a signal."""
        names = {replica.name for replica in self._replicas if replica.service == service} or {service}
        names |= set(self._nats_names) if service == "nats" else set()
        return [child for child in self._supervisor.children if child.name in names]

    def health_urls(self, service: str) -> list[str]:
        """`http://127.0.0.1:N` of each replica: /livez, /readyz and /metrics are there."""
        return [replica.health_origin for replica in self._replicas if replica.service == service]

    def service_environment(self, service: str) -> dict[str, str]:
        """What the first replica is told: for running an operator's command, `python -m <service> …`, beside it."""
        replica = next(replica for replica in self._replicas if replica.service == service)
        return programs.service_environment(replica, self._surroundings)

    @property
    def mail(self) -> MailServer:
        """Where the portal's mails come: `mails` so far, and `next_to` somebody."""
        return self._mail

    @property
    def mails(self) -> Sequence[Received]:
        """The mails that came so far, oldest first."""
        return tuple(self._mail.mails)

    def log_text(self) -> str:
        """All that any process has written so far."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.logs.glob("*.log")))

    def document(self) -> dict[str, object]:
        """What stack.json says."""
        origin = self.base_url.removesuffix("/v1")
        billing = next(iter(self.health_urls("billing")), None)
        return {
            "base_url": self.base_url,
            "portal_url": f"{origin}/",
            "console_url": f"{billing}/" if billing else None,
            "traces_url": self.traces_url,
            "nats_url": self.nats_url,
            "database_url": self.database_url,
            "tokens": self.tokens,
            "portal_users": self.portal_users,
            "processes": self.processes,
            "services": {service: self._addresses(service) for service in SERVICES},
        }

    # Its life

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._resources.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    def kill(self) -> None:
        """End every process at once, without waiting: data survives as after a crash."""
        self._supervisor.kill()

    async def _start(self) -> None:
        make_folder(self.data_dir)
        for name in ("logs", "config"):
            make_folder(self.data_dir / name, mode=0o700)
        self._resources.enter_context(self._register.held())
        if not self._keep_data:
            self._resources.callback(remove_outside, self.data_dir / "postgres/cluster")
        self._kept = Keepsakes(self.data_dir / "kept.json")
        # Before the supervisor, and so after it on the way out: a gateway that stops sends what mails still wait.
        self._mail = await self._resources.enter_async_context(self._mail_server())
        await self._resources.enter_async_context(self._supervisor)
        self._resources.callback(self._withdraw)
        self._stack_file.unlink(missing_ok=True)
        await self._register.end_leftovers(say=self._report.say)
        self._choose_addresses()
        self._changed()
        close_key = programs.make_close_key(self.data_dir, log=self.logs / "close-key.log")
        await side_by_side(
            self._start_nats(), self._start_database(), self._start_model(), self._start_traces(), close_key
        )
        await self._start_services()
        await self._seed()
        self._ready = True
        self._changed()

    def _withdraw(self) -> None:
        """From here on nothing is promised any more."""
        self._ready = False
        self._stack_file.unlink(missing_ok=True)

    async def _start_nats(self) -> None:
        if self._choices.nats_url is not None:
            self.nats = nats.NatsAccess(self._choices.nats_url)
        else:
            with timed(self._report, "NATS"):
                self.nats, servers = self._prepare_nats()
                await self._supervisor.start(*(self._overridden(server.program) for server in servers))
        # Imported late: that takes longer than a server takes to start, and a person is waiting for the first line.
        from chassis.bus import provision

        with timed(self._report, "streams"):
            try:
                await provision(self.nats.of("provision"), replicas=self._nats_nodes, ca_file=self.nats.ca_file)
            except Exception as error:
                raise StartFailed(f"the streams could not be created on the NATS server: {error}") from error

    async def _start_database(self) -> None:
        if self._choices.database_url is not None:
            server_url, name = self._choices.database_url, None
        else:
            with timed(self._report, "Postgres"):
                server = await postgres.prepare(self.data_dir / "postgres", logs=self.logs, say=self._report.say)
                await self._supervisor.start(self._overridden(server.program))
                server_url, name = server.admin_url, databases.DATABASE
        passwords = databases.passwords(self._kept)
        self._database = await databases.create(server_url, passwords=passwords, name=name)
        self.database_url = self._database.admin_url
        await bring_up_to_date(self._database, logs=self.logs, report=self._report)

    async def _start_model(self) -> None:
        if not self._uses_local_model:
            return
        with timed(self._report, "local model"):
            await self._supervisor.start(model.program(self._port("model"), logs=self.logs))

    async def _start_traces(self) -> None:
        if not self._choices.traces:
            return
        port, grpc_port = self._port("traces"), self._port("traces, gRPC")
        with timed(self._report, "viewer of traces"):
            viewer = traces.program(port, grpc_port, data=self.data_dir / "traces", logs=self.logs)
            await self._supervisor.start(viewer)
        self.traces_url = traces.url(port)
        self._extra = {**traces.environment(port), **self._extra}

    async def _start_services(self) -> None:
        if self._database is None:
            raise StartFailed("the database was not started")
        self._surroundings = Surroundings(
            nats=self.nats,
            database=self._database,
            plans=self._plans,
            profiles=self._write_profiles(),
            signing_key=self._kept.secret("signing key"),
            logs=self.logs,
            data=self.data_dir,
            origin=self.base_url.removesuffix("/v1"),
            mail_url=self._mail.url,
            extra=self._extra,
        )
        told = {each.service: programs.told(each, self._surroundings) for each in reversed(self._replicas)}
        write_json(self.data_dir / ENVIRONMENTS, told)
        what = ", ".join(f"{service} x {n}" if (n := self._count(service)) > 1 else service for service in SERVICES)
        with timed(self._report, what):
            described = (programs.service(each, self._surroundings) for each in self._replicas)
            await self._supervisor.start(*(self._overridden(program) for program in described))

    async def _seed(self) -> None:
        file = self.data_dir / "tokens.json"
        with timed(self._report, "demo accounts"):
            self.tokens = await demo.seed(
                self.base_url,
                plans=repository.plan_names(self._plans),
                tokens_file=file,
                environment=self.service_environment("gateway"),
                log=self.logs / "seed-demo.log",
            )
        self.portal_users = demo.users(file)

    # Small parts

    def _mail_server(self) -> AbstractAsyncContextManager[MailServer]:
        folder = self.data_dir / "mail"
        return mail_server(folder, port=self._port("mail"), on_mail=lambda mail: self._report.say(mail.told()))

    def _prepare_nats(self) -> tuple[nats.NatsAccess, Sequence[nats.NatsServer]]:
        folder = self.data_dir / "nats"
        if self._nats_nodes == 1:
            server = nats.prepare(folder, logs=self.logs)
            return nats.NatsAccess(server.url), [server]
        cluster = nats.prepare_cluster(folder, nodes=self._nats_nodes, logs=self.logs, is_guarded=self._guards_nats)
        self._nats_names = [server.program.name for server in cluster.nodes]
        return cluster.access, cluster.nodes

    def _overridden(self, program: Program) -> Program:
        more = self._overrides.get(program.name)
        return replace(program, environment={**program.environment, **more}) if more else program

    @property
    def _uses_local_model(self) -> bool:
        return self._shares_port and self._profiles is None and self._choices.wants_local_model

    @property
    def _stack_file(self) -> Path:
        return self.data_dir / "stack.json"

    def _count(self, service: str) -> int:
        return self._choices.replicas.get(service, 1)

    def _choose_addresses(self) -> None:
        shared = self._shared_port() if self._shares_port else 0
        for service in SERVICES:
            for number in range(1, self._count(service) + 1):
                port = (shared or self._port(f"gateway {number}")) if service == "gateway" else 0
                self._replicas.append(
                    Replica(
                        service=service,
                        number=number,
                        health_port=self._port(f"{service} {number} health"),
                        port=port,
                        shares_port=bool(shared) and self._count("gateway") > 1,
                    )
                )

    def _shared_port(self) -> int:
        port = self._choices.port
        if is_free(port):
            return port
        by = f" by {owner}" if (owner := owner_of(port)) else ""
        other = next((free for free in range(port + 1, min(port + 100, 65536)) if is_free(free)), None)
        hint = f", for example: make up SMARTROUTE_PORT={other}" if other else ""
        raise PortTaken(f"port {port} on {LOOPBACK} is taken{by}. Choose another one with SMARTROUTE_PORT{hint}")

    def _port(self, name: str) -> int:
        return self._kept.keep_number(f"port of {name}", free_port(prefer=self._kept.number(f"port of {name}")))

    def _write_profiles(self) -> Path:
        path = self.data_dir / "config/profiles.yaml"
        if self._profiles is not None:
            return profiles.write_given(path, self._profiles)
        if self._choices.profiles is not None:
            return self._choices.profiles
        if self._choices.upstream is not None:
            return profiles.write_upstream(path, self._choices.upstream)
        if self._uses_local_model:
            return profiles.write_local(path, port=self._port_of_model())
        return profiles.copy_shipped(path)

    def _port_of_model(self) -> int:
        return self._kept.number("port of model") or 0

    def _addresses(self, service: str) -> list[dict[str, int | None]]:
        pids = {child.name: child.pid for child in self._supervisor.children}
        return [
            {"port": replica.port or None, "health_port": replica.health_port, "pid": pids.get(replica.name)}
            for replica in self._replicas
            if replica.service == service
        ]

    def _changed(self) -> None:
        """A process came or went: the files that name pids follow."""
        running = ((name, pid) for name, pids in self._supervisor.pids().items() for pid in pids)
        self._register.note(running, base_url=self.base_url)
        if self._ready:
            write_json(self._stack_file, self.document())
