"""Who runs in a data folder.

A lock for the living, and a list of their children so that the next start finds what a crash left.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.errors import AlreadyRunning
from devstack.folders import read_json, write_json
from devstack.supervisor import Say

# Clocks are corrected; two processes with one pid are further apart than this.
_SAME_START_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Known:
    """A process that can be recognised again: a pid alone may have been given to somebody else."""

    name: str
    pid: int
    started: float

    def alive(self) -> psutil.Process | None:
        """The process, if it is still that one and no zombie."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


class Register:
    """The files `lock` and `running.json` of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._lock = data_dir / "lock"
        self._list = data_dir / "running.json"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder; the kernel lets go of it however we end. Raises `AlreadyRunning`."""
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(self._who()) from None
            yield
            self._list.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def note(self, children: Iterable[tuple[str, int]], *, base_url: str) -> None:
        """Write down who runs now."""
        mine = _known("supervisor", os.getpid())
        known = [entry for name, pid in children if (entry := _known(name, pid)) is not None]
        document: dict[str, object] = {"base_url": base_url, "children": [_as_json(entry) for entry in known]}
        if mine is not None:
            document["supervisor"] = _as_json(mine)
        write_json(self._list, document)

    def supervisor(self) -> psutil.Process | None:
        """The live supervisor of this folder."""
        entry = _from_json(read_json(self._list).get("supervisor"))
        return entry.alive() if entry else None

    def base_url(self) -> str:
        return str(read_json(self._list).get("base_url", ""))

    async def end_leftovers(self, *, say: Say) -> None:
        """End children that outlived a killed supervisor. Call it while holding the folder."""
        document = read_json(self._list)
        entries = document.get("children")
        found: list[tuple[str, psutil.Process]] = []
        for item in entries if isinstance(entries, list) else []:
            entry = _from_json(item)
            process = entry.alive() if entry else None
            if entry and process:
                found.append((entry.name, process))
        if not found:
            if document:
                say("the earlier run ended without stopping its parts; its data is being picked up")
            return
        say(f"an earlier run left behind: {', '.join(f'{name} (pid {p.pid})' for name, p in found)}; stopping them")
        await asyncio.to_thread(_end, [process for _, process in found])

    def _who(self) -> str:
        process = self.supervisor()
        at = f" at {self.base_url()}" if self.base_url() else ""
        by = f" (pid {process.pid})" if process else ""
        return (
            f"a Smart Route is already running{at}{by} with the data in {self._lock.parent}. Stop it with `make down`, "
            "or start another one with its own SMARTROUTE_DATA_DIR and SMARTROUTE_PORT."
        )


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        # Postgres takes SIGTERM as "wait until all have left": SIGINT is its fast stop, and fine for the others.
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGINT)
    _, stubborn = psutil.wait_procs(processes, timeout=10)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)


def _known(name: str, pid: int) -> Known | None:
    try:
        return Known(name, pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _as_json(entry: Known) -> dict[str, object]:
    return {"name": entry.name, "pid": entry.pid, "started": entry.started}


def _from_json(item: object) -> Known | None:
    match item:
        case {"name": str(name), "pid": int(pid), "started": float(started)}:
            return Known(name, pid, started)
        case _:
            return None
