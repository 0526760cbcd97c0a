"""Judges answers: what a client would make of them. Pure; `examination` makes the calls."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from gateway import tokens
from gateway.auth import INFERENCE, USAGE_READ
from gateway.portal.doctor.answers import Answer, Heard, NoAnswer, ToolCall, parsed
from gateway.portal.doctor.dialogue import TOOL, Format
from gateway.portal.doctor.findings import Check, Code, Finding, found
from gateway.portal.doctor.refusals import refusal, shown_id, silence

Window = Literal["daily", "monthly"]
_WINDOW_NAMES: dict[Window, str] = {"daily": "day", "monthly": "month"}
MAX_CALL_ID = 40


def judge_token(token: str) -> Finding:
    """By its look alone: a token with a typing error is not sent anywhere."""
    if not token:
        return found(Check.TOKEN, Code.TOKEN_MISSING)
    if not token.startswith(tokens.PREFIX.decode()):
        return found(Check.TOKEN, Code.TOKEN_FOREIGN)
    if not token.isascii() or not tokens.is_well_formed(token.encode()):
        return found(Check.TOKEN, Code.TOKEN_MISTYPED)
    return found(Check.TOKEN, Code.TOKEN_WELL_FORMED)


def judge_models(answer: Answer | NoAnswer) -> tuple[Finding, dict[str, bool | None]]:
    """And the aliases in their order, each with whether it takes tools (None: not known)."""
    if isinstance(answer, NoAnswer):
        return silence(Check.MODELS, answer), {}
    listed = answer.json if answer.status == 200 else None
    models = listed.get("data") if listed is not None else None
    if not isinstance(models, list) or not models or not all(_is_model(model) for model in models):
        return refusal(Check.MODELS, answer, scope=INFERENCE, aliases=""), {}
    aliases = {model["id"]: (model.get("capabilities") or {}).get("tools") for model in models}
    return found(Check.MODELS, Code.MODELS_LISTED, seconds=answer.seconds, count=len(aliases)), aliases


def _is_model(model: object) -> bool:
    return isinstance(model, dict) and isinstance(model.get("id"), str)


def judge_usage(answer: Answer | NoAnswer, *, needed: int) -> Finding:
    """Whether the prompts that are left are enough for `needed` more."""
    if isinstance(answer, NoAnswer):
        return silence(Check.USAGE, answer)
    if answer.error == "insufficient_permissions":
        return found(Check.USAGE, Code.USAGE_HIDDEN, seconds=answer.seconds)
    usage = answer.json if answer.status == 200 else None
    if usage is None or not all(isinstance(usage.get(window), dict) for window in _WINDOW_NAMES):
        return refusal(Check.USAGE, answer, scope=USAGE_READ, aliases="")
    window = _binding(usage)
    if window is None:
        return found(Check.USAGE, Code.USAGE_UNLIMITED, seconds=answer.seconds, plan=usage["plan"])
    left, resets = usage[window]["remaining"], _shown_time(usage[window]["resets_at"])
    if left == 0:
        spent = _WINDOW_NAMES[window]
        return found(Check.USAGE, Code.USAGE_SPENT, seconds=answer.seconds, window=spent, resets=resets)
    if left < needed:
        return found(Check.USAGE, Code.USAGE_SHORT, seconds=answer.seconds, left=left, needed=needed, resets=resets)
    daily, monthly = (_shown_left(usage[each]) for each in _WINDOW_NAMES)
    return found(
        Check.USAGE, Code.USAGE_AMPLE, seconds=answer.seconds, daily=daily, monthly=monthly, plan=usage["plan"]
    )


def _binding(usage: dict[str, Any]) -> Window | None:
    """The window with the fewest prompts left; None: neither has a limit."""
    limited = [window for window in _WINDOW_NAMES if usage[window]["remaining"] is not None]
    return min(limited, key=lambda window: usage[window]["remaining"], default=None)


def _shown_left(window: dict[str, Any]) -> str:
    if window["remaining"] is None:
        return "prompts without a limit"
    return f"{window['remaining']:,} of {window['limit']:,} prompts"


def _shown_time(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return f"{moment:%H:%M} UTC on {moment.day} {moment:%B}"


def judge_alias(alias: str, aliases: Sequence[str], usage: Answer | NoAnswer) -> Finding:
    """What the plan serves for it: the lower of the asked one and the plan's own. `aliases` from the weakest on."""
    if alias not in aliases:
        return found(Check.ALIAS, Code.ALIAS_UNKNOWN, aliases=", ".join(aliases))
    told = usage.json if isinstance(usage, Answer) and usage.status == 200 else None
    own = told.get("alias") if told is not None else None
    if told is None or own not in aliases:
        return found(Check.ALIAS, Code.ALIAS_LISTED, alias=alias)
    effective = aliases[min(aliases.index(alias), aliases.index(own))]
    code = Code.ALIAS_SERVED if effective == alias else Code.ALIAS_LOWERED
    return found(Check.ALIAS, code, alias=alias, effective=effective, plan=told.get("plan"))


def listen(format: Format, answer: Answer) -> Heard:
    """What a stream said; one that cannot be made sense of is at fault."""
    try:
        return format.hear(answer.payloads)
    except (AttributeError, KeyError, TypeError, ValueError):
        return Heard(fault="an event has not the form that clients expect")


def judge_stream(check: Check, answer: Answer | NoAnswer, heard: Heard, *, aliases: str) -> Finding:
    """Whether a strict client would take this stream for a whole answer."""
    if isinstance(answer, NoAnswer):
        return silence(check, answer)
    if answer.status != 200:
        return refusal(check, answer, scope=INFERENCE, aliases=aliases)
    seconds, request_id = answer.seconds, shown_id(answer)
    if not answer.is_stream:
        return found(check, Code.NOT_STREAMED, seconds=seconds, request_id=request_id)
    if heard.fault is not None:
        return found(check, Code.STREAM_MALFORMED, seconds=seconds, fault=heard.fault, request_id=request_id)
    if heard.error is not None or answer.is_cut or not heard.is_complete:
        how = "with an error" if heard.error is not None else "without an end"
        return found(check, Code.STREAM_BROKEN, seconds=seconds, error=how)
    if not heard.text.strip() and not heard.calls:
        return found(check, Code.STREAM_EMPTY, seconds=seconds)
    events = len(answer.payloads)
    if heard.tokens is None:
        return found(check, Code.STREAM_WITHOUT_USAGE, seconds=seconds, events=events)
    tokens_told = f"{heard.tokens[0]:,} in, {heard.tokens[1]:,} out"
    first = f"{answer.first_seconds or 0.0:.2f}"
    return found(check, Code.STREAMED, seconds=seconds, first=first, events=events, tokens=tokens_told)


def judge_tool(check: Check, heard: Heard) -> Finding:
    """Whether a client can run what the model called."""
    if not heard.calls:
        return found(check, Code.TOOL_IGNORED)
    fault = next((fault for call in heard.calls if (fault := _fault_of(call)) is not None), None)
    if fault is not None:
        return found(check, Code.TOOL_MALFORMED, fault=fault)
    return found(check, Code.TOOL_CALLED)


def _fault_of(call: ToolCall) -> str | None:
    if call.name != TOOL:
        return "it names a tool that was not offered"
    if not call.call_id or len(call.call_id) > MAX_CALL_ID:
        return "it has no usable id"
    arguments = parsed(call.arguments.encode())
    if arguments is None:
        return "its arguments are no JSON object"
    if not isinstance(arguments.get("room"), str):
        return "a required argument is missing"
    return None


def judge_continuation(
    check: Check, opener: Answer, answer: Answer | NoAnswer, heard: Heard, *, aliases: str
) -> Finding:
    """Whether the results of tools were answered, and on the prompt that their call was made on."""
    streamed = judge_stream(check, answer, heard, aliases=aliases)
    if streamed.code not in (Code.STREAMED, Code.STREAM_WITHOUT_USAGE) or isinstance(answer, NoAnswer):
        return streamed
    first, second = opener.turn, answer.turn
    if first is None or second is None or second.turn_id != first.turn_id or second.call <= first.call:
        return found(check, Code.CONTINUATION_CHARGED, seconds=answer.seconds, request_id=shown_id(answer))
    return found(check, Code.CONTINUATION_FREE, seconds=answer.seconds, call=second.call, calls=second.calls)


def receipt_path(answer: Answer) -> str:
    return f"/receipts/{quote(answer.request_id, safe='')}"


def judge_receipts(receipts: Sequence[tuple[Answer, Answer | NoAnswer]]) -> Finding:
    """Of every admitted request with what its receipt was answered with. The first trouble is the finding."""
    cost, seconds = 0, 0.0
    for request, receipt in receipts:
        trouble = _trouble_of(request, receipt)
        if trouble is not None:
            return trouble
        told = (receipt.json if isinstance(receipt, Answer) else None) or {}
        cost, seconds = cost + int(told.get("prompts", 0)), seconds + receipt.seconds
    shown = "1 prompt" if cost == 1 else f"{cost} prompts"
    return found(Check.RECEIPTS, Code.RECEIPTS_READ, seconds=seconds, count=len(receipts), cost=shown)


def _trouble_of(request: Answer, receipt: Answer | NoAnswer) -> Finding | None:
    check, request_id = Check.RECEIPTS, shown_id(request)
    if isinstance(receipt, NoAnswer):
        return silence(check, receipt)
    if receipt.error == "insufficient_permissions":
        return found(check, Code.RECEIPTS_HIDDEN, seconds=receipt.seconds)
    if receipt.error == "receipt_not_found":
        return found(check, Code.RECEIPT_MISSING, seconds=receipt.seconds, request_id=request_id)
    told = receipt.json if receipt.status == 200 else None
    if told is None:
        return refusal(check, receipt, scope=USAGE_READ, aliases="")
    turn = request.turn
    is_continuation = turn is not None and turn.call > 1
    if is_continuation and (told.get("outcome") != "continuation" or told.get("prompts") != 0):
        return found(check, Code.RECEIPT_CONTRADICTS, seconds=receipt.seconds, request_id=request_id)
    return None
