"""The fault suite can fail: without a protection it ends with 1, and says what broke and how to repeat it."""

import asyncio
import sys

import pytest

from devstack.repository import ROOT

BROKEN = {"sweeper": "is still held", "dedupe": "live ledger lines"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("protection", BROKEN)
async def test_without_a_protection_the_suite_fails_and_says_why(protection: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "tests/faults", "--seed", "1", "--sabotage", protection),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = (await process.communicate())[0].decode()
    assert process.returncode == 1, printed
    assert BROKEN[protection] in printed
    assert "make faults ARGS=" in printed
    assert f"--sabotage {protection}" in printed
