"""The way of any client's request to any target and back: one place that knows both formats."""

from collections.abc import Mapping

from gateway.wire.chat.decode import ChatRequest
from gateway.wire.chat.lanes import open_chat_lane
from gateway.wire.completions.decode import CompletionsRequest
from gateway.wire.completions.lanes import open_completions_lane
from gateway.wire.dialects import DIALECTS
from gateway.wire.lane import ClientRequest, Identity, Lane, Mint, Sealer, Target
from gateway.wire.responses.lanes import open_responses_lane
from gateway.wire.responses.request import ResponsesRequest

_PARAMS: Mapping[str, Mapping[str, str]] = {
    "responses": {
        "messages": "input",
        "image": "input",
        "response_format": "text.format",
        "max_tokens": "max_output_tokens",
    },
    "completions": {"messages": "prompt"},
}


def open_lane(
    request: ClientRequest, target: Target, identity: Identity, mint: Mint, *, sealer: Sealer, summaries: Sealer
) -> Lane:
    """`sealer` is that of the target, `summaries` that of the account's compactions.

    Raises `Unservable`, and `UnusableRequest` when no target could take it.
    """
    match request:
        case ChatRequest():
            return open_chat_lane(request, target, identity, mint, sealer, dialects=DIALECTS)
        case ResponsesRequest():
            return open_responses_lane(request, target, identity, mint, sealer, summaries=summaries, dialects=DIALECTS)
        case CompletionsRequest():
            return open_completions_lane(request, target, identity, mint, sealer, dialects=DIALECTS)
        case _:
            raise TypeError(f"no lane for {type(request).__name__}")


def param_of(request: ClientRequest, param: str) -> str:
    """The client's own name of what a writer of another format calls by chat's."""
    return _PARAMS.get(request.endpoint, {}).get(param, param)
