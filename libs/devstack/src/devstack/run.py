"""`python -m devstack up | down | status | run`: the commands behind `make up` and `make down`, and an operator's."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path

import psutil
import yaml

from contracts.plans import PlanCatalogue
from devstack import programs, repository, settings
from devstack.errors import DevstackError
from devstack.folders import make_folder, read_json
from devstack.follow import follow
from devstack.probes import http_get
from devstack.register import Register
from devstack.screen import Screen
from devstack.stack import ENVIRONMENTS, Stack

_DOWN_SECONDS = 60


def up() -> int:
    """Start everything and stay until a signal. The exit code: 0 after a stop on request, 1 when it could not start."""
    screen = Screen()
    try:
        choices = settings.read()
        make_folder(choices.data_dir)
        screen.title(choices.data_dir)
        return asyncio.run(_up(choices, screen))
    except DevstackError as error:
        screen.failed(str(error))
        return 1


def down() -> int:
    """Stop the stack of this data folder and wait until nothing of it is left."""
    data_dir = settings.data_dir()
    supervisor = Register(data_dir).supervisor() if data_dir.is_dir() else None
    if supervisor is None:
        print(f"nothing is running with the data in {data_dir}")
        return 0
    print(f"stopping the supervisor (pid {supervisor.pid})")
    try:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait(timeout=_DOWN_SECONDS)
    except psutil.AccessDenied:
        print(f"pid {supervisor.pid} belongs to another user: stop it as that user", file=sys.stderr)
        return 1
    except psutil.TimeoutExpired:
        print(f"it has not stopped within {_DOWN_SECONDS} s; look into {data_dir / 'logs'}", file=sys.stderr)
        return 1
    except psutil.NoSuchProcess:
        pass
    print("stopped")
    return 0


def status() -> int:
    """Say what runs. The exit code: 0 when it is ready, 3 when it is not."""
    data_dir = settings.data_dir()
    supervisor = Register(data_dir).supervisor() if data_dir.is_dir() else None
    document = read_json(data_dir / "stack.json")
    if supervisor is None:
        print(f"nothing is running with the data in {data_dir}")
        return 3
    if not document:
        print(f"starting or stopping (pid {supervisor.pid})")
        return 3
    print(f"ready at {document['base_url']} (supervisor pid {supervisor.pid})")
    processes = document["processes"]
    for name, pids in processes.items() if isinstance(processes, dict) else ():
        print(f"  {name:<9} {', '.join(map(str, pids)) or 'given by you, or just being restarted'}")
    return 0


def run(arguments: Sequence[str]) -> int:
    """`python -m <service> …` in the place of that service: `run billing ledger`. Does not return when it can start."""
    told = read_json(settings.data_dir() / ENVIRONMENTS)
    service = arguments[0] if arguments else ""
    own = told.get(service)
    if not isinstance(own, dict):
        known = ", ".join(told) or "nothing, until `make up` has run"
        print(f"no service `{service}` with the data in {settings.data_dir()}; there is: {known}", file=sys.stderr)
        return 2
    command = programs.command(service, *arguments[1:])
    os.execve(command[0], command, programs.environment(own))


async def _up(choices: settings.Choices, screen: Screen) -> int:
    stack = Stack(choices.data_dir, choices=choices, report=screen, keep_data=True)
    asked = _StopRequest(stack, screen)
    async with contextlib.AsyncExitStack() as resources:
        if choices.verbose:
            follower = asyncio.create_task(follow(stack.logs, screen.line))
            resources.callback(follower.cancel)
        if not await asked.unless_stopped(resources.enter_async_context(stack)):
            screen.stopped()
            return 130
        screen.up(stack.document(), aliases=_aliases(), data_dir=choices.data_dir, pages=await _pages(stack.document()))
        await asked.event.wait()
    screen.stopped()
    return 0


class _StopRequest:
    """Ctrl-C or SIGTERM: the first asks for an ordered stop, the next ends everything at once."""

    def __init__(self, stack: Stack, screen: Screen) -> None:
        self.event = asyncio.Event()
        self._stack = stack
        self._screen = screen
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._received)

    def _received(self) -> None:
        if self.event.is_set():
            self._stack.kill()
            return
        self._screen.stopping()
        self.event.set()

    async def unless_stopped(self, work: Awaitable[object]) -> bool:
        """Do `work`, unless a signal comes first: then it is cancelled, and has cleaned up on return."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self.event.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, DevstackError):
            await task
        return False


async def _pages(document: dict[str, object]) -> dict[str, str]:
    """Portal, console and traces, if this release has them and they were chosen."""
    found: dict[str, str] = {}
    for name in ("portal", "console", "traces"):
        url = document.get(f"{name}_url")
        if isinstance(url, str):
            with contextlib.suppress(OSError):
                code, _ = await http_get(url)
                if code == 200:
                    found[name] = url
    return found


def _aliases(plans: Path = repository.PLANS) -> dict[str, str]:
    catalogue = PlanCatalogue.model_validate(yaml.safe_load(plans.read_text(encoding="utf-8")))
    return {plan.name: plan.alias for plan in catalogue.plans}
