"""What the doctor looks at, and everything that it can find: a closed catalogue of what is so and what to do about it.

No text of a provider, no token and no answer of a model is ever part of a finding.
"""

from dataclasses import dataclass
from enum import StrEnum, auto


class Check(StrEnum):
    """What is looked at, in this order. The value names it in the page."""

    TOKEN = "token"
    MODELS = "models"
    USAGE = "usage"
    ALIAS = "alias"
    CHAT_STREAM = "chat-stream"
    CHAT_TOOL = "chat-tool"
    CHAT_CONTINUATION = "chat-continuation"
    RESPONSES_STREAM = "responses-stream"
    RESPONSES_TOOL = "responses-tool"
    RESPONSES_CONTINUATION = "responses-continuation"
    RECEIPTS = "receipts"

    @property
    def heading(self) -> str:
        return _HEADINGS[self]


_HEADINGS = {
    Check.TOKEN: "The token as text",
    Check.MODELS: "The token is accepted, models are listed",
    Check.USAGE: "Prompts are left",
    Check.ALIAS: "The alias and what is served",
    Check.CHAT_STREAM: "Chat completions: a streamed answer",
    Check.CHAT_TOOL: "Chat completions: a tool call",
    Check.CHAT_CONTINUATION: "Chat completions: the result of the tool",
    Check.RESPONSES_STREAM: "Responses: a streamed answer",
    Check.RESPONSES_TOOL: "Responses: a tool call",
    Check.RESPONSES_CONTINUATION: "Responses: the result of the tool",
    Check.RECEIPTS: "Receipts",
}


class Verdict(StrEnum):
    """How good it is. A warning does not stop a plain client, and may stop an agent."""

    GOOD = "good"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


class Code(StrEnum):
    """Everything that can be found."""

    TOKEN_WELL_FORMED = auto()
    TOKEN_MISSING = auto()
    TOKEN_FOREIGN = auto()
    TOKEN_MISTYPED = auto()
    TOKEN_REFUSED = auto()
    ACCOUNT_SUSPENDED = auto()
    SCOPE_MISSING = auto()
    UNREACHABLE = auto()
    TOO_SLOW = auto()
    NOT_OURS = auto()
    SERVICE_AWAY = auto()
    SERVICE_FAILED = auto()
    REQUEST_REFUSED = auto()
    MODELS_LISTED = auto()
    USAGE_AMPLE = auto()
    USAGE_UNLIMITED = auto()
    USAGE_SHORT = auto()
    USAGE_SPENT = auto()
    USAGE_HIDDEN = auto()
    ALIAS_SERVED = auto()
    ALIAS_LOWERED = auto()
    ALIAS_LISTED = auto()
    ALIAS_UNKNOWN = auto()
    STREAMED = auto()
    STREAM_BROKEN = auto()
    STREAM_EMPTY = auto()
    STREAM_MALFORMED = auto()
    STREAM_WITHOUT_USAGE = auto()
    NOT_STREAMED = auto()
    QUOTA_SPENT = auto()
    SPEED_EXCEEDED = auto()
    MODEL_AWAY = auto()
    TOOL_CALLED = auto()
    TOOL_IGNORED = auto()
    TOOL_MALFORMED = auto()
    TOOLS_NOT_TAKEN = auto()
    CONTINUATION_FREE = auto()
    CONTINUATION_CHARGED = auto()
    RECEIPTS_READ = auto()
    RECEIPTS_HIDDEN = auto()
    RECEIPT_MISSING = auto()
    RECEIPT_CONTRADICTS = auto()
    SKIPPED = auto()
    OUT_OF_TIME = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding before its facts are filled in. `remedy` is what the reader can do; none where all is well."""

    verdict: Verdict
    says: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One result. `seconds` is how long the call took that it comes from; None: it took none."""

    check: Check
    code: Code
    verdict: Verdict
    says: str
    remedy: str | None
    seconds: float | None = None


def found(check: Check, code: Code, *, seconds: float | None = None, **facts: object) -> Finding:
    """The finding of that code, with its facts."""
    entry = CATALOGUE[code]
    remedy = entry.remedy.format(**facts) if entry.remedy is not None else None
    return Finding(check, code, entry.verdict, entry.says.format(**facts), remedy, seconds)


CATALOGUE: dict[Code, Entry] = {
    Code.TOKEN_WELL_FORMED: Entry(Verdict.GOOD, "Its prefix, length and checksum are right."),
    Code.TOKEN_MISSING: Entry(
        Verdict.FAILURE,
        "There is no token.",
        "Paste a service token. In a client, look whether the environment variable SMARTROUTE_TOKEN is set where the "
        "client runs: an editor that was started from a menu does not read the profile of your shell.",
    ),
    Code.TOKEN_FOREIGN: Entry(
        Verdict.FAILURE,
        "This is no service token of Smart Route: those begin with sr_live_. It was not sent anywhere.",
        "Create a token on the page Tokens and copy it from there. A key of another provider does not work here.",
    ),
    Code.TOKEN_MISTYPED: Entry(
        Verdict.FAILURE,
        "It looks like a service token, but a part of it is missing, doubled or mistyped: its checksum is wrong. It "
        "was not sent anywhere.",
        "Copy the whole token again, without quotes, spaces or line breaks. If you no longer have it, rotate it on the "
        "page Tokens: it is shown once.",
    ),
    Code.TOKEN_REFUSED: Entry(
        Verdict.FAILURE,
        "The endpoint does not accept it: it is unknown, expired or revoked.",
        "Look at it on the page Tokens. If it has ended, create another one and set SMARTROUTE_TOKEN again.",
    ),
    Code.ACCOUNT_SUSPENDED: Entry(
        Verdict.FAILURE,
        "The account of this token is suspended, so no token of it is admitted. Nothing is charged.",
        "Contact support; a new token will not help.",
    ),
    Code.SCOPE_MISSING: Entry(
        Verdict.FAILURE,
        "The token lacks the scope {scope}, so it may not send prompts.",
        "Create a token with the scope {scope} and use that one.",
    ),
    Code.UNREACHABLE: Entry(
        Verdict.FAILURE,
        "The endpoint did not answer at all.",
        "This check runs beside the endpoint, so the fault is on our side. Try again in a minute, then contact "
        "support.",
    ),
    Code.TOO_SLOW: Entry(
        Verdict.FAILURE,
        "There was no complete answer within {limit} s, and the request was given up.",
        "Try again. If it stays so, choose another alias: the models behind this one may be overloaded.",
    ),
    Code.NOT_OURS: Entry(
        Verdict.FAILURE,
        "Something answered with status {status}, but not in the words of Smart Route.",
        "Something between may have answered, such as a proxy. Contact support and name the time.",
    ),
    Code.SERVICE_AWAY: Entry(
        Verdict.FAILURE,
        "A part of Smart Route is away for the moment (status {status}). Nothing was charged.",
        "Try again in a minute. Clients do so by themselves.",
    ),
    Code.SERVICE_FAILED: Entry(
        Verdict.FAILURE,
        "Smart Route failed (status {status}). Nothing was charged.",
        "Try again. If it stays so, contact support and name the request {request_id}.",
    ),
    Code.REQUEST_REFUSED: Entry(
        Verdict.FAILURE,
        "The request was refused with status {status} and the code {error}.",
        "Look the code up in the documentation of errors. If a client shows it too, contact support and name the "
        "request {request_id}.",
    ),
    Code.MODELS_LISTED: Entry(Verdict.GOOD, "It is accepted, and {count} aliases are listed."),
    Code.USAGE_AMPLE: Entry(Verdict.GOOD, "{daily} are left today and {monthly} this month, on the plan {plan}."),
    Code.USAGE_UNLIMITED: Entry(Verdict.GOOD, "The plan {plan} has no limit of prompts."),
    Code.USAGE_SHORT: Entry(
        Verdict.WARNING,
        "Only {left} of the {needed} prompts are left that this check uses, until {resets}. It goes on as far as it "
        "can.",
        "Wait for the reset, or look at the page Plans for a larger one.",
    ),
    Code.USAGE_SPENT: Entry(
        Verdict.FAILURE,
        "The prompts of the {window} are spent. There are new ones at {resets}.",
        "Wait for the reset, or look at the page Plans for a larger one. Until then every prompt is refused with "
        "status 429; open turns of agents still end.",
    ),
    Code.USAGE_HIDDEN: Entry(
        Verdict.WARNING,
        "The token lacks the scope usage:read, so it cannot see what is left. Prompts are not affected.",
        "Create a token with that scope if you want to read usage and receipts with it.",
    ),
    Code.ALIAS_SERVED: Entry(Verdict.GOOD, "{alias} is what your plan serves when you ask for it."),
    Code.ALIAS_LOWERED: Entry(
        Verdict.WARNING,
        "You asked for {alias}; the plan {plan} serves {effective} instead. That is no error, and answers name it.",
        "Write {effective} into your client, so that it shows what answers, or look at the page Plans.",
    ),
    Code.ALIAS_LISTED: Entry(Verdict.GOOD, "{alias} exists. What the plan serves for it could not be read."),
    Code.ALIAS_UNKNOWN: Entry(
        Verdict.FAILURE,
        "There is no alias of that name.",
        "Choose one of: {aliases}. Names are written in lower case.",
    ),
    Code.STREAMED: Entry(
        Verdict.GOOD,
        "The first words came after {first} s, then {events} events in order, the tokens ({tokens}) and the end.",
    ),
    Code.STREAM_BROKEN: Entry(
        Verdict.FAILURE,
        "The answer began and then broke off ({error}). Nothing was charged.",
        "Try again; clients do so by themselves. If it stays so, choose another alias and tell support.",
    ),
    Code.STREAM_EMPTY: Entry(
        Verdict.FAILURE,
        "The model finished without a word and without a tool call. Nothing was charged.",
        "Try again, or choose another alias.",
    ),
    Code.STREAM_MALFORMED: Entry(
        Verdict.FAILURE,
        "The stream is not as clients expect it: {fault}.",
        "That is a fault of ours. Contact support and name the request {request_id}.",
    ),
    Code.STREAM_WITHOUT_USAGE: Entry(
        Verdict.WARNING,
        "The answer is complete after {events} events, but tells no token counts.",
        "Agents that shorten their history by these counts may do so too late: set their context window by hand.",
    ),
    Code.NOT_STREAMED: Entry(
        Verdict.FAILURE,
        "A stream was asked for, and something else came.",
        "Something between may hold answers back, such as a proxy. Contact support and name the request {request_id}.",
    ),
    Code.QUOTA_SPENT: Entry(
        Verdict.FAILURE,
        "It was refused: the prompts of the plan are spent.",
        "Wait for the reset that the page Overview names, or look at the page Plans for a larger one.",
    ),
    Code.SPEED_EXCEEDED: Entry(
        Verdict.FAILURE,
        "It was refused: there are more requests at once or a minute than the plan allows. Prompts are left.",
        "Wait a moment and try again, or let fewer agents run at the same time.",
    ),
    Code.MODEL_AWAY: Entry(
        Verdict.FAILURE,
        "No model behind the alias could answer (status {status}). Nothing was charged.",
        "Try again in a minute, or choose another alias.",
    ),
    Code.TOOL_CALLED: Entry(Verdict.GOOD, "The model called the tool that it was offered, with usable arguments."),
    Code.TOOL_IGNORED: Entry(
        Verdict.WARNING,
        "This model did not call the tool; agents need one that does.",
        "Plain chat works. For agents choose another alias, or ask whoever runs this service which one can use tools.",
    ),
    Code.TOOL_MALFORMED: Entry(
        Verdict.FAILURE,
        "The model called a tool, but clients cannot run the call: {fault}.",
        "Try again. If it stays so, choose another alias for agents.",
    ),
    Code.TOOLS_NOT_TAKEN: Entry(
        Verdict.WARNING,
        "No model behind this alias takes tools; agents need one that does.",
        "Plain chat works. For agents choose another alias.",
    ),
    Code.CONTINUATION_FREE: Entry(
        Verdict.GOOD, "The result of the tool was taken on the same prompt (call {call} of at most {calls}), for free."
    ),
    Code.CONTINUATION_CHARGED: Entry(
        Verdict.FAILURE,
        "The result of the tool was answered, but opened a prompt of its own instead of going on with the first one.",
        "Contact support and name the request {request_id}. In a client of your own: send the ids of tool calls back "
        "exactly as they came.",
    ),
    Code.RECEIPTS_READ: Entry(Verdict.GOOD, "{count} receipts were read. By them this check cost {cost}."),
    Code.RECEIPTS_HIDDEN: Entry(
        Verdict.WARNING,
        "The token lacks the scope usage:read, so it cannot read receipts. Prompts are not affected.",
        "Create a token with that scope if you want to read usage and receipts with it.",
    ),
    Code.RECEIPT_MISSING: Entry(
        Verdict.FAILURE,
        "The receipt of the request {request_id} is not there yet.",
        "Look for it on the page Overview in a minute. If it is still missing, contact support.",
    ),
    Code.RECEIPT_CONTRADICTS: Entry(
        Verdict.FAILURE,
        "The receipt of the request {request_id} does not say that it continued a turn for free.",
        "Contact support and name that request.",
    ),
    Code.SKIPPED: Entry(Verdict.SKIPPED, "Not looked at: {reason}."),
    Code.OUT_OF_TIME: Entry(
        Verdict.WARNING, "Not looked at: the time of this check ({limit} s) was over.", "Run the check again."
    ),
}
