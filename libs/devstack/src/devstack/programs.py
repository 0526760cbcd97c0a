"""How each of our services is run: the command, the environment, where it answers."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devstack.children import Program, run_to_end
from devstack.database import SERVICES_WITH_TABLES, Database
from devstack.nats import NatsAccess
from devstack.ports import LOOPBACK
from devstack.probes import http_ready

# What is meant for the devstack itself (the provider's key among it), and what libpq would read behind our back.
_DROPPED_PREFIXES = ("SMARTROUTE_", "PG")
# The gateway is stopped before the services that it asks: open streams end properly.
_LAYERS = {"quota": 1, "router": 1, "billing": 1, "gateway": 2}
_STOP_SECONDS = 15.0
_SENDER = "no-reply@smartroute.example"
# The key that signs daily closes: made once, kept for as long as the data folder is.
CLOSE_KEY = "config/close-key.pem"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all services of one stack are told alike."""

    nats: NatsAccess
    database: Database = field(repr=False)
    plans: Path
    profiles: Path
    signing_key: str = field(repr=False)
    logs: Path
    # What services keep on this machine's disk lies in folders of their own in it.
    data: Path
    # Where the portal is, for its mails and examples, and where its mails go.
    origin: str
    mail_url: str
    # Set last: whatever a test or a user wants to be different.
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replica:
    """One process of a service. `port` is 0 for services without a public address."""

    service: str
    number: int
    health_port: int
    port: int = 0
    shares_port: bool = False

    @property
    def name(self) -> str:
        return self.service if self.number == 1 else f"{self.service}-{self.number}"

    @property
    def origin(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def health_origin(self) -> str:
        return f"http://{LOOPBACK}:{self.health_port}"


def command(module: str, *arguments: str) -> tuple[str, ...]:
    """`python -m <module> …`, without the current folder on the import path."""
    return (sys.executable, "-P", "-m", module, *arguments)


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The user's environment (OTEL_* and service settings among it) with `own` on top."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED_PREFIXES)}
    return {**kept, **own}


def service(replica: Replica, surroundings: Surroundings) -> Program:
    """How to run one replica."""
    return Program(
        name=replica.name,
        command=command(replica.service, "serve"),
        log=surroundings.logs / f"{replica.name}.log",
        ready=http_ready(f"{replica.health_origin}/readyz"),
        environment=service_environment(replica, surroundings),
        stop_seconds=_STOP_SECONDS,
        ready_seconds=60.0,
        layer=_LAYERS[replica.service],
    )


def service_environment(replica: Replica, surroundings: Surroundings) -> dict[str, str]:
    """The whole environment of a replica."""
    return environment(told(replica, surroundings))


def told(replica: Replica, surroundings: Surroundings) -> dict[str, str]:
    """Everything that this stack tells a replica."""
    prefix = replica.service.upper()
    own = {
        f"{prefix}_NATS_URL": surroundings.nats.of(replica.service),
        f"{prefix}_HEALTH_HOST": LOOPBACK,
        f"{prefix}_HEALTH_PORT": str(replica.health_port),
        f"{prefix}_INSTANCE": replica.name,
        f"{prefix}_PLANS_FILE": str(surroundings.plans),
    }
    if surroundings.nats.ca_file is not None:
        own[f"{prefix}_NATS_CA_FILE"] = str(surroundings.nats.ca_file)
    if replica.service in SERVICES_WITH_TABLES:
        own[f"{prefix}_DATABASE_URL"] = surroundings.database.url(replica.service)
    if replica.service == "router":
        own["ROUTER_PROFILES_FILE"] = str(surroundings.profiles)
    if replica.service == "billing":
        own["BILLING_CLOSE_KEY_FILE"] = str(surroundings.data / CLOSE_KEY)
    if replica.service == "gateway":
        own["GATEWAY_HOST"] = LOOPBACK
        own["GATEWAY_PORT"] = str(replica.port)
        own["GATEWAY_REUSE_PORT"] = str(replica.shares_port).lower()
        own["GATEWAY_SIGNING_KEY"] = surroundings.signing_key
        own["GATEWAY_PUBLIC_URL"] = surroundings.origin
        own["GATEWAY_SMTP_URL"] = surroundings.mail_url
        own["GATEWAY_MAIL_FROM"] = _SENDER
        # One for all replicas: what a dead one has left there is taken over by whichever starts or looks next.
        own["GATEWAY_DATA_DIR"] = str(surroundings.data / "gateway")
        # Open streams, then their settlements, then what is kept: all of it before we would kill the process.
        own["GATEWAY_GRACE_SECONDS"] = "4"
    return {**own, **surroundings.extra}


async def migrate(service: str, database: Database, *, log: Path) -> None:
    """Run a service's migrations as the owner of its schema. Raises `CommandFailed`."""
    own = {f"{service.upper()}_DATABASE_URL": database.owner_url(service)}
    await run_to_end(f"{service} migrate", command(service, "migrate"), log=log, environment=environment(own))


async def make_close_key(data: Path, *, log: Path) -> None:
    """Make the key that signs daily closes, unless the data folder has one. Raises `CommandFailed`."""
    if not (data / CLOSE_KEY).exists():
        make = command("billing", "close-key", "new", str(data / CLOSE_KEY))
        await run_to_end("billing close-key", make, log=log, environment=environment({}))
