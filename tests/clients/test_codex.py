"""Codex CLI works as an agent, whatever the provider behind speaks: it runs tools, patches, calls MCP servers, compacts
and says in words what went wrong. One task of a user costs one prompt.
"""

import json
from pathlib import Path

import pytest

from contracts.outcomes import Outcome
from devstack.provider import faults, scripts
from devstack.provider.agent import Plan, apply_patch, call, growing, parallel, say, shell, write_file
from tests.clients import installation
from tests.clients.codex import Codex
from tests.clients.conftest import OpenEndpoint
from tests.clients.endpoint import IS_DIRECT, Endpoint
from tests.clients.workplace import Workplace

pytestmark = pytest.mark.clients

SMOKE = "Run pwd with the shell tool, then create hello.txt with a short hello message"
NOTES = str(Path(__file__).parent / "python/notes_server.py")
PATCH = "*** Begin Patch\n*** Add File: hello.txt\n+Hello from a patch\n*** End Patch\n"


@pytest.fixture
def codex(workplace: Workplace, endpoint: Endpoint) -> Codex:
    return Codex(workplace, endpoint)


async def test_the_smoke_test_creates_the_file_and_exits_with_0(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.always(Plan([shell("pwd"), write_file("hello.txt", "Hello!\n"), say("Created it.")]).script())
    run = await codex.execute(SMOKE)
    assert (run.code, run.failure) == (0, None), run.run.printed
    assert run.commands == [(f"{codex.workplace.folder}\n", 0), ("", 0)]
    assert run.messages == ["Created it."]
    assert (codex.workplace.folder / "hello.txt").read_text() == "Hello!\n"
    await endpoint.assert_prompts(1)
    await endpoint.assert_outcomes(Outcome.COMPLETED, Outcome.CONTINUATION, Outcome.CONTINUATION)


async def test_a_task_of_ten_tool_calls_costs_one_prompt(codex: Codex, endpoint: Endpoint) -> None:
    steps = [shell(f"echo {number} >> count.txt") for number in range(10)]
    endpoint.provider.always(Plan([*steps, say("Counted.")]).script())
    run = await codex.execute("Count to ten in count.txt, one command a number")
    assert (run.code, run.messages) == (0, ["Counted."]), run.run.printed
    assert (codex.workplace.folder / "count.txt").read_text().split() == [str(number) for number in range(10)]
    assert len(endpoint.provider.exchanges) == 11
    await endpoint.assert_prompts(1)
    await endpoint.assert_outcomes(Outcome.COMPLETED, *[Outcome.CONTINUATION] * 10)


async def test_parallel_calls_are_all_run_and_answered_at_once(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.always(Plan([parallel(shell("echo one"), shell("echo two")), say("Both.")]).script())
    run = await codex.execute("Say one and two")
    assert run.code == 0, run.run.printed
    assert sorted(run.commands) == [("one\n", 0), ("two\n", 0)]
    assert len(endpoint.provider.exchanges) == 2
    await endpoint.assert_prompts(1)


async def test_words_before_a_call_and_the_tokens_reach_the_user(codex: Codex, endpoint: Endpoint) -> None:
    plan = Plan([shell("pwd", text="I look first."), say("Seen.")], usage=growing(1_000, by=500))
    endpoint.provider.always(plan.script())
    run = await codex.execute("Where are you?")
    assert run.messages == ["I look first.", "Seen."], run.run.printed
    assert (run.usage["input_tokens"], run.usage["output_tokens"]) == (2_500, 40)


async def test_reasoning_of_the_model_is_shown_and_handed_back(codex: Codex, endpoint: Endpoint) -> None:
    plan = Plan([shell("pwd"), say("Seen.")], reasoning="Look around first.", reasoning_state="opaque")
    endpoint.provider.always(plan.script())
    run = await codex.execute("Where are you?")
    assert run.code == 0, run.run.printed
    assert len(endpoint.provider.exchanges) == 2


async def test_a_session_that_is_resumed_is_a_new_prompt_with_the_old_history(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.always(Plan([say("Noted.")]).script())
    await codex.execute("My name is Ada")
    run = await codex.execute("What is my name?", arguments=["resume", "--last"])
    assert (run.code, run.messages) == (0, ["Noted."]), run.run.printed
    second = endpoint.provider.exchanges[-1].request.body.decode()
    assert second.index("My name is Ada") < second.index("Noted.") < second.index("What is my name?")
    await endpoint.assert_prompts(2)


async def test_an_answer_of_a_given_shape_is_asked_of_the_model(codex: Codex, endpoint: Endpoint) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    (codex.workplace.home / "schema.json").write_text(json.dumps(schema))
    endpoint.provider.always(Plan([say('{"name": "Ada"}')]).script())
    arguments = ["--output-schema", str(codex.workplace.home / "schema.json")]
    run = await codex.execute("Who?", arguments=arguments)
    assert (run.code, run.messages) == (0, ['{"name": "Ada"}']), run.run.printed
    request = endpoint.provider.exchanges[-1].request
    asked = request.json["response_format" if request.format == "chat" else "text"]
    assert '"required": ["name"]' in json.dumps(asked)


async def test_a_patch_is_applied_by_the_tool_that_the_catalogue_gives(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.always(Plan([shell("pwd"), apply_patch(PATCH), say("Patched.")]).script())
    run = await codex.execute("Create hello.txt", settings=await codex.catalogue_settings(endpoint))
    assert (run.code, run.messages) == (0, ["Patched."]), run.run.printed
    assert run.items("error") == [], "the catalogue makes the model a known one"
    (change,) = run.items("file_change")
    assert (change["status"], change["changes"][0]["kind"]) == ("completed", "add")
    assert (codex.workplace.folder / "hello.txt").read_text() == "Hello from a patch\n"
    assert run.commands == [(f"{codex.workplace.folder}\n", 0)], "the patch was to go by the tool, not by the shell"
    await endpoint.assert_prompts(1)


async def test_parallel_calls_work_with_the_catalogue_as_well(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.always(Plan([parallel(shell("echo one"), shell("echo two")), say("Both.")]).script())
    run = await codex.execute("Say one and two", settings=await codex.catalogue_settings(endpoint))
    assert (run.code, run.messages) == (0, ["Both."]), run.run.printed
    assert sorted(run.commands) == [("one\n", 0), ("two\n", 0)]
    assert len(endpoint.provider.exchanges) == 2
    await endpoint.assert_prompts(1)


async def test_a_tool_of_an_mcp_server_is_found_called_and_answered(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.always(Plan([call("mcp__notes__look_up", {"word": "answer"}), say("Forty-two.")]).script())
    settings = {
        "mcp_servers.notes.command": str(installation.PYTHON),
        "mcp_servers.notes.args": [NOTES],
        "mcp_servers.notes.required": True,
    }
    run = await codex.execute("What does `answer` mean?", settings=settings)
    assert (run.code, run.messages) == (0, ["Forty-two."]), run.run.printed
    (called,) = run.items("mcp_tool_call")
    assert (called["server"], called["tool"], called["arguments"]) == ("notes", "look_up", {"word": "answer"})
    assert called["result"]["content"][0]["text"] == "answer means forty-two"
    assert "answer means forty-two" in endpoint.provider.exchanges[-1].request.body.decode()
    await endpoint.assert_prompts(1)


async def test_in_a_read_only_run_nothing_is_written_and_the_model_is_told(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.always(Plan([shell("pwd"), shell("touch hello.txt"), say("I may not.")]).script())
    run = await codex.execute(SMOKE, sandbox="read-only")
    assert (run.code, run.messages) == (0, ["I may not."]), run.run.printed
    assert run.commands == [(f"{codex.workplace.folder}\n", 0)]
    assert "Read-only file system" in endpoint.provider.exchanges[-1].request.body.decode()
    assert not (codex.workplace.folder / "hello.txt").exists()


async def test_a_long_task_is_compacted_and_goes_on(codex: Codex, endpoint: Endpoint) -> None:
    steps = [shell("echo one"), shell("echo two"), shell("echo three"), say("All three.")]
    endpoint.provider.always(Plan(steps, usage=growing(1_000, by=3_000)).script())
    run = await codex.execute("Say one, two and three", settings={"model_auto_compact_token_limit": 6_000})
    assert (run.code, run.messages[-1:]) == (0, ["All three."]), run.run.printed
    assert [output for output, _ in run.commands] == ["one\n", "two\n", "three\n"]
    bodies = [exchange.request.body.decode() for exchange in endpoint.provider.exchanges]
    (compaction,) = [place for place, body in enumerate(bodies) if "CONTEXT CHECKPOINT COMPACTION" in body]
    assert "Scripted summary" in bodies[compaction + 1]


@pytest.mark.skipif(IS_DIRECT, reason="the gateway refuses the WebSocket and makes compaction items")
async def test_the_built_in_provider_goes_to_http_at_once_and_compacts_by_items(
    workplace: Workplace, endpoint: Endpoint
) -> None:
    codex = Codex(workplace, endpoint, is_built_in=True)
    steps = [shell("echo one"), shell("echo two"), shell("echo three"), say("All three.")]
    endpoint.provider.always(Plan(steps, usage=growing(1_000, by=3_000)).script())
    run = await codex.execute("Say one, two and three", settings={"model_auto_compact_token_limit": 6_000})
    assert (run.code, run.messages[-1:]) == (0, ["All three."]), run.run.printed
    assert [output for output, _ in run.commands] == ["one\n", "two\n", "three\n"]
    assert run.run.seconds < 6, "seven attempts at a WebSocket take longer"
    assert len(endpoint.provider.exchanges) == 5, "one of them was for the compaction"
    await endpoint.assert_prompts(1)


async def test_a_spent_allowance_is_told_once_and_in_words(workplace: Workplace, open_endpoint: OpenEndpoint) -> None:
    async with open_endpoint(prompts=1) as endpoint:
        await endpoint.spend_allowance()
        run = await Codex(workplace, endpoint).execute("Hello?")
        assert run.code == 1
        assert "quota" in (run.failure or "").lower(), run.run.printed
        assert len(endpoint.provider.exchanges) == (1 if IS_DIRECT else 0)
        await endpoint.assert_prompts(1)


async def test_a_context_that_is_too_long_is_told_once_and_in_words(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.always(scripts.http_error(400))
    run = await codex.execute("Hello?")
    assert run.code == 1
    assert "ran out of room" in (run.failure or ""), run.run.printed
    assert "Zephyr" not in run.run.printed
    assert len(endpoint.provider.exchanges) == 1
    await endpoint.assert_prompts(0)


async def test_a_stream_that_breaks_is_tried_again_and_costs_one_prompt(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.enqueue(faults.close_midway(events=5))
    endpoint.provider.always(Plan([shell("pwd"), say("Here.")]).script())
    run = await codex.execute("Where are you?")
    assert (run.code, run.messages[-1:]) == (0, ["Here."]), run.run.printed
    assert len(run.commands) == 1
    assert "Zephyr" not in run.run.printed
    await endpoint.assert_prompts(1)


async def test_a_provider_that_stays_away_is_told_in_our_words(codex: Codex, endpoint: Endpoint) -> None:
    endpoint.provider.always(scripts.http_error(503))
    settings = {
        "model_providers.smartroute.request_max_retries": 1,
        "model_providers.smartroute.stream_max_retries": 1,
    }
    run = await codex.execute("Hello?", settings=settings)
    assert run.code == 1
    assert run.failure
    assert "Zephyr" not in run.run.printed
    await endpoint.assert_prompts(0)
