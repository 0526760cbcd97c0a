"""The services' command lines, run as an operator runs them, without each one's second of imports."""

import asyncio
import atexit
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SERVER = Path(__file__).with_name("command_server.py")


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed with `--json`. Fails with its words when it failed."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(slots=True)
class _Servers:
    """One process per service, started for its first command, ended with this process."""

    folder: tempfile.TemporaryDirectory[str] = field(default_factory=lambda: tempfile.TemporaryDirectory(prefix="cmd"))
    lock: threading.Lock = field(default_factory=threading.Lock)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def path(self, service: str) -> str:
        """Where commands of the service are taken."""
        path = f"{self.folder.name}/{service}"
        with self.lock:
            if service not in self.running:
                server = subprocess.Popen(
                    [sys.executable, "-P", str(_SERVER), service, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
                self.running[service] = server
                assert server.stdout is not None
                assert server.stdout.readline() == b"ready\n", f"the command line of {service} does not start"
        return path

    def stop(self) -> None:
        for server in self.running.values():
            server.communicate()
        self.folder.cleanup()


_servers = _Servers()
atexit.register(_servers.stop)


async def run(service: str, *arguments: str, environment: Mapping[str, str]) -> Finished:
    """`python -m <service> …` with exactly these variables."""
    reader, writer = await asyncio.open_unix_connection(await asyncio.to_thread(_servers.path, service))
    asked = {"service": service, "arguments": arguments, "environment": dict(environment)}
    writer.write(json.dumps(asked).encode() + b"\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return Finished(**json.loads(answer))
