"""What the user chose by SMARTROUTE_* variables, checked before anything starts."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from devstack.errors import BadSetting

SERVICES = ("gateway", "quota", "router", "billing")
MOST_REPLICAS = 16
DEFAULT_PORT = 8080

# SMARTROUTE_VENV and SMARTROUTE_TRACES are places that bootstrap.py fills.
_KNOWN = (
    "SMARTROUTE_DATABASE_URL",
    "SMARTROUTE_DATA_DIR",
    "SMARTROUTE_NATS_URL",
    "SMARTROUTE_PORT",
    "SMARTROUTE_PROFILES",
    "SMARTROUTE_REPLICAS",
    "SMARTROUTE_TRACES",
    "SMARTROUTE_UPSTREAM_KEY",
    "SMARTROUTE_UPSTREAM_MODEL",
    "SMARTROUTE_UPSTREAM_URL",
    "SMARTROUTE_VENV",
)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One OpenAI-compatible provider for every profile."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Choices:
    """Everything that can be chosen for `up`; the defaults need no variable at all."""

    data_dir: Path
    port: int = DEFAULT_PORT
    replicas: Mapping[str, int] = field(default_factory=dict)
    upstream: Upstream | None = None
    profiles: Path | None = None
    nats_url: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)
    verbose: bool = False
    # Whether a viewer of traces is started, too.
    traces: bool = False

    @property
    def wants_local_model(self) -> bool:
        return self.upstream is None and self.profiles is None


def read(environ: Mapping[str, str] = os.environ) -> Choices:
    """The choices in `environ`. Raises `BadSetting`; an empty variable counts as not set."""
    _refuse_unknown(environ)

    def value(name: str) -> str | None:
        return environ.get(name, "").strip() or None

    return Choices(
        data_dir=data_dir(environ),
        port=_port(value("SMARTROUTE_PORT")),
        replicas=_replicas(value("SMARTROUTE_REPLICAS")),
        upstream=_upstream(
            value("SMARTROUTE_UPSTREAM_URL"), value("SMARTROUTE_UPSTREAM_MODEL"), value("SMARTROUTE_UPSTREAM_KEY")
        ),
        profiles=_file("SMARTROUTE_PROFILES", value("SMARTROUTE_PROFILES")),
        nats_url=_url("SMARTROUTE_NATS_URL", value("SMARTROUTE_NATS_URL"), schemes=("nats", "tls", "ws", "wss")),
        database_url=_url(
            "SMARTROUTE_DATABASE_URL", value("SMARTROUTE_DATABASE_URL"), schemes=("postgresql", "postgres")
        ),
        verbose=environ.get("VERBOSE", "") not in ("", "0"),
        traces=environ.get("TRACES", "") not in ("", "0"),
    )


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the stack keeps everything."""
    return Path(environ.get("SMARTROUTE_DATA_DIR", "").strip() or ".smartroute").expanduser().absolute()


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in environ:
        if name.startswith("SMARTROUTE_") and name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(_KNOWN)}."
            raise BadSetting(f"{name} is not a variable of ours. {hint}")


def _port(text: str | None) -> int:
    if text is None:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise BadSetting(f"SMARTROUTE_PORT={text}: a port is a number from 1 to 65535")
    return int(text)


def _replicas(text: str | None) -> dict[str, int]:
    replicas: dict[str, int] = {}
    for part in (text or "").replace(",", " ").split():
        service, _, count = part.partition("=")
        if service not in SERVICES or not count.isdigit() or not 1 <= int(count) <= MOST_REPLICAS:
            raise BadSetting(
                f'SMARTROUTE_REPLICAS: cannot read "{part}". Write it like "gateway=2 quota=2", '
                f"services {', '.join(SERVICES)}, 1 to {MOST_REPLICAS} each."
            )
        replicas[service] = int(count)
    return replicas


def _upstream(url: str | None, model: str | None, key: str | None) -> Upstream | None:
    if url is None:
        for name, given in (("SMARTROUTE_UPSTREAM_MODEL", model), ("SMARTROUTE_UPSTREAM_KEY", key)):
            if given is not None:
                raise BadSetting(f"{name} says something about a provider, but SMARTROUTE_UPSTREAM_URL is not set")
        return None
    _url("SMARTROUTE_UPSTREAM_URL", url, schemes=("http", "https"))
    if model is None:
        raise BadSetting("SMARTROUTE_UPSTREAM_URL is set: name the provider's model in SMARTROUTE_UPSTREAM_MODEL")
    return Upstream(url.rstrip("/"), model, key)


def _url(name: str, text: str | None, *, schemes: tuple[str, ...]) -> str | None:
    # The text itself is never shown: it can carry a password.
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadSetting(f"{name} is not an address that begins with {' or '.join(f'{s}://' for s in schemes)}")
    return text


def _file(name: str, text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise BadSetting(f"{name}={text}: there is no such file")
    return path
