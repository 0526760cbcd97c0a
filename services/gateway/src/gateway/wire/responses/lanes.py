"""The ways of a Responses request to a target: straight through, or across the canonical model.

A request for a compaction always goes across: the summary is ours to seal, so that any target can read it later.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import msgspec

from gateway.wire.crossing import Dialect, crossing
from gateway.wire.lane import Identity, Lane, Mint, ProviderFormat, Sealer, Target
from gateway.wire.responses import brief
from gateway.wire.responses.compaction import CompactionEncoder
from gateway.wire.responses.conversation import COMPACTIONS
from gateway.wire.responses.decode import lost_in_crossing, to_prompt
from gateway.wire.responses.native.lane import native_lane
from gateway.wire.responses.request import ResponsesRequest
from gateway.wire.responses.stream import ResponsesEncoder
from gateway.wire.tools import ToolBox

_json = msgspec.json.Encoder()


def open_responses_lane(
    request: ResponsesRequest,
    target: Target,
    identity: Identity,
    mint: Mint,
    sealer: Sealer,
    *,
    summaries: Sealer,
    dialects: Mapping[ProviderFormat, Dialect],
) -> Lane:
    """`sealer` is that of the target, `summaries` that of the account's compactions.

    Raises `Unservable`, and `UnusableRequest` when no target could take it.
    """
    if target.format == "responses" and not request.compacts and not _has_summary(request):
        return native_lane(request, target, identity, mint, sealer)
    prompt, toolbox = to_prompt(request, unseal_compaction=partial(_summary, summaries))
    encoder = _encoder(request, identity, mint, sealer, summaries=summaries, toolbox=toolbox)
    lane = crossing(
        prompt,
        target,
        dialects[target.format],
        is_stream=request.is_stream,
        sealer=sealer,
        encoder=encoder,
        write_whole=lambda _: _json.encode(encoder.completed()),
        evidence=request.brief.evidence(free=toolbox.free),
    )
    return replace(lane, ignored=(*lane.ignored, *lost_in_crossing(request)), completed=encoder.completed)


def _summary(summaries: Sealer, sealed: str) -> str | None:
    found = brief.read(sealed, summaries.unseal)
    return found.summary if found is not None else None


def _has_summary(request: ResponsesRequest) -> bool:
    """A compaction of ours in the conversation: no provider could read it."""
    return any(item.get("type") in COMPACTIONS for item in request.input_items)


def _encoder(
    request: ResponsesRequest,
    identity: Identity,
    mint: Mint,
    sealer: Sealer,
    *,
    summaries: Sealer,
    toolbox: ToolBox,
) -> ResponsesEncoder | CompactionEncoder:
    if request.compacts:
        return CompactionEncoder(identity, mint, echo=request.echo, seal=summaries.seal, stores=request.stores)
    return ResponsesEncoder(
        identity,
        mint,
        echo=request.echo,
        toolbox=toolbox,
        seal=sealer.seal if request.wants_sealed or request.stores else None,
        stores=request.stores,
    )
