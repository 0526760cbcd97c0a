"""The supervisor with small real children: readiness, restarts, ordered stops, and nothing left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from devstack.children import run_to_end
from devstack.errors import CommandFailed, StartFailed
from devstack.supervisor import Supervisor
from tests.service.devstack.small_children import failing, is_alive, silent, soon, web_server


async def test_a_child_is_ready_when_start_returns_and_gone_when_the_supervisor_is_left(tmp_path: Path) -> None:
    program = web_server(tmp_path)
    async with Supervisor() as supervisor:
        (child,) = await supervisor.start(program)
        assert await program.ready()
        pid = child.pid
        assert supervisor.pids() == {"web": [pid]}
    assert pid is not None
    assert not is_alive(pid)


async def test_a_killed_child_comes_back_on_the_same_port_and_it_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    program = web_server(tmp_path)
    async with Supervisor(say=said.append) as supervisor:
        (child,) = await supervisor.start(program)
        before = child.pid
        child.send(signal.SIGKILL)
        await soon(lambda: child.restarts == 1 and child.pid not in (before, None))
        await soon(program.ready)
        await soon(lambda: len(said) == 2)
        assert "web ended by itself (killed by SIGKILL)" in said[0]
        assert f"web is back (pid {child.pid}" in said[1]


async def test_a_child_that_keeps_ending_is_given_ever_longer_pauses(tmp_path: Path) -> None:
    said: list[str] = []
    program = web_server(tmp_path)
    async with Supervisor(say=said.append) as supervisor:
        (child,) = await supervisor.start(program)
        for restart in (1, 2, 3):
            await soon(program.ready)
            child.send(signal.SIGKILL)
            await soon(lambda restart=restart: child.restarts == restart)  # type: ignore[misc]
    pauses = [line.rsplit(" in ", 1)[1] for line in said if "ended by itself" in line]
    assert pauses == ["0.1 s", "0.2 s", "0.4 s"]


async def test_a_halted_child_stays_halted_until_it_is_started_again(tmp_path: Path) -> None:
    program = web_server(tmp_path)
    async with Supervisor() as supervisor:
        (child,) = await supervisor.start(program)
        await child.halt()
        await asyncio.sleep(0.3)
        assert child.pid is None
        assert not await program.ready()
        await child.start()
        assert await program.ready()
        assert child.restarts == 0


async def test_a_child_that_ends_before_it_is_ready_fails_the_start_with_its_last_words(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        with pytest.raises(StartFailed, match="the disk is on fire"):
            await supervisor.start(failing(tmp_path))


async def test_a_child_that_never_gets_ready_fails_the_start_and_is_ended(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        with pytest.raises(StartFailed, match="not ready within"):
            await supervisor.start(silent(tmp_path))
        assert supervisor.pids() == {"silent": []}


async def test_one_failed_start_ends_those_started_beside_it(tmp_path: Path) -> None:
    children: list[psutil.Process] = []
    with pytest.raises(StartFailed, match="failing"):
        async with Supervisor() as supervisor:
            await supervisor.start(web_server(tmp_path), failing(tmp_path))
    children = [process for process in psutil.Process().children(recursive=True) if str(tmp_path) in process.cwd()]
    assert children == []


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    supervisor = Supervisor()
    start = asyncio.create_task(supervisor.start(replace(silent(tmp_path), ready_seconds=60.0)))
    await soon(lambda: bool(supervisor.pids().get("silent")))
    (pid,) = supervisor.pids()["silent"]
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not is_alive(pid)


async def test_a_child_deaf_to_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        (child,) = await supervisor.start(web_server(tmp_path, "web", "deaf"))
        pid = child.pid
    assert pid is not None
    assert not is_alive(pid)


async def test_what_a_child_started_goes_with_it(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        (child,) = await supervisor.start(web_server(tmp_path, "web", "parent"))
        (grandchild,) = psutil.Process(child.pid).children()
    await soon(lambda: not is_alive(grandchild.pid))


async def test_higher_layers_are_stopped_before_those_they_lean_on(tmp_path: Path) -> None:
    supervisor = Supervisor()
    bottom = web_server(tmp_path, "bottom")
    top = replace(web_server(tmp_path, "top", "deaf"), layer=1, stop_seconds=1.0)
    await supervisor.start(bottom, top)
    stop = asyncio.create_task(supervisor.stop())
    # The upper one does not listen: while its grace runs, the lower one must still answer.
    await asyncio.sleep(0.5)
    assert await bottom.ready()
    await stop
    assert not await bottom.ready()


_SUPERVISOR_THAT_IS_KILLED = """
import asyncio, pathlib, sys
from devstack.supervisor import Supervisor
from tests.service.devstack.small_children import web_server
async def main():
    async with Supervisor() as supervisor:
        first, second = await supervisor.start(*(web_server(pathlib.Path(sys.argv[1]), n, "deaf") for n in ("a", "b")))
        print(first.pid, second.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_even_kill_9_of_the_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _SUPERVISOR_THAT_IS_KILLED,
        str(tmp_path),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])},
    )
    assert process.stdout is not None
    pids = [int(word) for word in (await process.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(is_alive(pid) for pid in pids)
    process.kill()
    await process.wait()
    await soon(lambda: not any(is_alive(pid) for pid in pids))


async def test_a_failed_command_says_what_it_printed(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; print('half done'); sys.exit('no such table')")
    with pytest.raises(CommandFailed) as failure:
        await run_to_end("migrate", command, log=tmp_path / "migrate.log", environment={})
    assert "half done" in str(failure.value)
    assert "no such table" in str(failure.value)


async def test_a_log_is_for_its_owner_alone_and_does_not_grow_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_bytes(b"x" * (16 * 1024**2 + 1))
    async with Supervisor() as supervisor:
        await supervisor.start(web_server(tmp_path))
    assert log.stat().st_size < 10_000
    assert log.stat().st_mode & 0o077 == 0
    assert (tmp_path / "web.log.1").stat().st_size > 16 * 1024**2
