"""Token counts of providers that lie."""

import msgspec
import pytest

from gateway.wire.usage import PLAUSIBLE_TOKENS, Usage, WireUsage, from_wire_usage


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (b"{}", Usage(0, 0, 0, 0, True)),
        (b'{"prompt_tokens": 3, "completion_tokens": 0}', Usage(3, 0, 0, 0, True)),
        (b'{"prompt_tokens": 3.0, "completion_tokens": null}', Usage(3, 0, 0, 0, True)),
        (b'{"prompt_tokens": -5, "completion_tokens": -1}', Usage(0, 0, 0, 0, False)),
        (b'{"prompt_tokens": 100000000000000000000000}', Usage(PLAUSIBLE_TOKENS, 0, 0, 0, False)),
        (
            b'{"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4},'
            b' "completion_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 5}}',
            Usage(9, 4, 8, 5, True),
        ),
        (b'{"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 10}}', Usage(9, 9, 0, 0, False)),
        (b'{"prompt_tokens_details": {}, "completion_tokens_details": null}', Usage(0, 0, 0, 0, True)),
    ],
)
def test_counts_are_made_plausible_and_corrections_are_flagged(raw: bytes, usage: Usage) -> None:
    assert from_wire_usage(msgspec.json.decode(raw, type=WireUsage)) == usage
