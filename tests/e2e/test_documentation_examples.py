"""Every code example of the documentation, run as its reader would run it, against the running product."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from devstack.provider import Plan, Provider, Script, agent, scripts
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.offers import offers
from devstack.provider.script import Steps
from devstack.stack import Stack
from gateway.portal.documentation.examples import FOLDER, LANGUAGES, read_examples
from tests import patience
from tests.browser.tools import NODE, NODE_MODULES
from tests.e2e.product import eventually, get, new_account, profiles

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO = "Hello from the model."
SUNNY = "It is sunny in Lisbon."
WEATHER = Plan([agent.call("get_weather", {"city": "Lisbon"}), agent.say(SUNNY)])
PLACE = '{"city": "Lisbon", "country": "Portugal"}'
RUN_SECONDS = 60
RUNNERS = {
    ".sh": ("bash", "-eu", "-o", "pipefail"),
    ".py": (sys.executable, "-W", "error"),
    ".mjs": (str(NODE), "--throw-deprecation"),
}
EXAMPLES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in LANGUAGES)
# What each example prints, in every language, or by the ending of the file.
PRINTS: dict[str, str | dict[str, str]] = {
    "chat": HELLO,
    "chat_stream": {".sh": "data: [DONE]", ".py": f"{HELLO}\n19 tokens", ".mjs": f"{HELLO}\n19 tokens"},
    "chat_tools": SUNNY,
    "completion": HELLO,
    "effective_alias": {".sh": '"model":"smart-route"', ".py": "by smart-route\n", ".mjs": "by smart-route\n"},
    "errors": "model_not_found",
    "headers": "x-smartroute-daily-remaining: ",
    "idempotency": "idempotent-replayed: true",
    "list_models": "smart-route-infinite",
    "receipt": "The answer was finished: one prompt.",
    "response": HELLO,
    "response_continue": HELLO,
    "response_stored": {".sh": '"deleted":true', ".py": "deleted resp_", ".mjs": "deleted resp_"},
    "response_stream": {
        ".sh": "event: response.completed",
        ".py": f"{HELLO}\ncompleted",
        ".mjs": f"{HELLO}\ncompleted",
    },
    "response_tools": SUNNY,
    "stop_stream": "stopped after: Hello",
    "structured_output": {".sh": "Lisbon", ".py": "Lisbon is in Portugal", ".mjs": "Lisbon is in Portugal"},
    "usage": "plus",
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with a token and the examples in a folder, filled in as the pages show them."""

    stack: Stack
    token: str
    folder: Path

    async def run(self, name: str) -> str:
        """What an example prints. It has to end well and to say nothing on its error output."""
        path = self.folder / name
        environment = {"PATH": os.environ["PATH"], "SMARTROUTE_TOKEN": self.token}
        process = await asyncio.create_subprocess_exec(
            *RUNNERS[path.suffix], str(path), stdout=PIPE, stderr=PIPE, env=environment, cwd=self.folder
        )
        try:
            printed, complaints = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert (process.returncode, complaints.decode()) == (0, ""), f"{name} printed: {printed.decode()}"
        return printed.decode()

    async def used(self) -> int:
        """The prompts of the day, when no request of ours is open any more."""
        used = 0

        async def is_settled() -> bool:
            nonlocal used
            daily = (await get(self.stack, self.token, "usage")).json["daily"]
            used = daily["used"]
            return bool(daily["reserved"] == 0)

        await eventually(is_settled)
        return used


def model() -> Script:
    """Calls a tool where one is offered, answers in JSON where a schema is given, and says hello otherwise."""

    def play(request: Request, identity: Identity) -> Steps:
        if offers(request):
            script = WEATHER.script()
        elif "json_schema" in json.dumps(request.json):
            script = scripts.answer(PLACE)
        else:
            script = scripts.answer(HELLO)
        yield from script.play(request, identity)

    return Script("documentation", play)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(module_data_dir: Path) -> AsyncIterator[Stack]:
    async with (
        Provider(default=model()) as provider,
        Stack(module_data_dir, profiles=profiles({"only": provider}), environment=patience.ENVIRONMENT) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def folder(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples with the stack's base URL, beside the packages that those in JavaScript import."""
    made = tmp_path_factory.mktemp("examples")
    (made / "node_modules").symlink_to(NODE_MODULES)
    for name, texts in read_examples(stack.base_url).items():
        for ending, text in texts.items():
            (made / f"{name}{ending}").write_text(text, encoding="utf-8")
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader(stack: Stack, folder: Path) -> Reader:
    _, token = await new_account(stack, plan="plus")
    return Reader(stack, token, folder)


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_does_what_its_page_says(reader: Reader, name: str) -> None:
    path = Path(name)
    expected = PRINTS[path.stem]
    assert (expected if isinstance(expected, str) else expected[path.suffix]) in await reader.run(name)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if "_tools" in name])
async def test_a_loop_of_tools_costs_one_prompt(stack: Stack, folder: Path, name: str) -> None:
    _, token = await new_account(stack, plan="plus")
    reader = Reader(stack, token, folder)
    await reader.run(name)
    assert await reader.used() == 1


@pytest.mark.parametrize("ending", LANGUAGES)
async def test_a_request_that_is_sent_again_under_its_key_costs_one_prompt(
    stack: Stack, folder: Path, ending: str
) -> None:
    _, token = await new_account(stack, plan="plus")
    reader = Reader(stack, token, folder)
    await reader.run(f"idempotency{ending}")
    assert await reader.used() == 1


async def test_what_costs_nothing_costs_nothing(stack: Stack, folder: Path) -> None:
    _, token = await new_account(stack, plan="plus")
    reader = Reader(stack, token, folder)
    for name in ("errors.py", "list_models.sh", "usage.py"):
        await reader.run(name)
    assert await reader.used() == 0
