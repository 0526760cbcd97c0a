"""One child process: how it is begun, watched and ended. `supervisor.py` decides when.

Every child leads a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone (it stops things in
order), and so that whatever a child left behind can be ended with it. Its output goes straight into its log file.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from devstack.errors import CommandFailed, StartFailed
from devstack.probes import Probe, until

_LAUNCHER = str(Path(__file__).with_name("launch.py"))
_LOG_LIMIT_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system user that a child becomes."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, how to know that it is ready, and how to end it."""

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Probe
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    # What the kernel sends when the supervisor itself is killed: nobody is left then to wait for a polite end.
    death_signal: signal.Signals = signal.SIGKILL
    ready_seconds: float = 30.0
    # A program leans on those of lower layers: it is stopped before them.
    layer: int = 0


def launched(
    command: tuple[str, ...], *, death_signal: signal.Signals = signal.SIGKILL, account: Account | None = None
) -> list[str]:
    """`command`, made to die with this process and to run as `account`."""
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    tie = [str(int(death_signal)), str(os.getpid()), str(uid), str(gid)]
    return [sys.executable, "-I", "-S", _LAUNCHER, *tie, *command]


class Child:
    """A running `Program`."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process) -> None:
        self.program = program
        self._process = process

    @classmethod
    async def begin(cls, program: Program) -> "Child":
        with _opened(program.log) as log:
            process = await asyncio.create_subprocess_exec(
                *launched(program.command, death_signal=program.death_signal, account=program.account),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(program.environment),
                cwd=program.folder,
                start_new_session=True,
            )
        return cls(program, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """None while it runs; afterwards the exit code, negative for the signal that ended it."""
        return self._process.returncode

    async def until_ready(self) -> None:
        """Raises `StartFailed` when it ends first, or stays unready for too long."""
        program = self.program
        ended = asyncio.create_task(self.ended())
        ready = asyncio.create_task(until(program.ready, within_seconds=program.ready_seconds))
        try:
            await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                failure = f"ended before it was ready ({how_it_ended(ended.result())})"
            elif not ready.result():
                failure = f"was not ready within {program.ready_seconds:g} s"
            else:
                return
            raise StartFailed(f"{program.name} {failure}:\n{self.last_words()}\nIts log: {program.log}")
        finally:
            for task in (ended, ready):
                task.cancel()
            await asyncio.gather(ended, ready, return_exceptions=True)

    async def ended(self) -> int:
        """Waits for the end and answers the exit code."""
        return await self._process.wait()

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process itself; nothing happens when it has ended."""
        if self.code is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def end(self) -> None:
        """Politely, then by force; whatever it left in its group goes too."""
        try:
            self.tell(self.program.stop_signal)
            async with asyncio.timeout(self.program.stop_seconds):
                await self.ended()
        except TimeoutError:
            pass
        finally:
            self.kill()
        await self.ended()

    def kill(self) -> None:
        """At once, with everything in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def last_words(self, *, lines: int = 12) -> str:
        """The end of its log, for an error message."""
        return tail(self.program.log, lines=lines)


def how_it_ended(code: int) -> str:
    """A code of `subprocess` in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def tail(log: Path, *, lines: int) -> str:
    """The last lines of a log file, empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _opened(log: Path) -> BinaryIO:
    """Open to append, for the owner alone. Past the limit it begins anew and keeps one older file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
    return open(log, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


async def run_to_end(
    name: str,
    command: tuple[str, ...],
    *,
    log: Path,
    environment: Mapping[str, str],
    account: Account | None = None,
    folder: Path | None = None,
    timeout_seconds: float = 120.0,
) -> str:
    """Run a one-off command and return what it printed. Raises `CommandFailed` with the end of its errors.

    Errors go to `log`. When we are cancelled the command is killed, not left.
    """
    with _opened(log) as errors:
        process = await asyncio.create_subprocess_exec(
            *launched(command, account=account),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(timeout_seconds):
            printed, _ = await process.communicate()
    except TimeoutError:
        raise CommandFailed(f"{name} did not end within {timeout_seconds:g} s; its log: {log}") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    text = printed.decode(errors="replace")
    if process.returncode:
        words = "\n".join(part for part in (text.strip()[-2000:], tail(log, lines=12)) if part)
        raise CommandFailed(f"{name} failed (exit code {process.returncode}):\n{words}\nIts log: {log}")
    return text
