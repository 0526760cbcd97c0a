"""A client at work: a home and a folder of its own, no way out but 127.0.0.1, and one run of its program to the end."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devstack.children import launched
from tests.clients import installation

# A proxy that nobody runs: whatever a client wants from outside fails at once and in the same way on every machine.
_NOWHERE = "http://127.0.0.1:9"
_OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), _NOWHERE),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, slots=True)
class Run:
    """How a program ended and what it printed."""

    code: int
    output: str
    errors: str
    seconds: float

    @property
    def lines(self) -> list[Any]:
        """The lines of the output that are JSON; clients also print words between them."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    @property
    def printed(self) -> str:
        """Everything a person would have seen."""
        return self.output + self.errors


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where one client lives and works."""

    home: Path
    folder: Path

    @classmethod
    def under(cls, parent: Path) -> "Workplace":
        """A new one, empty."""
        made = cls(parent / "home", parent / "work")
        for folder in (made.home, made.folder, made.home / "tmp"):
            folder.mkdir(parents=True)
        return made

    async def run(self, *command: str, timeout_seconds: float = 60.0, **variables: str) -> Run:
        """Run a program to its end, in the working folder; past the time limit the test fails with what it printed."""
        began = time.monotonic()
        program = shutil.which(command[0], path=installation.search_path())
        assert program is not None, f"{command[0]} is not installed"
        process = await asyncio.create_subprocess_exec(
            *launched((program, *command[1:])),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self._environment(variables),
            start_new_session=True,
        )
        reading = asyncio.create_task(process.communicate())
        done, _ = await asyncio.wait({reading}, timeout=timeout_seconds)
        _end(process.pid)  # a background process that it left behind would hold the pipes open
        output, errors = (part.decode(errors="replace") for part in await reading)
        if not done:
            pytest.fail(f"{command[0]} did not end within {timeout_seconds:g} s:\n{output}\n{errors}")
        assert process.returncode is not None
        return Run(process.returncode, output, errors, time.monotonic() - began)

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        return {
            **_OFFLINE,
            "PATH": installation.search_path(),
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **variables,
        }


def _end(group: int) -> None:
    """Kill whatever is left of a process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
