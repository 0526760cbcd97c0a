"""Gate 1 in short: the simulator gives what Linkerd published."""

import pytest

from tests.routing.linkerd import PUBLISHED, success


@pytest.mark.parametrize("policy", PUBLISHED)
def test_a_short_run_is_within_a_point_of_what_was_published(policy: str) -> None:
    found = success(policy, seed=1, scale=0.5)
    assert found.points_off <= 1.0, found


def test_the_three_policies_stand_in_the_published_order() -> None:
    shares = [success(policy, seed=2, scale=0.25).share for policy in ("round robin", "least loaded", "peak EWMA")]
    assert shares == sorted(shares)
    assert shares[0] < shares[1] - 0.01
