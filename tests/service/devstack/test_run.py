"""`up`, `down` and `status` as a person meets them: a clear word for everything that can be in the way."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from devstack.folders import write_json
from devstack.ports import LOOPBACK, free_port
from devstack.register import Register
from tests.service.devstack.small_children import is_alive, soon

_PROVIDER = {"SMARTROUTE_UPSTREAM_URL": "http://127.0.0.1:9/v1", "SMARTROUTE_UPSTREAM_MODEL": "m"}


def _devstack(data_dir: Path, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devstack", command],
        env=_environment(data_dir, variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _environment(data_dir: Path, variables: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMARTROUTE_")}
    return {
        **kept,
        **_PROVIDER,
        "SMARTROUTE_DATA_DIR": str(data_dir),
        "SMARTROUTE_PORT": str(free_port()),
        **variables,
    }


def _refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join(done.stdout.split())


def test_a_taken_port_is_said_with_its_holder_and_a_free_one(data_dir: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        words = _refused(_devstack(data_dir, "up", SMARTROUTE_PORT=str(port)))
    assert f"port {port} on 127.0.0.1 is taken by" in words
    assert f"(pid {os.getpid()})" in words
    assert "make up SMARTROUTE_PORT=" in words


def test_a_second_up_says_where_the_first_one_is(data_dir: Path) -> None:
    register = Register(data_dir)
    with register.held():
        register.note([], base_url="http://127.0.0.1:8080/v1")
        words = _refused(_devstack(data_dir, "up"))
    assert f"already running at http://127.0.0.1:8080/v1 (pid {os.getpid()})" in words
    assert "make down" in words


def test_a_second_up_leaves_the_facts_of_the_first_one_alone(data_dir: Path) -> None:
    with Register(data_dir).held():
        write_json(data_dir / "stack.json", {"base_url": "theirs"})
        _refused(_devstack(data_dir, "up"))
        assert (data_dir / "stack.json").exists()


def test_a_data_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "SMARTROUTE_DATA_DIR" in _refused(_devstack(tmp_path / "file/data", "up"))


def test_a_bad_variable_is_said_before_anything_starts(data_dir: Path) -> None:
    words = _refused(_devstack(data_dir, "up", SMARTROUTE_REPLICAS="gatway=2"))
    assert '"gatway=2"' in words
    assert list(data_dir.iterdir()) == []


def test_a_given_database_that_does_not_answer_is_said_so_and_nothing_is_left(data_dir: Path) -> None:
    words = _refused(_devstack(data_dir, "up", SMARTROUTE_DATABASE_URL="postgresql://me:canary@127.0.0.1:1/db"))
    assert "the database server at 127.0.0.1 cannot be used" in words
    assert "canary" not in words
    assert not (data_dir / "running.json").exists()


def test_down_and_status_without_anything_running_say_so(data_dir: Path) -> None:
    assert "nothing is running" in _devstack(data_dir, "down").stdout
    done = _devstack(data_dir, "status")
    assert done.returncode == 3
    assert "nothing is running" in done.stdout


def test_down_does_not_trust_a_pid_that_was_given_to_somebody_else(data_dir: Path) -> None:
    write_json(data_dir / "running.json", {"supervisor": {"name": "supervisor", "pid": os.getpid(), "started": 1.0}})
    assert "nothing is running" in _devstack(data_dir, "down").stdout


async def test_what_a_killed_supervisor_left_is_ended_and_a_stranger_with_an_old_pid_is_not(data_dir: Path) -> None:
    sleeper = (sys.executable, "-c", "import time; time.sleep(600)")
    leftover, stranger = [await asyncio.create_subprocess_exec(*sleeper) for _ in range(2)]
    said: list[str] = []
    try:
        register = Register(data_dir)
        register.note([("quota", leftover.pid), ("router", stranger.pid)], base_url="")
        text = (data_dir / "running.json").read_text()
        first, _, second = text.partition(f'"pid": {stranger.pid}')
        digits = second.partition('"started": 1')
        (data_dir / "running.json").write_text(f'{first}"pid": {stranger.pid}{digits[0]}"started": 2{digits[2]}')
        await register.end_leftovers(say=said.append)
        await soon(lambda: not is_alive(leftover.pid))
        assert is_alive(stranger.pid)
        assert f"quota (pid {leftover.pid})" in said[0]
        assert str(stranger.pid) not in said[0]
    finally:
        for process in (leftover, stranger):
            if process.returncode is None:
                process.kill()
            await process.wait()


# A test run in the background of a script ignores SIGINT, and what it starts inherits that; not so at a terminal. The
# interpreter's own start is nothing that we could keep from printing a traceback: the line says that it is over.
_UP_WITH_A_TERMINALS_SIGNALS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from devstack.__main__ import main
sys.argv = ["devstack", "up"]
print("begins", flush=True)
sys.exit(main())
"""


@pytest.mark.parametrize("after_seconds", [0.1, 0.6, 1.0])
async def test_ctrl_c_in_the_middle_of_a_start_ends_everything_without_a_traceback(
    data_dir: Path, after_seconds: float
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _UP_WITH_A_TERMINALS_SIGNALS,
        env=_environment(data_dir, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"begins\n"
        await asyncio.sleep(after_seconds)
        process.send_signal(signal.SIGINT)
        printed, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()
    assert b"Traceback" not in printed
    assert not (data_dir / "stack.json").exists()
    assert not (data_dir / "running.json").exists()
