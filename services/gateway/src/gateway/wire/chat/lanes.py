"""The way of a chat request to one target and back."""

from collections.abc import Mapping
from functools import partial

from gateway.wire.chat.decode import ChatRequest
from gateway.wire.chat.encoder import ChatEncoder, to_chat_completion
from gateway.wire.chat.passthrough import to_provider_request
from gateway.wire.chat.prompt import to_prompt, without_place
from gateway.wire.chat.provider import PATH
from gateway.wire.chat.stream import ChatAnswer
from gateway.wire.crossing import Dialect, crossing
from gateway.wire.lane import Identity, Lane, Mint, ProviderFormat, Sealer, Target
from gateway.wire.tools import ToolBox


def open_chat_lane(
    request: ChatRequest,
    target: Target,
    identity: Identity,
    mint: Mint,
    sealer: Sealer,
    *,
    dialects: Mapping[ProviderFormat, Dialect],
) -> Lane:
    """Passed through to a chat target, through the canonical model to any other one.

    Raises `Unservable`, and `UnusableRequest` when no target could take it.
    """
    if target.format == "chat":
        written = to_provider_request(request, target)
        answer = ChatAnswer(identity, mint, wants_usage=request.wants_usage, evidence=request.brief.evidence())
        return Lane(PATH, written.body, answer, ignored=written.ignored)
    prompt = to_prompt(request)
    tools = ToolBox.of(prompt.tools)
    lane = crossing(
        prompt,
        target,
        dialects[target.format],
        is_stream=request.is_stream,
        sealer=sealer,
        encoder=ChatEncoder(identity, mint, tools=tools, wants_usage=request.wants_usage),
        write_whole=partial(to_chat_completion, identity=identity, mint=mint, tools=tools),
        evidence=request.brief.evidence(free=tools.free),
    )
    ignored = tuple(dict.fromkeys((*without_place(request), *lane.ignored)))
    return Lane(lane.path, lane.body, lane.answer, ignored=ignored, headers=lane.headers)
