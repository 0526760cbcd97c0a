"""The examination: which calls are made, in which order, and when it makes no sense to go on.

    async for finding in examine(base_url, token, alias="smart-route"):
        ...

One turn per format: its first answer shows the stream and the tool call, its second the continuation. So it costs two
prompts at most, and what ends early costs less.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from gateway.portal.doctor.answers import Answer, Heard, NoAnswer
from gateway.portal.doctor.calls import Calls, calling
from gateway.portal.doctor.chat import CHAT
from gateway.portal.doctor.dialogue import Format
from gateway.portal.doctor.findings import Check, Code, Finding, Verdict, found
from gateway.portal.doctor.judging import (
    judge_alias,
    judge_continuation,
    judge_models,
    judge_receipts,
    judge_stream,
    judge_token,
    judge_tool,
    judge_usage,
    listen,
    receipt_path,
)
from gateway.portal.doctor.responses import RESPONSES

FORMATS = (CHAT, RESPONSES)
# What it may cost: one prompt per format, since the results of tools ride on it.
PROMPTS = len(FORMATS)
DEADLINE_SECONDS = 60.0

# After these nothing can succeed that needs the token, or nothing that needs a prompt.
_ENDS_ALL = {Code.TOKEN_REFUSED, Code.ACCOUNT_SUSPENDED, Code.UNREACHABLE, Code.NOT_OURS}
_ENDS_PROMPTS = {Code.USAGE_SPENT, Code.ALIAS_UNKNOWN, Code.QUOTA_SPENT, Code.SCOPE_MISSING}
_WITHOUT_TOOLS = ("unsupported_value", "unsupported_parameter")
_REASONS = {
    Code.TOKEN_REFUSED: "the token is not accepted",
    Code.ACCOUNT_SUSPENDED: "the account is suspended",
    Code.UNREACHABLE: "the endpoint does not answer",
    Code.NOT_OURS: "something else answers",
    Code.USAGE_SPENT: "no prompts are left",
    Code.QUOTA_SPENT: "no prompts are left",
    Code.ALIAS_UNKNOWN: "there is no such alias",
    Code.SCOPE_MISSING: "the token may not send prompts",
}


async def examine(
    base_url: str, token: str, *, alias: str, deadline_seconds: float = DEADLINE_SECONDS
) -> AsyncGenerator[Finding, None]:
    """A finding for every check, in order, each as soon as it is known. Closing it cancels the call that runs."""
    first = judge_token(token)
    yield first
    if first.verdict is Verdict.FAILURE:
        for check in list(Check)[1:]:
            yield found(check, Code.SKIPPED, reason="the token was not sent anywhere")
        return
    async with calling(base_url, token, seconds=deadline_seconds) as calls:
        examination = _Examination(calls, alias, deadline_seconds)
        async for finding in examination.run():
            yield finding


@dataclass(slots=True)
class _Examination:
    """One run after the look at the token. `ended_by` and `no_prompts_by` are what makes further calls useless."""

    calls: Calls
    alias: str
    deadline_seconds: float
    aliases: dict[str, bool | None] = field(default_factory=dict)
    admitted: list[Answer] = field(default_factory=list)
    ended_by: Code | None = None
    no_prompts_by: Code | None = None

    async def run(self) -> AsyncIterator[Finding]:
        async for finding in self._reading():
            yield self._noted(finding)
        for format in FORMATS:
            async for finding in self._turn(format):
                yield self._noted(finding)
        yield await self._receipts()

    def _noted(self, finding: Finding) -> Finding:
        if finding.code in _ENDS_ALL:
            self.ended_by = finding.code
        if finding.code in _ENDS_PROMPTS:
            self.no_prompts_by = finding.code
        return finding

    def _hindrance(self, check: Check, *, is_prompt: bool) -> Finding | None:
        """Why this check is not made; None: it is."""
        cause = self.ended_by or (self.no_prompts_by if is_prompt else None)
        if cause is not None:
            return found(check, Code.SKIPPED, reason=_REASONS[cause])
        if self.calls.left_seconds <= 0:
            return found(check, Code.OUT_OF_TIME, limit=f"{self.deadline_seconds:g}")
        return None

    async def _reading(self) -> AsyncIterator[Finding]:
        """What costs nothing and comes first: models, usage, alias."""
        finding, self.aliases = judge_models(await self.calls.read("/models"))
        yield finding
        usage: Answer | NoAnswer = NoAnswer("unreachable")
        if (hindrance := self._hindrance(Check.USAGE, is_prompt=False)) is not None:
            yield hindrance
        else:
            usage = await self.calls.read("/usage")
            yield judge_usage(usage, needed=PROMPTS)
        if (hindrance := self._hindrance(Check.ALIAS, is_prompt=False)) is not None:
            yield hindrance
        elif not self.aliases:
            yield found(Check.ALIAS, Code.SKIPPED, reason="the aliases could not be read")
        else:
            yield judge_alias(self.alias, list(self.aliases), usage)

    async def _turn(self, format: Format) -> AsyncIterator[Finding]:
        """One prompt: question, tool call, result, answer."""
        if (hindrance := self._hindrance(format.stream, is_prompt=True)) is not None:
            yield hindrance
            for check in (format.tool, format.continuation):
                yield found(check, Code.SKIPPED, reason="there is no answer to look at")
            return
        answer, heard, takes_tools = await self._open(format)
        streamed = judge_stream(format.stream, answer, heard, aliases=", ".join(self.aliases))
        yield streamed
        if streamed.verdict is Verdict.FAILURE or isinstance(answer, NoAnswer):
            for check in (format.tool, format.continuation):
                yield found(check, Code.SKIPPED, reason="there is no answer to look at")
            return
        called = judge_tool(format.tool, heard) if takes_tools else found(format.tool, Code.TOOLS_NOT_TAKEN)
        yield called
        if called.code is not Code.TOOL_CALLED:
            yield found(format.continuation, Code.SKIPPED, reason="there is no tool call to answer")
            return
        yield await self._go_on(format, answer, heard)

    async def _open(self, format: Format) -> tuple[Answer | NoAnswer, Heard, bool]:
        """The first answer of a turn, and whether tools were offered with it: without them where none are taken."""
        if self.aliases.get(self.alias) is not False:
            answer, heard = await self._say(format, format.ask(self.alias))
            if isinstance(answer, NoAnswer) or answer.status != 400 or answer.error not in _WITHOUT_TOOLS:
                return answer, heard, True
        answer, heard = await self._say(format, format.ask_plainly(self.alias))
        return answer, heard, False

    async def _go_on(self, format: Format, opener: Answer, heard: Heard) -> Finding:
        if (hindrance := self._hindrance(format.continuation, is_prompt=False)) is not None:
            return hindrance
        answer, said = await self._say(format, format.go_on(self.alias, heard))
        return judge_continuation(format.continuation, opener, answer, said, aliases=", ".join(self.aliases))

    async def _say(self, format: Format, body: dict[str, object]) -> tuple[Answer | NoAnswer, Heard]:
        answer = await self.calls.stream(format.path, body)
        if isinstance(answer, NoAnswer):
            return answer, Heard()
        if answer.turn is not None:
            self.admitted.append(answer)
        return answer, listen(format, answer)

    async def _receipts(self) -> Finding:
        if (hindrance := self._hindrance(Check.RECEIPTS, is_prompt=False)) is not None:
            return hindrance
        if not self.admitted:
            return found(Check.RECEIPTS, Code.SKIPPED, reason="no request was admitted that would have one")
        receipts: list[tuple[Answer, Answer | NoAnswer]] = []
        for request in self.admitted:
            receipt = await self.calls.read(receipt_path(request))
            receipts.append((request, receipt))
            if isinstance(receipt, NoAnswer) or receipt.status != 200:
                break
        return judge_receipts(receipts)
