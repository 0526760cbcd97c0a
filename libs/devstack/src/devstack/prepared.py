"""What a stack makes at its first start and keeps, made once for many: the tests start dozens of stacks, and to make
roles, tables and the key of the closes anew is half of what a start costs.
"""

import asyncio
import atexit
import functools
import json
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devstack import database as databases
from devstack import postgres, programs
from devstack.folders import Keepsakes, make_folder
from devstack.migrating import bring_up_to_date
from devstack.report import Silence
from devstack.supervisor import Supervisor
from devstack.unprivileged import remove_outside

# Of a data folder: passwords of roles and the signing key; the cluster, and its own password; the key of the closes.
_PARTS = ("kept.json", "postgres/kept.json", "postgres/cluster", programs.CLOSE_KEY)


def prepare_folder(folder: Path) -> Path:
    """Make `folder` one that a `Stack` has been started in, with the tables of this release and nothing in them.

    The first call takes as long as it takes to make all that. For callers outside of an event loop and inside.
    """
    made = _made()
    make_folder(folder)
    make_folder(folder / "postgres")
    make_folder(folder / "config", mode=0o700)
    for part in _PARTS:
        # A cluster that had to lie elsewhere is made anew, with the passwords of this one.
        if (made / part).exists():
            # With owners and modes: as root, Postgres runs as somebody else.
            subprocess.run(["cp", "-a", str(made / part), str(folder / part)], check=True)
    for kept in (folder / "kept.json", folder / "postgres/kept.json"):
        _forget_ports(kept)
    return folder


@functools.cache
def _made() -> Path:
    """The folder to copy; it goes with this process."""
    folder = Path(tempfile.mkdtemp(prefix="sr-prepared-"))
    folder.chmod(0o711)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(remove_outside, folder / "postgres/cluster")
    # A loop of its own, in a thread of its own: the caller's may be running.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(_make(folder))).result()
    return folder


async def _make(folder: Path) -> None:
    make_folder(folder / "config", mode=0o700)
    kept = Keepsakes(folder / "kept.json")
    server = await postgres.prepare(folder / "postgres", logs=folder)
    async with Supervisor() as supervisor:
        await supervisor.start(server.program)
        database = await databases.create(
            server.admin_url, passwords=databases.passwords(kept), name=databases.DATABASE
        )
        await bring_up_to_date(database, logs=folder, report=Silence())
    await programs.make_close_key(folder, log=folder / "close-key.log")


def _forget_ports(kept: Path) -> None:
    """Two stacks that prefer one port would race for it."""
    values = json.loads(kept.read_text(encoding="utf-8"))
    kept.write_text(json.dumps({name: value for name, value in values.items() if isinstance(value, str)}))
