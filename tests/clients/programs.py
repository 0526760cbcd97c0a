"""The programs that users of an SDK would write, ours in python/ and npm/: each performs scenarios, prints JSON."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.clients import installation
from tests.clients.endpoint import MODEL, Endpoint
from tests.clients.scenarios import Answered
from tests.clients.workplace import Workplace

_HERE = Path(__file__).parent


async def perform_in_python(
    workplace: Workplace, endpoint: Endpoint, program: str, *, api: str, scenarios: Sequence[str]
) -> list[Answered]:
    """Run one of python/*.py with the Python of the clients."""
    return await _perform(workplace, endpoint, str(installation.PYTHON), f"python/{program}.py", api, *scenarios)


async def perform_in_node(
    workplace: Workplace, endpoint: Endpoint, program: str, *, api: str, scenarios: Sequence[str]
) -> list[Answered]:
    """Run one of npm/*.mjs, from a folder that has the packages beside it: Node looks for them there."""
    (workplace.folder / "node_modules").symlink_to(installation.NODE_MODULES)
    copy = shutil.copy(_HERE / f"npm/{program}.mjs", workplace.folder)
    return await _perform(workplace, endpoint, "node", str(copy), api, *scenarios)


async def _perform(workplace: Workplace, endpoint: Endpoint, interpreter: str, *words: str) -> list[Answered]:
    program, *arguments = words
    run = await workplace.run(
        *(interpreter, str(_HERE / program), *arguments),
        OPENAI_BASE_URL=endpoint.base_url,
        OPENAI_API_KEY=endpoint.token,
        MODEL=MODEL,
    )
    return Answered.all_printed_by(run)
