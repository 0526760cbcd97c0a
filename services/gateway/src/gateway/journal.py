"""Settlements that REQUESTS has not acknowledged, on the disk of this machine: what outlives the process (I5).

A journal is a file per process in the data folder, locked (flock) as long as its process lives. A record is a line: a
JSON object with the SHA-256 of its record. What `append` has returned for is on the disk. Whoever finds the journal of
a dead process locks it, publishes what is in it and removes it; what cannot be read in it is kept aside.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.gateway import RequestSettled

log = logging.getLogger(__name__)

SUFFIX = ".journal"
ASIDE_SUFFIX = ".damaged"
APPEND_SECONDS = 5.0

_LINE = re.compile(rb'\{"checksum":"([0-9a-f]{64})","record":(\{.*\})\}', re.DOTALL)
_NAME_ATTEMPTS = 10

ResultT = TypeVar("ResultT")


class JournalFailed(Exception):
    """A record is not known to be on the disk."""


class Record(BaseModel):
    """A settlement and the trace that it belongs to."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    settled: RequestSettled
    traceparent: str | None


class Keeper(Protocol):
    """What a record lies in until it is acknowledged."""

    def acknowledge(self, request_id: UUID) -> None:
        """The record of this request is in its stream, and is not needed here any more."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file says. `damaged` are the numbers of lines that are whole and yet cannot be read."""

    records: tuple[Record, ...]
    damaged: tuple[int, ...]
    is_torn: bool


def to_line(record: Record) -> bytes:
    data = record.model_dump_json().encode()
    return b'{"checksum":"%s","record":%s}\n' % (hashlib.sha256(data).hexdigest().encode(), data)


def from_line(line: bytes) -> Record:
    """Raises `ValueError` when it is not what `to_line` wrote."""
    found = _LINE.fullmatch(line)
    if found is None or hashlib.sha256(found[2]).hexdigest().encode() != found[1]:
        raise ValueError("not a line of a journal")
    return Record.model_validate_json(found[2])


def read(data: bytes) -> Contents:
    """A last line without its end was being written when the process died: nobody was told that it is there."""
    *lines, rest = data.split(b"\n")
    records: list[Record] = []
    damaged: list[int] = []
    for number, line in enumerate(lines, start=1):
        try:
            if line:  # an empty one is the proof that the file can be written
                records.append(from_line(line))
        except ValueError:
            damaged.append(number)
    return Contents(tuple(records), tuple(damaged), is_torn=bool(rest))


class JournalFile:
    """One locked file. Blocking, and for one thread at a time; every error is an `OSError`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size

    @classmethod
    def create(cls, folder: Path, *, instance: str) -> "JournalFile":
        """A new file. One that somebody takes for a dead process's before it is locked is given up for another."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", instance)[:100]
        for _ in range(_NAME_ATTEMPTS):
            path = folder / f"{name}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
            made = cls._locked(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            if made is not None:
                _sync_folder(folder)
                return made
        raise OSError(f"no journal could be made in {folder}")

    @classmethod
    def claim(cls, path: Path) -> "JournalFile | None":
        """An existing file; None when its process lives, or somebody else was quicker."""
        try:
            return cls._locked(path, os.O_RDWR)
        except FileNotFoundError:
            return None

    @classmethod
    def _locked(cls, path: Path, flags: int) -> "JournalFile | None":
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking it may have been removed by whoever held the lock.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return cls(path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def contents(self) -> Contents:
        return read(os.pread(self._descriptor, self._end, 0))

    def append(self, lines: Sequence[bytes]) -> None:
        """Return when they are on the disk. After an error none of them counts as written."""
        data = memoryview(b"".join(lines))
        # What an earlier failure has left half written would spoil the next line.
        os.ftruncate(self._descriptor, self._end)
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], self._end + written)
        os.fsync(self._descriptor)
        self._end += len(data)

    def clear(self) -> None:
        os.ftruncate(self._descriptor, 0)
        self._end = 0
        os.fsync(self._descriptor)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        _sync_folder(self.path.parent)

    def put_aside(self) -> None:
        """Keep it for people, under a name that nobody takes over."""
        self.path.rename(self.path.with_name(self.path.name + ASIDE_SUFFIX))
        _sync_folder(self.path.parent)

    def close(self) -> None:
        """Unlock. What is in the file stays there."""
        os.close(self._descriptor)


class Left:
    """The journal of a dead process, locked by this one until all of its records are acknowledged."""

    def __init__(self, file: JournalFile, contents: Contents) -> None:
        self.records = contents.records
        self._file = file
        self._is_damaged = bool(contents.damaged)
        self._pending = {record.settled.request_id for record in contents.records}
        if not self._pending:
            self._finish()

    def acknowledge(self, request_id: UUID) -> None:
        self._pending.discard(request_id)
        if not self._pending:
            self._finish()

    def _finish(self) -> None:
        try:
            if self._is_damaged:
                self._file.put_aside()
            else:
                self._file.remove()
        except OSError as exc:
            # It is taken over once more at some time, and its settlements change nothing then.
            log.warning("journal not removed", extra={"journal": str(self._file.path), "error": str(exc)})
        self._file.close()


def take_over(folder: Path) -> list[Left]:
    """Every journal in the folder whose process is dead, locked and read. Blocking."""
    taken = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            file = JournalFile.claim(path)
            if file is None:
                continue
            contents = file.contents()
        except OSError as exc:
            log.error("journal cannot be read", extra={"journal": str(path), "error": str(exc)})
            continue
        described = {"journal": path.name, "settlements": len(contents.records), "is_torn": contents.is_torn}
        if contents.damaged:
            log.error("journal is damaged, kept aside", extra=described | {"lines": list(contents.damaged)})
        elif contents.records:
            log.warning("journal of a dead process taken over", extra=described)
        left = Left(file, contents)
        if left.records:
            taken.append(left)
    return taken


class Journal:
    """This process's own journal. Records that wait at the same time share one write and one sync.

    It lies empty as long as REQUESTS acknowledges, and is emptied as soon as all that is in it is acknowledged.
    """

    def __init__(self, file: JournalFile, executor: ThreadPoolExecutor) -> None:
        self._file = file
        self._executor = executor
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._pending: set[UUID] = set()
        self._is_empty = True
        self._work: asyncio.Task[None] | None = None

    async def append(self, record: Record) -> None:
        """Return when it is on the disk. Raises `JournalFailed`, also when that takes longer than `APPEND_SECONDS`."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.add(record.settled.request_id)
        self._waiting.append((record, written))
        self._start_work()
        try:
            await asyncio.wait_for(written, APPEND_SECONDS)
        except OSError as exc:  # a time-out is one, too
            raise JournalFailed(str(exc) or f"no end within {APPEND_SECONDS:g} s") from exc

    def acknowledge(self, request_id: UUID) -> None:
        self._pending.discard(request_id)
        if self._is_done_with:
            self._start_work()

    async def take_over(self) -> list[Left]:
        """The journals of dead processes in the same folder. Their own records are not in ours."""
        return await self._run(lambda: take_over(self._file.path.parent))

    async def close(self) -> None:
        """Remove the file, or leave it with what is not acknowledged for whoever comes next."""
        while self._work is not None:
            await self._work
        if not self._pending:
            await self._run(self._file.remove)
        self._file.close()

    def _start_work(self) -> None:
        if self._work is None:
            self._work = asyncio.create_task(self._write(), name="journal")

    async def _write(self) -> None:
        """Write what waits, and empty the file when nothing in it is needed: never both at once."""
        try:
            while self._waiting or self._is_done_with:
                if self._waiting:
                    batch, self._waiting = self._waiting, []
                    await self._append(batch)
                else:
                    await self._clear()
        finally:
            self._work = None

    @property
    def _is_done_with(self) -> bool:
        """Whether there is something in the file that nobody needs any more."""
        return not self._pending and not self._is_empty

    async def _clear(self) -> None:
        self._is_empty = True
        try:
            await self._run(self._file.clear)
        except OSError as exc:
            # It is emptied after the next outage, or published once more by somebody: what comes twice counts once.
            log.warning("journal not emptied", extra={"error": str(exc)})

    async def _append(self, batch: Sequence[tuple[Record, asyncio.Future[None]]]) -> None:
        self._is_empty = False
        failure: OSError | None = None
        try:
            await self._run(lambda: self._file.append([to_line(record) for record, _ in batch]))
        except OSError as exc:
            failure = exc
        for record, written in batch:
            if failure is not None:
                self._pending.discard(record.settled.request_id)
            if written.done():
                continue
            if failure is None:
                written.set_result(None)
            else:
                written.set_exception(failure)

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        """In the journal's own thread: a disk that hangs must not take the others' threads."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


@asynccontextmanager
async def journal(folder: Path, *, instance: str) -> AsyncIterator[Journal]:
    """Open while the block runs. Raises `OSError` when the folder cannot be written: better now than when it counts."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="journal")
    try:
        loop = asyncio.get_running_loop()
        opened = Journal(await loop.run_in_executor(executor, lambda: _proven(folder, instance)), executor)
        try:
            yield opened
        finally:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(APPEND_SECONDS):
                    await opened.close()
    finally:
        executor.shutdown(wait=False)


def _proven(folder: Path, instance: str) -> JournalFile:
    """A new journal that has been written to once."""
    file = JournalFile.create(folder, instance=instance)
    file.append([b"\n"])
    file.clear()
    return file


def _sync_folder(folder: Path) -> None:
    """A file's name is on the disk only after this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
