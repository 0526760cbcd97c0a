"""Plays a model that drives a coding agent, in every format: what comes next is read from the request alone.

    plan = Plan([
        shell("pwd"),                                        # whichever shell the request offers
        parallel(shell("ls"), call("mcp__docs__search", {"query": "wire"})),
        write_file("hello.txt", "hello\\n"),                  # a write tool, else the shell
        apply_patch("*** Begin Patch\\n…"),                   # free text, function, else the shell
        say("All done."),
    ])
    Provider(default=plan.script(), strict=True)

The tool results since the last real prompt of the user say which step is next; every new prompt begins at the first
step. A request that offers no tools (a title, a compaction) gets a short text, unless the plan calls none. A step that
finds no tool to call says so in the answer (`NO_TOOL`), for a test to see.

    Plan(steps, *, usage=growing(1_000, by=30_000), reasoning="Hm.", reasoning_state="opaque", interval_seconds=0.0)
    plan.usage(step)              # what is reported with the step of this index: how a compaction is provoked
    by_prompt({"rename": plan_a, "test": plan_b}, default=plan_c)       # a script that chooses by words of the prompt
    steps: shell(command), write_file(path, content), apply_patch(patch), call(name, arguments), say(text),
           parallel(step, step, …); all but say and parallel take `text=`, which is said before the call
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from devstack.provider.answers import Answer, ToolCall, Usage
from devstack.provider.conversation import (
    asks_for_compaction,
    last_prompt,
    progress_note,
    results_before_request,
    results_so_far,
)
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.offers import Offer, offer_named, offers
from devstack.provider.payload import JsonObject, object_at
from devstack.provider.script import Script, Steps
from devstack.provider.scripts import answer

NO_TOOL = "NO TOOL FITS"
# Names of tools that run a command and that write a file, the most particular first.
_SHELLS = ("exec_command", "shell_command", "local_shell", "shell", "bash", "Bash", "container.exec", "execute_command")
_WRITERS = ("write", "Write", "write_file", "create_file", "write_to_file")
_PATCHERS = ("apply_patch", "patch")
_COMMAND_FIELDS = ("cmd", "command", "commands", "input")
_PATH_FIELDS = ("filePath", "file_path", "path")
_CONTENT_FIELDS = ("content", "file_text", "text")
_PATCH_FIELDS = ("input", "patchText", "patch")

Choose = Callable[[Sequence[Offer]], ToolCall | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One answer of the model: its words, and the calls that it chooses among the offered tools."""

    name: str
    text: str | None = None
    chooses: tuple[Choose, ...] = ()

    def answer(self, offered: Sequence[Offer]) -> Answer:
        """What the model says."""
        calls = [choose(offered) for choose in self.chooses]
        found = tuple(call for call in calls if call is not None)
        if len(found) < len(calls):
            names = ", ".join(offer.flat for offer in offered)
            return Answer(text=f"{NO_TOOL} for {self.name} among: {names}")
        return Answer(text=self.text, tool_calls=found)


def growing(start: int, *, by: int) -> Callable[[int], Usage]:
    """Input tokens that grow with every step."""

    def usage(step: int) -> Usage:
        tokens = start + step * by
        return Usage(prompt_tokens=tokens, completion_tokens=20, total_tokens=tokens + 20)

    return usage


@dataclass(frozen=True)
class Plan:
    """What the model does in a turn, step by step. `reasoning_state` gets the number of its step appended."""

    steps: Sequence[Step]
    usage: Callable[[int], Usage] = lambda _: Usage()
    reasoning: str | None = None
    reasoning_state: str | None = None
    interval_seconds: float = 0.0

    def script(self) -> Script:
        """The plan as a script; `Provider(default=…)` or `provider.always(…)` plays it for every request."""

        def play(request: Request, identity: Identity) -> Steps:
            spoken = answer(like=self.answer(request), interval_seconds=self.interval_seconds)
            yield from spoken.play(request, identity)

        return Script("plan", play)

    def answer(self, request: Request) -> Answer:
        """What the model answers to this request."""
        if asks_for_compaction(request):
            return Answer(text=None, compaction=progress_note(results_so_far(request)), usage=self.usage(0))
        offered = offers(request)
        if not offered and any(step.chooses for step in self.steps):
            results = results_before_request(request)
            return Answer(text=progress_note(results), usage=self.usage(0))
        place = self.place(results_so_far(request))
        said = self.steps[place].answer(offered) if place < len(self.steps) else Answer(text="Nothing left to do.")
        state = None if self.reasoning_state is None else f"{self.reasoning_state}-{place}"
        return replace(said, usage=self.usage(place), reasoning=self.reasoning, reasoning_state=state)

    def place(self, results: int) -> int:
        """The index of the step that comes after so many tool results."""
        place = 0
        while place < len(self.steps) and results >= len(self.steps[place].chooses) > 0:
            results -= len(self.steps[place].chooses)
            place += 1
        return place


def by_prompt(plans: Mapping[str, Plan], *, default: Plan) -> Script:
    """The plan whose key is in the user's last prompt."""

    def play(request: Request, identity: Identity) -> Steps:
        prompt = last_prompt(request)
        chosen = next((plan for word, plan in plans.items() if word in prompt), default)
        yield from chosen.script().play(request, identity)

    return Script("by_prompt", play)


def say(text: str) -> Step:
    """The final answer."""
    return Step("say", text)


def shell(command: str, *, text: str | None = None) -> Step:
    """Runs a command with whichever shell is offered."""
    return Step("shell", text, (lambda offered: _shell_call(offered, command),))


def write_file(path: str, content: str, *, text: str | None = None) -> Step:
    """Writes a file, with a tool for it or by the shell."""

    def choose(offered: Sequence[Offer]) -> ToolCall | None:
        offer = _first(offered, _WRITERS)
        if offer is None:
            return _shell_call(offered, f"printf %s {shlex.quote(content)} > {shlex.quote(path)}")
        arguments: JsonObject = {_field(offer, _PATH_FIELDS): path, _field(offer, _CONTENT_FIELDS): content}
        return _call(offer, _completed(offer, arguments))

    return Step("write_file", text, (choose,))


def apply_patch(patch: str, *, text: str | None = None) -> Step:
    """Applies a patch: as free text where the tool takes that, as a function's argument, or by the shell."""

    def choose(offered: Sequence[Offer]) -> ToolCall | None:
        offer = _first(offered, _PATCHERS)
        if offer is None:
            return _shell_call(offered, f"apply_patch <<'EOF'\n{patch.rstrip()}\nEOF")
        if offer.kind == "custom":
            return ToolCall(offer.name, patch, namespace=offer.namespace)
        return _call(offer, _completed(offer, {_field(offer, _PATCH_FIELDS): patch}))

    return Step("apply_patch", text, (choose,))


def call(name: str, arguments: Mapping[str, object] | str | None = None, *, text: str | None = None) -> Step:
    """Calls the tool of this name, also by its flat name (`mcp__server__tool`); a string is sent as it is."""

    def choose(offered: Sequence[Offer]) -> ToolCall | None:
        offer = offer_named(offered, name)
        if offer is None:
            return None
        if isinstance(arguments, str):
            return ToolCall(offer.name, arguments, namespace=offer.namespace)
        return _call(offer, dict(arguments or {}))

    return Step(f"call {name}", text, (choose,))


def parallel(*steps: Step, text: str | None = None) -> Step:
    """The calls of these steps in one answer."""
    chooses = tuple(choose for step in steps for choose in step.chooses)
    return Step("+".join(step.name for step in steps), text, chooses)


def _shell_call(offered: Sequence[Offer], command: str) -> ToolCall | None:
    offer = _first(offered, _SHELLS)
    if offer is None:
        return None
    if offer.kind in ("local_shell", "shell"):
        return ToolCall(offer.name, json.dumps({"command": command}), namespace=offer.namespace)
    if offer.kind == "custom":
        return ToolCall(offer.name, command, namespace=offer.namespace)
    name = _field(offer, _COMMAND_FIELDS)
    takes_words = object_at(offer.properties, name).get("type") == "array"
    value: object = ["bash", "-lc", command] if takes_words else command
    return _call(offer, _completed(offer, {name: value}))


def _first(offered: Sequence[Offer], names: Sequence[str]) -> Offer | None:
    found = (offer_named(offered, name) for name in names)
    return next((offer for offer in found if offer is not None), None)


def _field(offer: Offer, names: Sequence[str]) -> str:
    """The first of these that the tool's schema knows; the first of all when it knows none."""
    return next((name for name in names if name in offer.properties), names[0])


def _completed(offer: Offer, arguments: JsonObject) -> JsonObject:
    """With a word for every required string that is missing (`description` and the like)."""
    missing = [
        name
        for name in offer.required
        if name not in arguments and object_at(offer.properties, name).get("type") == "string"
    ]
    return {**arguments, **dict.fromkeys(missing, "Scripted step")}


def _call(offer: Offer, arguments: JsonObject) -> ToolCall:
    return ToolCall(offer.name, json.dumps(arguments, ensure_ascii=False), namespace=offer.namespace)
