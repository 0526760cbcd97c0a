"""The benchmark's own parts: a number from a broken instrument is worse than none."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devstack.provider import Provider, Script, faults, scripts
from devstack.provider.http import take_frame
from tests.bench import mock_provider, processes, profile, report, subjects
from tests.bench.load import Load, Outcome, Plan, percentile
from tests.bench.measure import SCENARIOS, Choices, Results, Run
from tests.unit.gateway.wire import responses_rules as rules

ROOT = Path(__file__).resolve().parents[3]


async def loaded(
    script: Script, *, is_streamed: bool = False, rate: float | None = None, chunks: int = 5, client: str = "chat"
) -> Outcome:
    async with Provider(default=script) as provider:
        plan = Plan(
            url=f"{provider.base_url}/{subjects.PATHS[client]}",
            token="t",
            model="m",
            is_streamed=is_streamed,
            callers=3,
            seconds=0.2,
            rate=rate,
            warmup_seconds=0.05,
            chunks=chunks,
            client=client,
        )
        outcome = await Load(plan).run()
        assert outcome.all_requests == len(provider.exchanges)
    return outcome


async def test_the_load_generator_counts_what_the_provider_answered() -> None:
    outcome = await loaded(scripts.answer(delay_seconds=0.01))
    assert outcome.errors == {}
    assert outcome.all_good == outcome.all_requests > outcome.requests > 20
    assert 10 <= outcome.p50 <= outcome.p99
    assert outcome.per_second == pytest.approx(outcome.requests / 0.2, rel=0.3)


async def test_the_first_content_of_a_stream_is_timed_apart_from_its_end() -> None:
    outcome = await loaded(scripts.chunks(5, interval_seconds=0.01), is_streamed=True)
    assert outcome.errors == {}
    assert outcome.first_p50 < 10
    assert outcome.p50 >= 70  # role, five deltas, finish, usage, [DONE]: eight pauses of 10 ms


async def test_the_open_loop_does_not_wait_for_answers() -> None:
    began = time.monotonic()
    outcome = await loaded(scripts.answer(delay_seconds=0.3), rate=100)
    assert outcome.all_requests == pytest.approx(25, abs=3)
    assert time.monotonic() - began < 6  # one after the other would take 7.5 s


@pytest.mark.parametrize(
    ("script", "is_streamed", "problem"),
    [
        (scripts.http_error(503), False, "503"),
        (faults.error_with_ok(), False, "answer without choices"),
        (faults.close_before_headers(), False, "connection broken"),
        (faults.end_without_done(), True, "stream without [DONE]"),
        (scripts.chunks(1), True, "stream with chunks missing"),
    ],
)
async def test_an_answer_that_is_not_whole_is_a_failure(script: Script, is_streamed: bool, problem: str) -> None:
    outcome = await loaded(script, is_streamed=is_streamed, chunks=9)
    assert outcome.errors == {problem: outcome.all_requests}
    assert outcome.requests == outcome.all_good == 0


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
async def test_responses_are_loaded_as_well(is_streamed: bool) -> None:
    outcome = await loaded(scripts.chunks(5), is_streamed=is_streamed, chunks=6, client="responses")
    assert outcome.errors == {}
    assert outcome.requests > 20


@pytest.mark.parametrize(
    ("script", "is_streamed", "problem"),
    [
        (faults.error_with_ok(), False, "response without output"),
        (faults.end_without_done(), True, "stream without response.completed"),
        (scripts.chunks(4), True, "stream with chunks missing"),
    ],
)
async def test_a_response_that_is_not_whole_is_a_failure(script: Script, is_streamed: bool, problem: str) -> None:
    outcome = await loaded(script, is_streamed=is_streamed, chunks=6, client="responses")
    assert outcome.errors == {problem: outcome.all_requests}


def test_the_mock_speaks_responses_by_the_published_rules() -> None:
    stream = unframed(mock_provider.RESPONSES.burst)
    assert rules.frame_violations(stream) == []
    events = rules.read_events(stream)
    assert rules.event_violations(events) == []
    words = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert len(words) == len(mock_provider.RESPONSES.pieces) - 1 == mock_provider.CHUNKS - 1
    assert unframed(b"\r\n\r\n" + b"".join([*mock_provider.RESPONSES.pieces, mock_provider.RESPONSES.end])) == stream
    whole = mock_provider.RESPONSES.whole.partition(b"\r\n\r\n")[2]
    assert rules.response_violations(json.loads(whole)) == []


def unframed(answer: bytes) -> bytes:
    """The body of a chunked answer."""
    rest, body = bytearray(answer.partition(b"\r\n\r\n")[2]), b""
    while frame := take_frame(rest):
        body += frame
    return body


def test_lanes_are_judged_by_runs_of_the_same_round() -> None:
    results = Results(Choices(1.0, 2, 16, 200.0, tuple(SCENARIOS), has_gateway=True, has_profile=False))
    for first, cost in ((10.0, 4.0), (30.0, 8.0)):  # the machine was busier in the second round
        for name in ("paced", "burst", "native", "native-burst", "crossing", "crossing-burst"):
            crosses = name.startswith("crossing")
            costs = {"gateway": cost * (1.5 if crosses else 1.0), "quota": 99.0}
            outcome = Outcome(requests=9, first_p50=first + 5.0 + crosses)
            results.runs[name]["gateway"].append(Run(outcome, costs, 0.0))
            results.runs[name]["floor"].append(Run(Outcome(requests=9, first_p50=first), {"floor": 1.0}, 0.0))
    table = [line.split() for line in report.lanes(results)]
    assert ["responses", "→", "responses", "+5.00", "60", "1.00", "60", "1.00"] in table
    assert ["responses", "→", "chat", "+6.00", "90", "1.50", "90", "1.50"] in table
    assert [line.split(":")[0].strip() for line in report.crossing_targets(results)] == ["met"] * 3


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile(range(1, 101), share) for share in (0.0, 0.5, 0.99)] == [1, 51, 100]
    assert percentile([], 0.5) == 0


async def test_the_cost_of_a_process_includes_its_children() -> None:
    before = processes.cpu_seconds({"me": [os.getpid()]})["me"]
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True)\ntime.sleep(9)"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", burn, stdout=asyncio.subprocess.PIPE)
    try:
        assert child.stdout is not None
        await child.stdout.readline()
        assert processes.cpu_seconds({"me": [os.getpid()]})["me"] - before >= 0.25
        assert processes.memory_megabytes({"child": [child.pid]})["child"] > 1
    finally:
        child.kill()
        await child.wait()


def test_a_profile_adds_up_by_package_and_by_function(tmp_path: Path) -> None:
    seen = profile.Profile(
        1.0,
        1.5,
        [
            (["/x/src/gateway/edge.py:reply", "/x/src/gateway/app.py:main"], 0.25),
            (["/x/src/chassis/bus/rpc.py:ask", "/x/src/gateway/app.py:main"], 0.75),
        ],
    )
    rows = {line.split()[0]: line.split()[1:] for line in profile.table(seen, "t").splitlines() if "%" in line}
    assert rows["gateway"] == ["25.0%"]
    assert rows["chassis"] == ["75.0%"]
    assert rows["chassis.bus.rpc:ask"] == ["75.0%", "75.0%"]
    assert rows["gateway.app:main"] == ["0.0%", "100.0%"]


def test_it_runs_and_says_what_the_tools_can_do() -> None:
    scenarios = ("json", "open", "paced", "native-burst")
    options = "--without-gateway --seconds 0.2 --rounds 1 --callers 2 " + " ".join(f"--only {n}" for n in scenarios)
    command = [sys.executable, "tests/bench", *options.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("direct ", "floor "))]
    measured = [row for row in rows if row[1] != "="]
    assert len(measured) == 2 * len(scenarios)
    assert all(row[-1] == "0" and float(row[1].replace(",", "")) > 0 for row in measured)
