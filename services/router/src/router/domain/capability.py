"""Which targets can take a request at all. Never a matter of scores: what cannot, is not asked.

Some of it is certain (no image input is no image input). Some is an estimate (tokens) or a wish (several calls at
once, a longer answer than a target gives): that excludes a target only as long as another one remains.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from contracts.decisions import Exclusion
from contracts.router import Features, Need
from router.profiles import Target

CERTAIN: tuple[Exclusion, ...] = ("tools", "images", "schema", "region")


def excluded(targets: Mapping[str, Target], features: Features, *, regions: Sequence[str]) -> dict[str, Exclusion]:
    """Why each target that cannot take the request cannot. All may be excluded, but only for what is certain."""
    found: dict[str, Exclusion] = {}
    for name, target in targets.items():
        reason = _certainly(target, features, regions)
        if reason is not None:
            found[name] = reason
    for reason, can in _WISHES:
        left = [name for name in targets if name not in found]
        cannot = [name for name in left if not can(targets[name], features)]
        if len(cannot) < len(left):
            found.update(dict.fromkeys(cannot, reason))
        elif reason in ("context", "output"):
            # None is large enough by our estimate, which is a careful one: the largest may be.
            found.update(dict.fromkeys(_smaller(targets, left, reason), reason))
    return found


def lacking(reasons: Iterable[Exclusion]) -> tuple[Need | str, ...]:
    """What no target has, of the reasons why all were excluded, each once."""
    return tuple(dict.fromkeys(reason for reason in reasons if reason in CERTAIN))


def _certainly(target: Target, features: Features, regions: Sequence[str]) -> Exclusion | None:
    dialect = target.dialect
    if regions and target.region not in regions:
        return "region"
    if "tools" in features.needs and not dialect.takes_tools:
        return "tools"
    if "images" in features.needs and not dialect.takes_images:
        return "images"
    if "schema" in features.needs and not dialect.takes_schema:
        return "schema"
    return None


def _fits(target: Target, features: Features) -> bool:
    window = target.context_window
    return window is None or features.input_tokens + (features.output_tokens or 0) <= window


def _writes_enough(target: Target, features: Features) -> bool:
    cap = target.parameters.max_output_tokens
    return cap is None or features.output_tokens is None or features.output_tokens <= cap


def _calls_in_parallel(target: Target, features: Features) -> bool:
    return "parallel_calls" not in features.needs or target.dialect.takes_parallel_calls


_WISHES: tuple[tuple[Exclusion, Callable[[Target, Features], bool]], ...] = (
    ("context", _fits),
    ("output", _writes_enough),
    ("parallel_calls", _calls_in_parallel),
)


def _smaller(targets: Mapping[str, Target], names: Sequence[str], reason: Exclusion) -> list[str]:
    sizes = {
        name: (targets[name].context_window if reason == "context" else targets[name].parameters.max_output_tokens) or 0
        for name in names
    }
    largest = max(sizes.values(), default=0)
    return [name for name, size in sizes.items() if size < largest]
