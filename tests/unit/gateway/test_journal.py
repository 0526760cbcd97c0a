"""The journal: what it has promised is read back, whatever happened to the end of the file or in its middle."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway import RequestSettled, Timings, TokenUsage
from contracts.outcomes import Outcome
from devstack.probes import until
from gateway.journal import (
    ASIDE_SUFFIX,
    SUFFIX,
    Contents,
    JournalFailed,
    JournalFile,
    Record,
    from_line,
    journal,
    read,
    take_over,
    to_line,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"

HOLD_A_JOURNAL = """
import sys, time
from pathlib import Path
from gateway.journal import JournalFile
file = JournalFile.create(Path(sys.argv[1]), instance="other")
file.append([sys.argv[2].encode() + b"\\n"])
print("held", flush=True)
time.sleep(60)
"""


def a_record(*, request_id: UUID | None = None, alias: str = "smart-route", traceparent: str | None = None) -> Record:
    settled = RequestSettled(
        request_id=request_id or uuid4(),
        account_id=uuid4(),
        token_id=uuid4(),
        turn_id=uuid4(),
        call=1,
        outcome=Outcome.COMPLETED,
        plan="free",
        plans_version=1,
        alias_asked=alias,
        alias_served="smart-route-mini",
        endpoint="chat/completions",
        is_stream=True,
        day=date(2026, 11, 22),
        month=date(2026, 11, 1),
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=2),
        timings=Timings(total_ms=2000.0),
        tokens=TokenUsage(input=1, output=2, source="provider"),
        target="a",
        attempts=1,
        error_code=None,
        trace_id="a" * 32,
    )
    return Record(settled=settled, traceparent=traceparent)


def left_in(folder: Path) -> list[Record]:
    """What a next process takes over."""
    return [record for left in take_over(folder) for record in left.records]


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def size_of(path: Path) -> int:
    return path.stat().st_size


async def is_emptied(path: Path) -> bool:
    """Within a moment."""

    async def is_empty() -> bool:
        return size_of(path) == 0

    return await until(is_empty, within_seconds=5)


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Files may not grow past `size` bytes: a disk that fills up in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@given(st.text(), st.none() | st.just(TRACEPARENT))
def test_a_line_says_what_was_written(alias: str, traceparent: str | None) -> None:
    record = a_record(alias=alias, traceparent=traceparent)
    line = to_line(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert from_line(line[:-1]) == record


@given(st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=4), max_size=4), st.data())
def test_what_was_appended_is_read_back_however_the_write_after_it_was_torn(
    batches: list[list[str]], data: st.DataObject
) -> None:
    promised = [[a_record(alias=alias) for alias in batch] for batch in batches]
    torn = to_line(a_record())[: data.draw(st.integers(0, 300))]
    with tempfile.TemporaryDirectory() as name:
        file = JournalFile.create(Path(name), instance="gateway-1")
        for batch in promised:
            file.append([to_line(record) for record in batch])
        with file.path.open("ab") as crashed:
            crashed.write(torn)
        file.close()
        assert left_in(Path(name)) == [record for batch in promised for record in batch]
        assert not [path for path in Path(name).iterdir() if path.name.endswith(ASIDE_SUFFIX)]


@given(st.data())
def test_a_line_of_which_any_byte_was_changed_is_damaged_and_its_neighbours_are_not(data: st.DataObject) -> None:
    records = [a_record() for _ in range(3)]
    lines = [to_line(record) for record in records]
    place = data.draw(st.integers(0, len(lines[1]) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (lines[1][place], 0x0A)))
    lines[1] = lines[1][:place] + bytes([byte]) + lines[1][place + 1 :]
    contents = read(b"".join(lines))
    assert (list(contents.records), contents.damaged, contents.is_torn) == ([records[0], records[2]], (2,), False)


def test_a_damaged_journal_is_kept_aside_once_the_rest_of_it_is_stored(tmp_path: Path) -> None:
    first, last = a_record(), a_record()
    before = to_line(first) + b"no line of ours\n" + to_line(last)
    (tmp_path / f"gateway-7{SUFFIX}").write_bytes(before)
    (left,) = take_over(tmp_path)
    assert left.records == (first, last)
    left.acknowledge(first.settled.request_id)
    assert [path.name for path in tmp_path.iterdir()] == [f"gateway-7{SUFFIX}"]
    left.acknowledge(last.settled.request_id)
    (aside,) = tmp_path.iterdir()
    assert aside.name == f"gateway-7{SUFFIX}{ASIDE_SUFFIX}"
    assert aside.read_bytes() == before
    assert take_over(tmp_path) == []


def test_a_journal_of_a_dead_process_is_removed_when_its_last_record_is_stored(tmp_path: Path) -> None:
    records = [a_record(), a_record()]
    (tmp_path / f"gateway-7{SUFFIX}").write_bytes(b"".join(map(to_line, records)))
    (left,) = take_over(tmp_path)
    left.acknowledge(records[0].settled.request_id)
    assert list(tmp_path.iterdir())
    left.acknowledge(records[1].settled.request_id)
    assert files_in(tmp_path) == []


def test_a_living_process_keeps_its_journal_and_a_killed_one_is_taken_over_by_one_only(tmp_path: Path) -> None:
    record = a_record()
    line = to_line(record)[:-1].decode()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_JOURNAL, str(tmp_path), line], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert take_over(tmp_path) == []
        process.kill()
        process.wait()
    (left,) = take_over(tmp_path)
    assert left.records == (record,)
    assert take_over(tmp_path) == [], "it was taken over twice"


def test_a_write_that_fails_half_way_spoils_neither_what_was_there_nor_what_comes(tmp_path: Path) -> None:
    kept, later = a_record(), a_record()
    lost = [a_record(alias="long" * 200), a_record()]
    file = JournalFile.create(tmp_path, instance="gateway-1")
    file.append([to_line(kept)])
    room = file.path.stat().st_size + len(to_line(lost[0])) + 100
    with no_room_beyond(room), pytest.raises(OSError, match="large"):
        file.append([to_line(record) for record in lost])
    assert file.path.stat().st_size == room, "nothing was half written: the test shows nothing"
    file.append([to_line(later)])
    assert read(file.path.read_bytes()) == Contents((kept, later), (), is_torn=False)
    file.close()
    assert left_in(tmp_path) == [kept, later]


async def test_it_is_emptied_when_all_is_acknowledged_and_gone_when_it_is_closed(tmp_path: Path) -> None:
    records = [a_record() for _ in range(3)]
    async with journal(tmp_path, instance="pod/with:odd characters") as opened:
        (path,) = files_in(tmp_path)
        assert path.stat().st_size == 0
        await asyncio.gather(*(opened.append(record) for record in records))
        assert set(read(path.read_bytes()).records) == set(records)
        opened.acknowledge(records[0].settled.request_id)
        opened.acknowledge(records[1].settled.request_id)
        await asyncio.sleep(0.05)
        assert len(read(path.read_bytes()).records) == 3
        opened.acknowledge(records[2].settled.request_id)
        assert await is_emptied(path)
        await opened.append(records[0])
        assert read(path.read_bytes()).records == (records[0],)
        opened.acknowledge(records[0].settled.request_id)
    assert files_in(tmp_path) == []


async def test_what_is_not_acknowledged_when_it_is_closed_is_there_for_the_next(tmp_path: Path) -> None:
    record = a_record(traceparent=TRACEPARENT)
    async with journal(tmp_path, instance="gateway-1") as opened:
        await opened.append(record)
        assert await opened.take_over() == [], "it took over its own"
    async with journal(tmp_path, instance="gateway-1") as opened:
        (left,) = await opened.take_over()
        assert left.records == (record,)


async def test_one_that_is_acknowledged_while_it_is_written_does_not_stay(tmp_path: Path) -> None:
    record = a_record()
    async with journal(tmp_path, instance="gateway-1") as opened:
        (path,) = files_in(tmp_path)
        writing = asyncio.create_task(opened.append(record))
        await asyncio.sleep(0)
        opened.acknowledge(record.settled.request_id)
        await writing
        assert await is_emptied(path)


async def test_many_that_wait_at_once_share_their_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    real = os.fsync

    def counted(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        real(descriptor)

    async with journal(tmp_path, instance="gateway-1") as opened:
        monkeypatch.setattr("os.fsync", counted)
        await asyncio.gather(*(opened.append(a_record()) for _ in range(500)))
        assert 1 <= syncs <= 10


async def test_a_disk_that_fails_is_told_and_what_follows_is_written_again(tmp_path: Path) -> None:
    lost, kept = a_record(), a_record()
    async with journal(tmp_path, instance="gateway-1") as opened:
        (path,) = files_in(tmp_path)
        with no_room_beyond(10), pytest.raises(JournalFailed):
            await opened.append(lost)
        await opened.append(kept)
        assert read(path.read_bytes()).records == (kept,)
        opened.acknowledge(kept.settled.request_id)
        assert await is_emptied(path)


async def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        async with journal(tmp_path / "file", instance="gateway-1"):
            pass


def test_processes_that_start_and_look_at_once_lose_nothing(tmp_path: Path) -> None:
    """A file that somebody takes over between its making and its locking is not the one that is written to."""
    is_over = threading.Event()

    def look() -> int:
        looks = 0
        while not is_over.is_set():
            assert take_over(tmp_path) == []
            looks += 1
        return looks

    with ThreadPoolExecutor(2) as others:
        looking = [others.submit(look) for _ in range(2)]
        try:
            for number in range(300):
                record = a_record()
                file = JournalFile.create(tmp_path, instance=f"gateway-{number}")
                file.append([to_line(record)])
                assert read(file.path.read_bytes()).records == (record,)
                file.remove()
                file.close()
        finally:
            is_over.set()
        assert sum(each.result() for each in looking) > 100


def test_a_journal_keeps_the_name_of_its_process_out_of_trouble(tmp_path: Path) -> None:
    file = JournalFile.create(tmp_path / "new" / "folder", instance="a/b c")
    assert file.path.parent == tmp_path / "new" / "folder"
    assert file.path.name.startswith("a_b_c-")
    assert file.path.stat().st_mode & 0o077 == 0
    file.close()
