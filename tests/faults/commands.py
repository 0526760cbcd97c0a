"""The operator's commands, run as an operator runs them."""

import asyncio
import json
import os
import sys
from typing import Any

from devstack.stack import Stack


async def run(stack: Stack, service: str, *arguments: str) -> tuple[int, str]:
    """Exit code and what was printed to stdout."""
    environment = {**os.environ, **stack.service_environment(service)}
    # A failpoint is for the services, not for whoever looks after them.
    environment.pop("SMARTROUTE_FAILPOINTS", None)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        service,
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    code = process.returncode or 0
    return code, out.decode() or err.decode()


async def command(stack: Stack, service: str, *arguments: str) -> Any:
    """What a command printed as JSON. Raises `RuntimeError` with its words when it failed."""
    code, printed = await run(stack, service, *arguments)
    if code != 0:
        raise RuntimeError(f"python -m {service} {' '.join(arguments)}: exit code {code}\n{printed}")
    return json.loads(printed) if printed.strip().startswith(("[", "{")) else printed
