"""The files of the set-up pages, put where their pages say, make the real clients work as they are."""

from pathlib import Path

import pytest

from chassis.watched import load
from contracts.plans import PlanCatalogue
from devstack.provider.agent import Plan, apply_patch, say, shell, write_file
from devstack.repository import PLANS
from gateway.codex import model_catalog
from gateway.portal.setup.agents import PACKAGES, Api
from gateway.portal.setup.clients import Wishes, client_named
from gateway.portal.setup.subject import TOKEN_VARIABLE, subject_of
from tests.clients import installation
from tests.clients.codex import CodexRun
from tests.clients.endpoint import IS_DIRECT, MODEL, Endpoint
from tests.clients.opencode import AgentRun
from tests.clients.workplace import Run, Workplace

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(IS_DIRECT, reason="the files are those of the gateway"),
    pytest.mark.parametrize("provider_format", ["chat"], indirect=True),
]

PATCH = "*** Begin Patch\n*** Add File: hello.txt\n+Hello from a patch\n*** End Patch\n"
SMOKE = "Run pwd with the shell tool, then create hello.txt with a short hello message"


def install(client: str, workplace: Workplace, endpoint: Endpoint, *, api: Api = "chat") -> None:
    """Do what the page of a client says: put its files in their places."""
    plans = load(PLANS, PlanCatalogue)
    plan = plans.plan_of_alias(MODEL)
    found = client_named(client)
    assert plan is not None
    assert found is not None
    subject = subject_of("http://127.0.0.1", endpoint.base_url, plan, None)
    catalogue = model_catalog([(each, None) for each in plans.plans])
    for file in found.files(Wishes(subject, api, catalogue)):
        place = Path(file.place.replace("~", str(workplace.home), 1))
        place = place if place.is_absolute() else workplace.folder / place
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.content, encoding="utf-8")


async def codex(workplace: Workplace, endpoint: Endpoint, prompt: str, *arguments: str) -> Run:
    return await workplace.run(
        *("codex", "exec", "--skip-git-repo-check", *arguments, prompt), SMARTROUTE_TOKEN=endpoint.token
    )


async def test_codex_works_with_its_files_and_patches_by_the_tool_of_the_catalogue(
    workplace: Workplace, endpoint: Endpoint
) -> None:
    install("codex", workplace, endpoint)
    endpoint.provider.always(Plan([shell("pwd"), apply_patch(PATCH), say("Patched.")]).script())
    whole = ("--json", "--profile", "unattended", "--sandbox", "danger-full-access")
    run = CodexRun(await codex(workplace, endpoint, SMOKE, *whole))
    assert (run.code, run.messages) == (0, ["Patched."]), run.run.printed
    assert run.items("error") == []
    assert [change["status"] for change in run.items("file_change")] == ["completed"]
    assert (workplace.folder / "hello.txt").read_text() == "Hello from a patch\n"
    await endpoint.assert_prompts(1)


@pytest.mark.parametrize(
    ("profile", "sandbox"),
    [("careful", "read-only"), ("everyday", "workspace-write"), ("unattended", "workspace-write")],
)
async def test_codex_starts_with_each_launch_profile(
    profile: str, sandbox: str, workplace: Workplace, endpoint: Endpoint
) -> None:
    install("codex", workplace, endpoint)
    endpoint.provider.always(Plan([say("Here.")]).script())
    run = await codex(workplace, endpoint, "Where are you?", "--profile", profile)
    assert run.code == 0, run.printed
    assert f"sandbox: {sandbox}" in run.printed
    assert "Here." in run.printed


async def test_codex_says_where_to_get_a_token_when_there_is_none(workplace: Workplace, endpoint: Endpoint) -> None:
    install("codex", workplace, endpoint)
    run = await workplace.run("codex", "exec", "--skip-git-repo-check", "Hello?")
    assert run.code != 0
    assert TOKEN_VARIABLE in run.printed
    assert "http://127.0.0.1/tokens" in run.printed


@pytest.mark.parametrize("api", list(PACKAGES))
@pytest.mark.parametrize("program", ["opencode", "kilo"])
async def test_opencode_and_kilo_work_with_their_file(
    program: str, api: Api, workplace: Workplace, endpoint: Endpoint
) -> None:
    install(program, workplace, endpoint, api=api)
    path = str(workplace.folder / "hello.txt")
    endpoint.provider.always(Plan([shell("pwd"), write_file(path, "Hello!\n"), say("Created it.")]).script())
    stay = {
        f"{program.upper()}_{name}": "1"
        for name in ("DISABLE_AUTOUPDATE", "DISABLE_MODELS_FETCH", "DISABLE_LSP_DOWNLOAD", "DISABLE_DEFAULT_PLUGINS")
    }
    run = AgentRun(
        await workplace.run(
            *(program, "run", "--format", "json", "--title", "A title", SMOKE),
            timeout_seconds=120,
            KILO_TELEMETRY_LEVEL="off",
            SMARTROUTE_TOKEN=endpoint.token,
            **stay,
        )
    )
    assert (run.code, run.failure, run.text) == (0, None, "Created it."), run.run.printed
    assert (workplace.folder / "hello.txt").read_text() == "Hello!\n"
    await endpoint.assert_prompts(1)


PROGRAMS = ("openai_sdk.py", "langchain_chat.py", "openai_agents.py", "openai_sdk.mjs", "ai_sdk.mjs")


@pytest.mark.parametrize("program", PROGRAMS)
async def test_programs_of_the_sdks_run_as_they_are(program: str, workplace: Workplace, endpoint: Endpoint) -> None:
    install("sdks", workplace, endpoint)
    (workplace.folder / "node_modules").symlink_to(installation.NODE_MODULES)
    endpoint.provider.always(Plan([say("Hello from the model.")]).script())
    runner = "node" if program.endswith(".mjs") else str(installation.PYTHON)
    run = await workplace.run(runner, program, SMARTROUTE_TOKEN=endpoint.token)
    assert (run.code, run.output.strip()) == (0, "Hello from the model."), run.printed
    await endpoint.assert_prompts(1)


async def test_the_variables_are_what_the_openai_sdk_reads_by_itself(workplace: Workplace, endpoint: Endpoint) -> None:
    install("sdks", workplace, endpoint)
    endpoint.provider.always(Plan([say("Hello.")]).script())
    program = (
        f"from openai import OpenAI; print(OpenAI().responses.create(model={MODEL!r}, input='Hello?').output_text)"
    )
    command = f'. ./smart-route.sh && exec "$0" -c "{program}"'
    run = await workplace.run("sh", "-c", command, str(installation.PYTHON), SMARTROUTE_TOKEN=endpoint.token)
    assert (run.code, run.output.strip()) == (0, "Hello."), run.printed
