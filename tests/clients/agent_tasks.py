"""The tasks that opencode and Kilo Code are both given, and what must come of them."""

from contracts.outcomes import Outcome
from devstack.provider import faults, scripts
from devstack.provider.agent import Plan, growing, parallel, say, shell, write_file
from tests.clients.endpoint import Endpoint
from tests.clients.opencode import Agent


async def create_a_file(agent: Agent, endpoint: Endpoint) -> None:
    """Two tools one after the other, then words: three requests, one prompt."""
    path = str(agent.workplace.folder / "hello.txt")
    endpoint.provider.always(Plan([shell("pwd"), write_file(path, "Hello!\n"), say("Created it.")]).script())
    run = await agent.run("Create hello.txt with a short hello message")
    assert (run.code, run.failure, run.text) == (0, None, "Created it."), run.run.printed
    (shelled, written) = run.tools
    assert shelled == ("bash", "completed", f"{agent.workplace.folder}\n")
    assert written[:2] == ("write", "completed")
    assert (agent.workplace.folder / "hello.txt").read_text() == "Hello!\n"
    await endpoint.assert_prompts(1)
    await endpoint.assert_outcomes(Outcome.COMPLETED, Outcome.CONTINUATION, Outcome.CONTINUATION)


async def call_tools_in_parallel(agent: Agent, endpoint: Endpoint) -> None:
    """Both calls of one answer are run and answered together, and the tokens are those that the provider counted."""
    plan = Plan([parallel(shell("echo one"), shell("echo two")), say("Both.")], usage=growing(1_000, by=500))
    endpoint.provider.always(plan.script())
    run = await agent.run("Say one and two")
    assert (run.code, run.text) == (0, "Both."), run.run.printed
    assert sorted(output for _, _, output in run.tools) == ["one\n", "two\n"]
    assert run.tokens == [(1_000, 20), (1_500, 20)]
    assert len(endpoint.provider.exchanges) == 2
    await endpoint.assert_prompts(1)


async def go_on_with_a_session(agent: Agent, endpoint: Endpoint) -> None:
    """A second prompt in the same session carries the first one's history; a title is a prompt of its own."""
    endpoint.provider.always(Plan([say("Noted.")]).script())
    first = await agent.run("My name is Ada", title=None)
    second = await agent.run("What is my name?", title=None, arguments=["--continue"])
    assert (first.text, second.text) == ("Noted.", "Noted."), second.run.printed
    body = endpoint.provider.exchanges[-1].request.body.decode()
    assert body.index("My name is Ada") < body.index("Noted.") < body.index("What is my name?")
    await endpoint.assert_prompts(3)


async def try_again_after_a_failure(agent: Agent, endpoint: Endpoint) -> None:
    """A provider that is away for a moment costs time, not prompts."""
    endpoint.provider.enqueue(scripts.http_error(503))
    endpoint.provider.always(Plan([say("Here.")]).script())
    run = await agent.run("Where are you?")
    assert (run.code, run.text) == (0, "Here."), run.run.printed
    await endpoint.assert_prompts(1)


async def see_a_stream_break(agent: Agent, endpoint: Endpoint) -> None:
    """What broke is tried again or told; it is never taken for an answer, and the provider is not named."""
    endpoint.provider.enqueue(faults.close_midway(events=5))
    endpoint.provider.always(Plan([say("Here.")]).script())
    run = await agent.run("Where are you?")
    assert run.text.endswith("Here.") or run.failure, run.run.printed
    assert "Zephyr" not in run.run.printed


async def compact_what_is_too_long(agent: Agent, endpoint: Endpoint) -> None:
    """The code of a context that is too long makes it ask for a summary and go on from there by itself."""
    plan = Plan([shell("echo one"), say("One it is.")])
    endpoint.provider.enqueue(plan.script(), scripts.http_error(400))
    endpoint.provider.always(plan.script())
    run = await agent.run("Say one")
    assert run.text.endswith("One it is."), run.run.printed
    assert "Scripted summary" in endpoint.provider.exchanges[3].request.body.decode()
    assert "Zephyr" not in run.run.printed


async def hear_that_the_request_is_refused(agent: Agent, endpoint: Endpoint) -> None:
    """A request that the model will not take is told in our words, at once."""
    endpoint.provider.always(scripts.http_error(422))
    run = await agent.run("Hello?")
    assert run.failure, run.run.printed
    assert "Zephyr" not in run.run.printed
    await endpoint.assert_prompts(0)
