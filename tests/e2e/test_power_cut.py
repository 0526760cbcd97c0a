"""A power cut: what was acknowledged, by NATS and by Postgres, is there when the machine comes back.

Everything lies on a file system of its own, in an image file. While requests run, all processes are halted for a
moment and the image is copied: what they had not made durable is in their memory and in the file system's cache, and
not in the copy. The copy is mounted (ext4 replays its journal), both servers start from it, and every request that a
client knew to be admitted or settled before the cut has to be found. Needs root and a loop device.
"""

import asyncio
import contextlib
import logging
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import nats as nats_client
import psutil
import psycopg
import pytest

from devstack import nats, postgres
from devstack.database import DATABASE, at
from devstack.supervisor import Supervisor
from devstack.unprivileged import remove_outside
from tests.faults import truth as truths
from tests.faults.clients import Ending, Seen
from tests.faults.load import Mixture
from tests.faults.world import Shape, World, world

log = logging.getLogger(__name__)

IMAGE_BYTES = 3 * 1024**3
LOAD_SECONDS = 6.0
_PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "only root can mount a file system"
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if shutil.which(tool, path=_PATH) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return None if Path("/dev/loop-control").exists() else "there are no loop devices"


pytestmark = [pytest.mark.skipif(_why_not() is not None, reason=_why_not() or ""), pytest.mark.timeout(240)]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": _PATH})


@contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[Path]:
    """The image's file system at `folder`; unmounted whatever happens, its loop device with it."""
    folder.mkdir()
    done = _run("mount", "-o", "loop", str(image), str(folder))
    if done.returncode != 0:
        pytest.skip(f"no loop device can be had: {done.stderr.strip()}")
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        if _run("umount", str(folder)).returncode != 0:
            _run("umount", "--lazy", str(folder))


@pytest.fixture
def disk() -> Iterator[tuple[Path, Path]]:
    """An image file of an empty file system, and a place to mount things."""
    with ExitStack() as resources:
        folder = Path(tempfile.mkdtemp(prefix="sr-cut-"))
        resources.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)
        image = folder / "disk.img"
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        made = _run("mkfs.ext4", "-q", "-F", str(image))
        assert made.returncode == 0, made.stderr
        mounted = resources.enter_context(_mounted(image, folder / "disk"))
        resources.callback(remove_outside, mounted / "stack/postgres/cluster")
        yield image, mounted


@dataclass(frozen=True, slots=True)
class Found:
    """What a pair of servers holds."""

    reserved: set[UUID]
    settled: set[UUID]


async def test_what_was_acknowledged_before_a_power_cut_is_there_afterwards(disk: tuple[Path, Path]) -> None:
    image, mounted = disk
    copy = image.with_name("copy.img")
    async with world(Shape(name="power cut"), folder=mounted) as running:
        customers = await running.customers(("boundless", "wide"))
        client = running.client()
        load = running.load(client, customers, random.Random(1))
        load.mixture = Mixture(leaving=0.0, mistaken=0.0, longer_than_a_lease=0.0)
        async with load.running():
            await asyncio.sleep(LOAD_SECONDS)
            with _halted(running):
                seen_before = [_as_seen(seen) for seen in client.log]
                await asyncio.to_thread(_copy, image, copy)
            await asyncio.sleep(0.5)
        asked_at_last = {seen.request_id for seen in client.log if seen.request_id is not None}

    with _mounted(copy, image.with_name("after")) as after:
        found = await _found(after)

    admitted = {request_id for request_id, status, _ in seen_before if status == 200}
    settled = {request_id for request_id, _, ending in seen_before if ending is Ending.COMPLETE}
    log.info(
        "reservations: %d acknowledged, %d of them found, %d on the disk; settlements: %d, %d, %d",
        *(len(admitted), len(admitted & found.reserved), len(found.reserved)),
        *(len(settled), len(settled & found.settled), len(found.settled)),
    )
    assert len(settled) > 100
    assert admitted - found.reserved == set()
    assert settled - found.settled == set()
    # And the other way: nothing is on the disk that nobody asked for, and no settlement without its reservation.
    assert found.settled - found.reserved == set()
    unanswered = sum(1 for request_id, _, _ in seen_before if request_id is None)
    assert len(found.reserved - asked_at_last) <= unanswered


def _as_seen(seen: Seen) -> tuple[UUID | None, int | None, Ending]:
    return seen.request_id, seen.status, seen.ending


@contextmanager
def _halted(running: World) -> Iterator[None]:
    """The moment of the cut: no process does anything any more."""
    pids = [pid for pids in running.stack.processes.values() for pid in pids]
    processes = [process for pid in pids for process in _family(pid)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def _family(pid: int) -> Sequence[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _copy(image: Path, copy: Path) -> None:
    done = _run("cp", "--sparse=always", str(image), str(copy))
    assert done.returncode == 0, done.stderr


async def _found(folder: Path) -> Found:
    async with _servers(folder / "stack") as (nats_url, admin_url):
        connection = await psycopg.AsyncConnection.connect(at(admin_url, DATABASE))
        async with connection:
            rows = await (await connection.execute("SELECT request_id FROM quota.reservations")).fetchall()
        client = await nats_client.connect(nats_url)
        try:
            settled = await truths.requests_in(client)
        finally:
            await client.close()
    return Found({row[0] for row in rows}, settled)


@asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Both servers on what the cut left."""
    logs = folder / "logs"
    bus = nats.prepare(folder / "nats", logs=logs)
    database = await postgres.prepare(folder / "postgres", logs=logs)
    async with Supervisor() as supervisor:
        await supervisor.start(bus.program, database.program)
        yield bus.url, database.admin_url
