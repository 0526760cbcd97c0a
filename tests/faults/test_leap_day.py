"""Prompts belong to their day and their month, also in the night before a leap day, under load."""

import io

import pytest
from rich.console import Console

from devstack import clock
from tests.faults.report import Report
from tests.faults.schedule import run


@pytest.mark.timeout(400)
@pytest.mark.skipif(clock.library() is None, reason=f"libfaketime is not installed. {clock.INSTALL}")
async def test_prompts_belong_to_their_day_across_the_night_before_a_leap_day() -> None:
    printed = io.StringIO()
    report = Report(Console(file=printed, width=200))
    await run(report, ["leap-day"], seed=1, is_reconciled=False)
    assert report.ends() == 0, printed.getvalue()
    assert report.rounds[0].verdict.figures["client complete"] > 10
