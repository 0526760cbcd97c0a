"""Plans drive an agent through its turn in every format: the next step is read from the conversation alone."""

import json
from typing import Any

import pytest

from devstack.provider import Plan, Provider, Usage
from devstack.provider.agent import (
    NO_TOOL,
    Step,
    apply_patch,
    by_prompt,
    call,
    growing,
    parallel,
    say,
    shell,
    write_file,
)
from devstack.provider.conversation import results_so_far
from devstack.provider.http import Request
from tests.unit.devstack_provider.callers import PATHS, Json, ask, events, sdk

FORMATS = ["chat", "responses", "anthropic"]
PATCH = "*** Begin Patch\n*** End Patch"


def schema(*required: str, **properties: object) -> Json:
    given = {name: {"type": "string"} for name in required} | properties
    return {"type": "object", "properties": given, "required": list(required)}


BASH: Json = {"name": "bash", "parameters": schema("command", "description")}
WRITE: Json = {"name": "write", "parameters": schema("filePath", "content")}
FLAT: Json = {"name": "mcp__docs__search", "parameters": schema("query")}
EXEC: Json = {"type": "function", "name": "exec_command", "parameters": schema("cmd", yield_time_ms={"type": "number"})}
WORDS = {"type": "function", "name": "shell", "parameters": schema(command={"type": "array"})}
SPACE = {"type": "namespace", "name": "mcp__docs", "tools": [{"type": "function", "name": "search"}]}
FREEFORM = {"type": "custom", "name": "apply_patch"}


def declared(wire: str, *functions: Json) -> list[Json]:
    """These functions as the tools of a format."""
    if wire == "chat":
        return [{"type": "function", "function": function} for function in functions]
    if wire == "responses":
        return [{"type": "function", **function} for function in functions]
    return [{"name": function["name"], "input_schema": function["parameters"]} for function in functions]


class Agent:
    """A client that runs no tool but answers every call, and keeps the conversation in its format."""

    def __init__(self, provider: Provider, wire: str, tools: list[Json]) -> None:
        self.provider, self.wire, self.tools = provider, wire, tools
        self.said: list[Json] = []
        self.calls: list[tuple[str, Any]] = []

    async def run(self, prompt: str) -> str:
        """The final answer to a prompt."""
        self.said.append({"role": "user", "content": prompt})
        return await self.go_on()

    async def go_on(self) -> str:
        """The final answer, from where the conversation is."""
        for _ in range(20):
            text, calls = await self.step()
            if not calls:
                return text
        raise AssertionError("the plan does not end")

    async def ask(self, **fields: object) -> Json:
        """One request with the whole conversation."""
        field = "input" if self.wire == "responses" else "messages"
        response = await ask(self.provider, self.wire, **{field: self.said, "tools": self.tools, **fields})
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    async def step(self) -> tuple[str, int]:
        """One answer: its words, and how many calls it made, which are answered."""
        answer = await self.ask()
        if self.wire == "chat":
            message = answer["choices"][0]["message"]
            called = [(each["id"], each["function"]) for each in message.get("tool_calls", [])]
            self.calls += [(each["name"], json.loads(each["arguments"])) for _, each in called]
            self.said += [message, *({"role": "tool", "tool_call_id": own, "content": "r"} for own, _ in called)]
            return message["content"] or "", len(called)
        if self.wire == "anthropic":
            used = [block for block in answer["content"] if block["type"] == "tool_use"]
            self.calls += [(block["name"], block["input"]) for block in used]
            results = [{"type": "tool_result", "tool_use_id": block["id"], "content": "r"} for block in used]
            self.said += [{"role": "assistant", "content": answer["content"]}]
            self.said += [{"role": "user", "content": results}] if results else []
            return "".join(block.get("text", "") for block in answer["content"]), len(used)
        outputs = [item for item in answer["output"] if item["type"].endswith("_call")]
        for item in outputs:
            name = "__".join(part for part in (item.get("namespace"), item.get("name") or item["type"]) if part)
            self.calls.append((name, item.get("input") or item.get("action") or json.loads(item["arguments"])))
        results = [{"type": f"{i['type']}_output", "call_id": i["call_id"], "output": "r"} for i in outputs]
        self.said += [*answer["output"], *results]
        parts = [part for item in answer["output"] if item["type"] == "message" for part in item["content"]]
        return "".join(part["text"] for part in parts), len(outputs)


@pytest.mark.parametrize("wire", FORMATS)
async def test_a_plan_goes_step_by_step_through_a_turn_and_begins_anew_with_every_prompt(wire: str) -> None:
    steps = [shell("pwd", text="I look."), parallel(shell("ls"), call(FLAT["name"], {"query": "q"})), say("Done.")]
    plan = Plan(steps, reasoning="Hm.", reasoning_state="opaque")
    async with Provider(default=plan.script(), strict=True) as provider:
        agent = Agent(provider, wire, declared(wire, BASH, FLAT))
        assert [await agent.run("Go."), await agent.run("Again.")] == ["Done.", "Done."]
    turn = [
        ("bash", {"command": "pwd", "description": "Scripted step"}),
        ("bash", {"command": "ls", "description": "Scripted step"}),
        ("mcp__docs__search", {"query": "q"}),
    ]
    assert agent.calls == turn * 2
    assert provider.complaints == []
    assert len(provider.exchanges) == 6


async def test_the_sdk_sees_the_words_and_the_calls_of_a_step_in_a_stream() -> None:
    plan = Plan([shell("pwd", text="I look."), say("Done.")])
    tool: Any = EXEC
    async with (
        Provider(default=plan.script()) as provider,
        sdk(provider) as api,
        api.responses.stream(model="m", input="Go.", tools=[tool]) as stream,
    ):
        final = await stream.get_final_response()
    assert (final.output_text, final.output[1].type) == ("I look.", "function_call")


@pytest.mark.parametrize(
    ("step", "tools", "called"),
    [
        (shell("ls"), [EXEC], ("exec_command", {"cmd": "ls"})),
        (shell("ls"), [WORDS], ("shell", {"command": ["bash", "-lc", "ls"]})),
        (shell("ls"), [{"type": "local_shell"}], ("local_shell_call", {"command": ["bash", "-lc", "ls"]})),
        (shell("ls"), [{"type": "shell"}], ("shell_call", {"commands": ["ls"]})),
        (write_file("a", "b c"), [EXEC], ("exec_command", {"cmd": "printf %s 'b c' > a"})),
        (apply_patch(PATCH), [EXEC, FREEFORM], ("apply_patch", PATCH)),
        (apply_patch(PATCH), [EXEC], ("exec_command", {"cmd": f"apply_patch <<'EOF'\n{PATCH}\nEOF"})),
        (call("mcp__docs__search", {"query": "q"}), [EXEC, SPACE], ("mcp__docs__search", {"query": "q"})),
        (call("search", '{"raw": 1}'), [SPACE], ("mcp__docs__search", {"raw": 1})),
    ],
)
async def test_a_step_takes_the_tool_that_responses_offers(step: Step, tools: list[Json], called: Any) -> None:
    async with Provider(default=Plan([step, say("Done.")]).script(), strict=True) as provider:
        agent = Agent(provider, "responses", tools)
        assert await agent.run("Go.") == "Done."
    ((name, given),) = agent.calls
    if name.endswith("shell_call"):
        given = {field: given[field] for field in called[1]}
    assert (name, given) == called
    assert provider.complaints == []


@pytest.mark.parametrize("wire", FORMATS)
async def test_files_are_written_and_patched_by_functions_where_these_are_offered(wire: str) -> None:
    patcher = {"name": "apply_patch", "parameters": schema("patchText")}
    plan = Plan([write_file("a.txt", "x"), apply_patch(PATCH), say("Done.")])
    async with Provider(default=plan.script(), strict=True) as provider:
        agent = Agent(provider, wire, declared(wire, BASH, WRITE, patcher))
        await agent.run("Go.")
    assert agent.calls == [("write", {"filePath": "a.txt", "content": "x"}), ("apply_patch", {"patchText": PATCH})]


async def test_a_freeform_tool_of_chat_completions_gets_its_text() -> None:
    tool = {"type": "custom", "custom": {"name": "apply_patch"}}
    async with Provider(default=Plan([apply_patch(PATCH)]).script()) as provider:
        whole = (await ask(provider, "chat", tools=[tool])).json()["choices"][0]["message"]["tool_calls"][0]
        streamed = events(await ask(provider, "chat", tools=[tool], stream=True))
    assert whole["custom"] == {"name": "apply_patch", "input": PATCH}
    deltas = [call for event in streamed for call in event["choices"][0]["delta"].get("tool_calls", [])]
    assert "".join(delta["custom"]["input"] for delta in deltas) == PATCH


async def test_a_step_without_its_tool_says_so() -> None:
    async with Provider(default=Plan([parallel(shell("ls"), call("nowhere"))]).script()) as provider:
        text = (await ask(provider, "chat", tools=declared("chat", BASH))).json()["choices"][0]["message"]["content"]
    assert text.startswith(NO_TOOL)
    assert "call nowhere" in text
    assert "bash" in text


@pytest.mark.parametrize("wire", FORMATS)
async def test_a_request_that_forbids_calls_offers_nothing_whatever_it_declares(wire: str) -> None:
    choice: object = {"type": "none"} if wire == "anthropic" else "none"
    async with Provider(default=Plan([shell("ls"), say("Done.")]).script()) as provider:
        answer = await ask(provider, wire, tools=declared(wire, BASH), tool_choice=choice)
    assert "Scripted summary (0 tool results so far)." in answer.text


@pytest.mark.parametrize("wire", list(PATHS))
async def test_a_request_without_tools_gets_a_short_text_and_takes_no_step(wire: str) -> None:
    async with Provider(default=Plan([shell("pwd"), say("Done.")]).script()) as provider:
        assert "Scripted summary (0 tool results so far)." in (await ask(provider, wire)).text
    async with Provider(default=Plan([say("Just words.")]).script()) as provider:
        assert "Just words." in (await ask(provider, wire)).text


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize("is_prompt", [True, False])
async def test_a_compacted_conversation_goes_on_at_its_step(wire: str, is_prompt: bool) -> None:
    plan = Plan([shell("one"), shell("two"), shell("three"), say("Done.")], usage=growing(100, by=1_000))
    async with Provider(default=plan.script()) as provider:
        agent = Agent(provider, wire, declared(wire, BASH))
        agent.said.append({"role": "user", "content": "Go."})
        for _ in range(2):
            await agent.step()
        agent.said.append({"role": "user", "content": "Sum up."})
        summary = json.dumps(await agent.ask(tools=[]))
        assert "(2 tool results so far)" in summary
        note = "Another model began this. Scripted summary (2 tool results so far)."
        agent.said = [{"role": "user", "content": "Go."}]
        if is_prompt:  # as Codex does it
            assert await agent.run(note) == "Done."
        else:  # as opencode does it
            agent.said.append({"role": "assistant", "content": note})
            assert await agent.run("Continue.") == "Done."
    assert [arguments["command"] for _, arguments in agent.calls] == ["one", "two", "three"]


async def test_a_compaction_by_item_is_one_item_that_tells_where_to_go_on() -> None:
    plan = Plan([shell("one"), shell("two"), say("Done.")])
    async with Provider(default=plan.script(), strict=True) as provider:
        agent = Agent(provider, "responses", [EXEC])
        agent.said.append({"role": "user", "content": "Go."})
        await agent.step()
        agent.said.append({"type": "compaction_trigger"})
        (item,) = (await agent.ask())["output"]
        assert item["type"] == "compaction"
        agent.said = [{"role": "user", "content": "Go."}, item]
        assert await agent.step() == ("", 1)
        assert await agent.step() == ("Done.", 0)
    assert provider.complaints == []
    assert agent.calls == [("exec_command", {"cmd": "one"}), ("exec_command", {"cmd": "two"})]


async def test_usage_grows_as_the_plan_says() -> None:
    plan = Plan([shell("a"), shell("b"), say("c")], usage=growing(1_000, by=500))
    async with Provider(default=plan.script()) as provider:
        agent = Agent(provider, "responses", [EXEC])
        agent.said.append({"role": "user", "content": "Go."})
        counted = []
        for _ in range(3):
            counted.append((await agent.ask())["usage"]["input_tokens"])
            await agent.step()
    assert counted == [1_000, 1_500, 2_000]
    assert plan.usage(2) == Usage(2_000, 20, 2_020)


async def test_a_plan_can_be_chosen_by_words_of_the_prompt() -> None:
    script = by_prompt({"rename": Plan([say("Renamed.")])}, default=Plan([say("Something else.")]))
    async with Provider(default=script) as provider:
        agent = Agent(provider, "chat", declared("chat", BASH))
        assert [await agent.run("Please rename it."), await agent.run("Now?")] == ["Renamed.", "Something else."]


def test_results_are_counted_since_the_last_real_prompt() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    messages: list[Json] = [
        {"role": "user", "content": "first"},
        {"role": "tool", "content": "old"},
        {"role": "user", "content": "second"},
        {"role": "assistant", "content": "x"},
        {"role": "tool", "content": "r"},
        {"role": "user", "content": [image]},
        {"role": "tool", "content": "r"},
    ]
    assert results_so_far(_request("chat", messages=messages)) == 2
    blocks = [{"type": "tool_result", "content": "r"}, {"type": "text", "text": "a reminder"}]
    anthropic = [{"role": "user", "content": "go"}, {"role": "user", "content": blocks}]
    assert results_so_far(_request("anthropic", messages=anthropic)) == 1
    items = [{"role": "user", "content": "go"}, {"type": "custom_tool_call_output"}, {"type": "function_call_output"}]
    assert results_so_far(_request("responses", input=items)) == 2
    assert results_so_far(_request("completions", prompt="go")) == 0


def _request(wire: str, **fields: object) -> Request:
    return Request("POST", f"/v1/{PATHS[wire]}", {}, json.dumps(fields).encode())
