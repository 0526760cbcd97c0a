"""What can be expected of an alias: a calculation over the targets that may serve it."""

from collections.abc import Iterable, Sequence

from contracts.router import AliasCard, Candidate


def card(alias: str, candidates: Sequence[Candidate]) -> AliasCard:
    """The windows of the smallest target, and what at least one of them takes."""
    dialects = [candidate.dialect for candidate in candidates]
    return AliasCard(
        alias=alias,
        context_window=_smallest(candidate.context_window for candidate in candidates),
        # A target without a cap of ours has one of its own, which nobody told us.
        max_output_tokens=_smallest(candidate.parameters.max_output_tokens for candidate in candidates),
        takes_tools=any(dialect.takes_tools for dialect in dialects),
        takes_parallel_calls=any(dialect.takes_tools and dialect.takes_parallel_calls for dialect in dialects),
        takes_images=any(dialect.takes_images for dialect in dialects),
        takes_schema=any(dialect.takes_schema for dialect in dialects),
        replays_reasoning=any(dialect.replays_reasoning for dialect in dialects),
    )


def _smallest(values: Iterable[int | None]) -> int | None:
    """None as soon as one is not known: the smallest may be that one."""
    found = list(values)
    known = [value for value in found if value is not None]
    return min(known) if len(known) == len(found) else None
