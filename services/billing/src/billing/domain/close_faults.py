"""Whether a closed day still says what its lines say, follows the day before, and was signed by us."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from billing.domain.closes import Close, close_digest, previous_digest_of
from billing.domain.differences import Difference, Figure, Kind


@dataclass(frozen=True, slots=True)
class Contents:
    """What the lines posted to a day add up to now."""

    lines: int
    lines_digest: str
    totals: Mapping[str, object]


def place_faults(close: Close, before: Close | None) -> Iterator[Difference]:
    """Days without a close between this one and the one before; a link that leads somewhere else."""
    if before is not None:
        day = before.day + timedelta(days=1)
        while day < close.day:
            yield Difference(Kind.CLOSE_MISSING, day=day)
            day += timedelta(days=1)
    expected = previous_digest_of(before)
    if close.previous_digest != expected:
        figures: dict[str, Figure] = {"says": close.previous_digest, "close_before": expected}
        yield Difference(Kind.CLOSE_LINK_BROKEN, day=close.day, figures=figures)


def content_faults(close: Close, contents: Contents) -> Iterator[Difference]:
    """Lines, totals or digest that are not those of the close."""
    figures: dict[str, Figure] = {}
    if close.lines != contents.lines:
        figures |= {"closed_lines": close.lines, "lines": contents.lines}
    if close.lines_digest != contents.lines_digest:
        figures |= {"closed_lines_digest": close.lines_digest, "lines_digest": contents.lines_digest}
    if close.totals != contents.totals:
        names = sorted(
            name
            for name in close.totals.keys() | contents.totals.keys()
            if close.totals.get(name) != contents.totals.get(name)
        )
        figures["totals_that_differ"] = ", ".join(names)
    if figures:
        yield Difference(Kind.CLOSE_DIFFERS, day=close.day, figures=figures)


def signature_faults(close: Close, is_signed: Callable[[str, str], bool] | None) -> Iterator[Difference]:
    """A digest that is not that of the close, or a signature that is not that of the digest (by a key that we know)."""
    digest = close_digest(close)
    if digest != close.digest:
        yield Difference(Kind.CLOSE_FORGED, day=close.day, figures={"digest": close.digest, "content": digest})
    elif is_signed is not None and not is_signed(close.digest, close.signature):
        yield Difference(Kind.CLOSE_FORGED, day=close.day, figures={"signature": "not made by the key that it names"})
