"""The operator's commands, run as an operator runs them."""

import json
import os
from typing import Any

from devstack.stack import Stack
from tests import commands


async def run(stack: Stack, service: str, *arguments: str) -> tuple[int, str]:
    """Exit code and what was printed to stdout."""
    environment = {**os.environ, **stack.service_environment(service)}
    # A failpoint is for the services, not for whoever looks after them.
    environment.pop("SMARTROUTE_FAILPOINTS", None)
    finished = await commands.run(service, *arguments, environment=environment)
    return finished.code, finished.out or finished.err


async def command(stack: Stack, service: str, *arguments: str) -> Any:
    """What a command printed as JSON. Raises `RuntimeError` with its words when it failed."""
    code, printed = await run(stack, service, *arguments)
    if code != 0:
        raise RuntimeError(f"python -m {service} {' '.join(arguments)}: exit code {code}\n{printed}")
    return json.loads(printed) if printed.strip().startswith(("[", "{")) else printed
