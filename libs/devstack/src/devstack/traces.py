"""The viewer of traces of `make up TRACES=1`: Arize Phoenix, one process on loopback, from an environment of its own.

Services send it every trace. Their metrics stay at `/metrics`: it has no place for them. What it keeps lies in the data
folder.
"""

import os
from pathlib import Path

from devstack import programs, repository
from devstack.children import Program
from devstack.errors import StartFailed
from devstack.ports import LOOPBACK
from devstack.probes import http_ready

# Made by bootstrap.py.
PLACE = "SMARTROUTE_TRACES"
_DEFAULT_PLACE = ".smartroute-traces"
_PROJECT = "smart-route"


def viewer() -> Path:
    """Where it is installed, or would be."""
    folder = os.environ.get(PLACE, "").strip() or repository.ROOT / _DEFAULT_PLACE
    return Path(folder).expanduser().absolute() / "bin/phoenix"


def url(port: int) -> str:
    """Its pages, and what is sent to it: the same address."""
    return f"http://{LOOPBACK}:{port}"


def program(port: int, grpc_port: int, *, data: Path, logs: Path) -> Program:
    """How to run it. Raises `StartFailed` when it is not installed. It needs its second port even if nobody uses it."""
    if not viewer().exists():
        raise StartFailed(
            "the viewer of traces is not installed. `make up TRACES=1` does that; so does "
            "`python3 libs/devstack/bootstrap.py --traces`."
        )
    data.mkdir(parents=True, exist_ok=True)
    own = {
        "PHOENIX_HOST": LOOPBACK,
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_WORKING_DIR": str(data),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        # Nothing of it is sent anywhere, and nothing is fetched for its pages.
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    return Program(
        name="traces",
        command=(str(viewer()), "serve"),
        log=logs / "traces.log",
        ready=http_ready(f"{url(port)}/healthz"),
        environment={name: value for name, value in programs.environment(own).items() if not name.startswith("OTEL_")},
        ready_seconds=300.0,
    )


def environment(port: int) -> dict[str, str]:
    """What services have to be told."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url(port),
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_TRACES_SAMPLER": "parentbased_always_on",
        # Under this name the viewer lists them.
        "OTEL_RESOURCE_ATTRIBUTES": f"openinference.project.name={_PROJECT}",
    }
