"""The targets as a running router sees them, as plain text and for programs."""

from collections.abc import Iterator
from typing import Any

from contracts.decisions import Knowledge, KnownShare, KnownTarget
from router.domain.latency import LIMITS, SIZES, is_reasoning_bucket, is_whole_bucket
from router.listings import percent, table


def overview(known: Knowledge) -> str:
    """Every target with its health, times and load; every profile with its budget."""
    starts = sum(target.starts_last_minute for target in known.targets)
    head = ("target", "health", "success", "first byte", "age", "in flight", "waiting", "starts/min", "share")
    rows = [_row(target, starts) for target in known.targets]
    lines = [f"as {known.told_by or 'a router'} sees it, profiles version {known.profiles_version}", ""]
    lines += table(head, rows)
    times = [line for target in known.targets for line in _times(target)]
    if times:
        lines += ["", *table(("first byte of", "requests", "p50", "p95", "samples"), times)]
    if known.shares:
        shares = table(("profile", "θ", "strong share", "budget", "decisions"), list(_shares(known)))
        lines += ["", *shares]
    return "\n".join(lines)


def document(known: Knowledge) -> dict[str, Any]:
    """The same for programs."""
    starts = sum(target.starts_last_minute for target in known.targets)
    return {
        "told_by": known.told_by,
        "profiles_version": known.profiles_version,
        "targets": [
            target.model_dump(mode="json", exclude={"quantiles"})
            | {
                "health": health_of(target),
                "share": target.starts_last_minute / starts if starts else None,
                "first_byte": [
                    {"requests": bucket_words(bucket), "p50": median, "p95": p95, "samples": count}
                    for bucket, median, p95, count in sorted(target.quantiles)
                ],
            }
            for target in known.targets
        ],
        "profiles": [share.model_dump(mode="json") | {"strong_share": _share_of(share)} for share in known.shares],
    }


def health_of(target: KnownTarget) -> str:
    """`well`, `set aside for 12 s`, `probing`: a request is out to try it, `due`: the next one may."""
    if target.is_probing:
        return "probing"
    if target.set_aside_for_seconds is None:
        return "well" if not target.failures_in_a_row else f"well, {target.failures_in_a_row} failed in a row"
    if target.set_aside_for_seconds > 0:
        return f"set aside for {target.set_aside_for_seconds:.1f} s"
    return "due for a probe"


def bucket_words(bucket: int) -> str:
    """The kind of requests that times are compared within."""
    size = bucket % SIZES
    tokens = f"up to {LIMITS[size] // 1000} k" if size < len(LIMITS) else f"over {LIMITS[-1] // 1000} k"
    kinds = [tokens]
    if is_reasoning_bucket(bucket):
        kinds.append("thinking")
    if is_whole_bucket(bucket):
        kinds.append("not streamed")
    return ", ".join(kinds)


def _row(target: KnownTarget, starts: int) -> tuple[str, ...]:
    is_timed = target.latency_seconds is not None
    return (
        target.target,
        health_of(target),
        percent(target.success),
        f"{target.latency_seconds:.2f} s" if is_timed else "unknown",
        f"{target.latency_age_seconds:.0f} s" if is_timed else "",
        str(target.in_flight),
        str(target.waiting),
        str(target.starts_last_minute),
        percent(target.starts_last_minute / starts) if starts else "-",
    )


def _times(target: KnownTarget) -> Iterator[tuple[str, ...]]:
    for bucket, median, p95, count in sorted(target.quantiles):
        yield target.target, bucket_words(bucket), f"{median:.2f} s", f"{p95:.2f} s", f"{count:,}"


def _shares(known: Knowledge) -> Iterator[tuple[str, ...]]:
    for share in known.shares:
        found = _share_of(share)
        shown = percent(found) if found is not None else "-"
        yield share.alias, f"{share.theta:.3f}", shown, percent(share.budget), f"{share.light + share.strong:,}"


def _share_of(share: KnownShare) -> float | None:
    made = share.light + share.strong
    return share.strong / made if made else None
