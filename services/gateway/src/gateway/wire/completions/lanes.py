"""The ways of a completion request to a target: straight through, or across the canonical model."""

from collections.abc import Mapping
from dataclasses import replace

from gateway.wire import crossing
from gateway.wire.completions.decode import UNTRANSLATED, CompletionsRequest, to_prompt
from gateway.wire.completions.encode import to_completion_of_deltas
from gateway.wire.completions.passthrough import CompletionsPassage, to_provider_request
from gateway.wire.completions.stream import CompletionsEncoder
from gateway.wire.lane import Identity, Lane, Mint, ProviderFormat, Sealer, Target, Unservable


def open_completions_lane(
    request: CompletionsRequest,
    target: Target,
    identity: Identity,
    mint: Mint,  # noqa: ARG001  every client's format is opened with the same arguments; here nobody can call a tool
    sealer: Sealer,
    *,
    dialects: Mapping[ProviderFormat, crossing.Dialect],
) -> Lane:
    """`dialects` are needed for the formats other than completions. Raises `Unservable`."""
    if target.format == "completions":
        written = to_provider_request(request, target)
        answer = CompletionsPassage(identity, wants_usage=request.wants_usage, echo=request.echo)
        return Lane("/completions", written.body, answer, ignored=written.ignored)
    if request.suffix is not None:
        raise Unservable("suffix")
    lane = crossing.crossing(
        to_prompt(request),
        target,
        dialects[target.format],
        is_stream=request.is_stream,
        sealer=sealer,
        encoder=CompletionsEncoder(identity, wants_usage=request.wants_usage, echo=request.echo),
        write_whole=lambda deltas: to_completion_of_deltas(deltas, identity, echo=request.echo),
    )
    untranslated = [name for name in request.forwarded if name in UNTRANSLATED]
    return replace(lane, ignored=(*lane.ignored, *untranslated))
