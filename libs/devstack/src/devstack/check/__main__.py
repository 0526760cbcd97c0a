"""`python -m devstack.check [NAME …]`: run the checks, two at a time, and say at the end what failed.

All of them run, whatever fails: a person wants the whole list. The output of a check is shown only when it failed.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from devstack.check.steps import STEPS, Step
from devstack.children import launched
from devstack.repository import ROOT

AT_ONCE = 2
TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Result:
    """How one check ended."""

    step: Step
    passed: bool
    seconds: float
    output: str


async def run(step: Step) -> Result:
    """Run one check to its end. When we are interrupted it is killed with everything it started."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *launched(step.command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            printed, _ = await process.communicate()
        text = printed.decode(errors="replace").strip()
    except TimeoutError:
        text = f"did not end within {TIMEOUT_SECONDS} s"
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        code = await process.wait()
    return Result(step, code == 0, time.monotonic() - began, text)


async def run_all(steps: Sequence[Step], console: Console) -> list[Result]:
    """Two at a time, longest first; each is told when it is over."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(step: Step) -> Result:
        async with slots:
            result = await run(step)
        word = "[green]ok    [/]" if result.passed else "[bold red]failed[/]"
        console.print(f"  {word} {step.name:<10} {escape(step.what)} [dim]{result.seconds:.1f} s[/]", soft_wrap=True)
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(step)) for step in steps]
    return [task.result() for task in tasks]


def summarise(results: Sequence[Result], console: Console, *, seconds: float) -> int:
    """Print the output of what failed and the verdict; the exit code."""
    failed = [result for result in results if not result.passed]
    for result in failed:
        console.print(f"\n[bold red]{result.step.name}[/] [dim]{escape(result.step.again)}[/]", soft_wrap=True)
        console.out(result.output or "(it printed nothing)", highlight=False)
    if failed:
        names = ", ".join(result.step.name for result in failed)
        console.print(f"\n[bold red]{len(failed)} of {len(results)} checks failed[/]: {names} [dim]{seconds:.0f} s[/]")
        return 1
    console.print(f"\n[bold green]all {len(results)} checks passed[/] [dim]{seconds:.0f} s[/]")
    return 0


def main() -> int:
    names = [step.name for step in STEPS]
    parser = argparse.ArgumentParser(prog="python -m devstack.check", description="Check everything but behaviour.")
    parser.add_argument("name", nargs="*", help=f"only these: {', '.join(names)}")
    wanted: list[str] = parser.parse_args().name
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"there is no check {', '.join(unknown)}; there are: {', '.join(names)}")
    steps = [step for step in STEPS if not wanted or step.name in wanted]
    console = Console(highlight=False)
    began = time.monotonic()
    try:
        results = asyncio.run(run_all(steps, console))
    except KeyboardInterrupt:
        return 130
    return summarise(results, console, seconds=time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
