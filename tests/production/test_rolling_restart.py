"""The production shape on one machine, restarted under a hundred open streams: three NATS nodes with TLS and the users
of the manifests, two replicas of every service. Nobody's answer is cut, nobody is refused, and the books balance.
"""

import sys
from pathlib import Path

import pytest

from devstack.provider import Provider, scripts
from devstack.stack import Stack
from tests.e2e.product import command, profiles
from tests.production.crowd import Crowd
from tests.production.rollout import restart_nats, restart_service
from tests.production.shape import ENVIRONMENT

TEXT = " ".join(f"word{number}" for number in range(30))
ORDER = ("quota", "router", "billing", "gateway")


@pytest.mark.production
@pytest.mark.timeout(900)
async def test_everything_is_restarted_under_a_hundred_streams_and_none_is_cut(data_dir: Path) -> None:
    async with (
        Provider(default=scripts.answer(TEXT, interval_seconds=0.4)) as provider,
        Stack(
            data_dir,
            profiles=profiles({"played": provider}),
            replicas=dict.fromkeys(ORDER, 2),
            nats_nodes=3,
            guards_nats=True,
            environment=ENVIRONMENT,
        ) as stack,
    ):
        crowd = Crowd(stack.tokens["unlimited"], TEXT, list(stack.gateways))
        async with crowd.reading():
            await crowd.until(lambda: sum(crowd.open_streams.values()) >= crowd.readers, within_seconds=60)
            restarted = [each for service in ORDER for each in await restart_service(stack, service, crowd)]
            restarted += await restart_nats(stack)
        sys.stdout.writelines(f"\n{line}" for line in (*restarted, crowd.told()))
        books = await command(stack, "billing", "reconcile")
        assert (crowd.cut, crowd.refused) == ([], [])
        assert (books["result"], books["figures"]["lines"]) == ("equal", len(crowd.whole))
        assert "permissions violation" not in stack.log_text().lower()
