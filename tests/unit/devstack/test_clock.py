"""Another time for one process: its clock differs, its timers do not."""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime

import pytest

from devstack import clock
from devstack.children import launched
from devstack.errors import StartFailed

_SAY = "import asyncio, time; print(time.time()); asyncio.run(asyncio.sleep(0.2)); print(time.time())"


async def _said(environment: dict[str, str]) -> tuple[float, float]:
    process = await asyncio.create_subprocess_exec(
        *launched((sys.executable, "-c", _SAY)),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    before, after = (await process.communicate())[0].split()
    return float(before), float(after)


@pytest.mark.skipif(clock.library() is None, reason=f"libfaketime is not installed. {clock.INSTALL}")
@pytest.mark.parametrize("seconds", [300.0, -300.0])
async def test_a_process_is_ahead_or_behind_and_waits_in_real_time(seconds: float) -> None:
    began = time.time()
    before, after = await _said(clock.shifted(seconds=seconds))
    assert 0 <= before - began - seconds < 20
    assert 0.2 <= after - before < 10


@pytest.mark.skipif(clock.library() is None, reason=f"libfaketime is not installed. {clock.INSTALL}")
async def test_a_process_begins_at_a_moment() -> None:
    moment = datetime(2028, 2, 28, 23, 59, 50, tzinfo=UTC)
    before, _ = await _said(clock.showing(moment))
    assert 0 <= before - moment.timestamp() < 20


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "library", lambda: None)
    with pytest.raises(StartFailed, match="apt-get install libfaketime"):
        clock.shifted(seconds=1)
