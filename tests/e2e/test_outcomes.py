"""Every outcome of docs/outcomes.md, produced by a scripted provider or client, and what it leaves behind: in the
response, on the receipt, in the quota and in the ledger.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from contracts.outcomes import Outcome
from devstack.probes import until
from devstack.provider import Exchange, Provider, Script, ToolCall, faults, scripts
from devstack.repository import PLANS
from devstack.stack import Stack
from tests import patience
from tests.e2e.product import HELLO, Answer, chat, eventually, get, ledger, new_account, profiles

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT: dict[str, Any] = {"timeouts": {"connect_seconds": 0.5, "first_byte_seconds": 2.0, "silence_seconds": 2.0}}
RECEIPT_SECONDS = 2.0
LOOK = [{"type": "function", "function": {"name": "look"}}]


@dataclass(frozen=True, slots=True)
class Scene:
    """One account in front of the running product. `gateway` is the number of the replica that is asked."""

    stack: Stack
    provider: Provider
    account: str
    token: str

    async def ask(self, script: Script | None = None, *, gateway: int = 0, **fields: Any) -> Answer:
        """One request to its end."""
        if script is not None:
            self.provider.enqueue(script)
        return await chat(self.stack, self.token, base_url=self.stack.gateways[gateway], **fields)

    async def begin(self, script: Script, *, gateway: int = 0, **fields: Any) -> "Begun":
        """One request that its provider has seen, still open."""
        self.provider.enqueue(script)
        number = len(self.provider.exchanges)
        asking = asyncio.create_task(self._read(gateway, fields))
        return Begun(asking, await self.provider.exchange(number, timeout_seconds=10))

    async def _read(self, gateway: int, fields: dict[str, Any]) -> Answer:
        """A connection that breaks in the middle keeps what came."""
        body = {"model": "smart-route-mini", "messages": HELLO, **fields}
        url = f"{self.stack.gateways[gateway]}/chat/completions"
        headers = {"authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
            return Answer(response.status, response.headers, await response.read())

    async def lines(self, count: int) -> list[dict[str, Any]]:
        return await ledger(self.stack, self.account, lines=count)


@dataclass(frozen=True, slots=True)
class Begun:
    """A request under way."""

    asking: "asyncio.Task[Answer]"
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Ended:
    """How the play ended for its client. Without `answer` the client saw no response; `before` are requests that the
    account had made until then, each of them completed."""

    answer: Answer | None
    status: int | None = None
    code: str | None = None
    has_receipt: bool = True
    before: int = 0
    headers: dict[str, str] = field(default_factory=dict)


Play = Callable[[Scene], Awaitable[Ended]]


async def rejected_auth(scene: Scene) -> Ended:
    answer = await chat(scene.stack, scene.token[:-1] + ("a" if scene.token[-1] != "a" else "b"))
    return Ended(answer, 401, "invalid_api_key", has_receipt=False)


async def rejected_request(scene: Scene) -> Ended:
    return Ended(await scene.ask(n=3), 400, "unsupported_value", has_receipt=False)


async def rejected_request_by_the_model(scene: Scene) -> Ended:
    return Ended(await scene.ask(scripts.http_error(400)), 400, "context_length_exceeded")


async def rejected_quota(scene: Scene) -> Ended:
    for _ in range(2):
        assert (await scene.ask()).status == 200
    await scene.lines(2)
    headers = {"x-should-retry": "false", "x-smartroute-daily-remaining": "0"}
    return Ended(await scene.ask(), 429, "insufficient_quota", has_receipt=False, before=2, headers=headers)


async def rejected_speed(scene: Scene) -> Ended:
    first = await scene.begin(scripts.answer("Hi", delay_seconds=1.0))
    answer = await scene.ask()
    assert (await first.asking).status == 200
    assert "x-should-retry" not in answer.headers
    return Ended(answer, 429, "rate_limit_exceeded", has_receipt=False, before=1, headers={"retry-after": "1"})


async def completed(scene: Scene) -> Ended:
    return Ended(await scene.ask(), 200)


async def completed_stream(scene: Scene) -> Ended:
    answer = await scene.ask(stream=True)
    assert answer.raw.endswith(b"data: [DONE]\n\n")
    return Ended(answer, 200)


async def continuation(scene: Scene) -> Ended:
    """The result of a tool call rides on the prompt of the request that led to the call, however it ends itself."""
    first = await scene.ask(scripts.answer(tool_calls=[ToolCall("look")]), tools=LOOK)
    said = first.json["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "a door"}
    await scene.lines(1)
    answer = await scene.ask(scripts.http_error(500), messages=[*HELLO, said, result], tools=LOOK)
    return Ended(answer, 502, "upstream_unavailable", before=1)


async def empty(scene: Scene) -> Ended:
    return Ended(await scene.ask(scripts.empty()), 200)


async def upstream_unavailable(scene: Scene) -> Ended:
    return Ended(await scene.ask(scripts.http_error(500)), 502, "upstream_unavailable")


async def upstream_broken(scene: Scene) -> Ended:
    answer = await scene.ask(faults.reset_midway(), stream=True)
    assert answer.text
    assert b"[DONE]" not in answer.raw
    assert answer.events[-1]["error"]["code"] == "upstream_broken"
    return Ended(answer, 200)


async def client_gone_early(scene: Scene) -> Ended:
    begun = await scene.begin(faults.hang_before_headers())
    begun.asking.cancel()
    return Ended(None)


async def client_gone_late(scene: Scene) -> Ended:
    scene.provider.enqueue(scripts.chunks(1000, interval_seconds=0.05))
    body = {"model": "smart-route-mini", "messages": HELLO, "stream": True}
    headers = {"authorization": f"Bearer {scene.token}"}
    url = f"{scene.stack.base_url}/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
        answer = Answer(response.status, response.headers, await response.content.readany())
        response.close()
    return Ended(answer, 200)


async def gateway_shutdown(scene: Scene) -> Ended:
    begun = await scene.begin(scripts.chunks(1000, interval_seconds=0.05), gateway=1, stream=True)
    gateway = scene.stack.children("gateway")[1]
    await gateway.halt()
    answer = await begun.asking
    await gateway.start()
    assert answer.events[-1]["error"]["code"] == "gateway_stopping"
    return Ended(answer, 200)


async def expired(scene: Scene) -> Ended:
    begun = await scene.begin(faults.hang_before_headers(), gateway=1)
    gateway = scene.stack.children("gateway")[1]
    killed = gateway.pid
    gateway.send(signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await begun.asking

    async def is_back() -> bool:
        with suppress(aiohttp.ClientError):
            return gateway.pid not in (None, killed) and (await get(scene.stack, scene.token, "models")).status == 200
        return False

    assert await until(is_back, within_seconds=20)
    return Ended(None)


async def replay(scene: Scene) -> Ended:
    key = {"idempotency-key": "the same"}
    first = await scene.ask(headers=key)
    await scene.lines(1)
    answer = await scene.ask(headers=key)
    assert (first.status, answer.raw) == (200, first.raw)
    named = {"idempotent-replayed": "true", "x-smartroute-replay-of": first.headers["x-request-id"]}
    return Ended(answer, 200, before=1, headers=named)


PLAYS: dict[Outcome, list[Play]] = {
    Outcome.REJECTED_AUTH: [rejected_auth],
    Outcome.REJECTED_REQUEST: [rejected_request, rejected_request_by_the_model],
    Outcome.REJECTED_QUOTA: [rejected_quota],
    Outcome.REJECTED_SPEED: [rejected_speed],
    Outcome.COMPLETED: [completed, completed_stream],
    Outcome.CONTINUATION: [continuation],
    Outcome.EMPTY: [empty],
    Outcome.UPSTREAM_UNAVAILABLE: [upstream_unavailable],
    Outcome.UPSTREAM_BROKEN: [upstream_broken],
    Outcome.CLIENT_GONE_EARLY: [client_gone_early],
    Outcome.CLIENT_GONE_LATE: [client_gone_late],
    Outcome.GATEWAY_SHUTDOWN: [gateway_shutdown],
    Outcome.EXPIRED: [expired],
    Outcome.REPLAY: [replay],
}
PLAN_OF = {Outcome.REJECTED_QUOTA: "free", Outcome.REJECTED_SPEED: "plus"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=scripts.answer("Hello there.")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(provider: Provider, module_data_dir: Path) -> AsyncIterator[Stack]:
    plans = yaml.safe_load(PLANS.read_text())
    by_name = {plan["name"]: plan for plan in plans["plans"]}
    by_name["free"]["daily_prompts"] = 2
    by_name["plus"]["speed"] = {"in_flight": 1}
    (module_data_dir / "plans.yaml").write_text(yaml.safe_dump(plans))
    async with Stack(
        module_data_dir,
        profiles=profiles({"only": provider}, **SHORT),
        plans=module_data_dir / "plans.yaml",
        replicas={"gateway": 2},
        environment={
            **patience.ENVIRONMENT,
            "QUOTA_LEASE_SECONDS": "2",
            "QUOTA_SWEEP_SECONDS": "0.5",
            "GATEWAY_GRACE_SECONDS": "1",
        },
    ) as running:
        yield running


async def test_every_outcome_is_played() -> None:
    assert set(PLAYS) == set(Outcome)


@pytest.mark.parametrize(
    ("outcome", "play"),
    [pytest.param(outcome, play, id=play.__name__) for outcome, plays in PLAYS.items() for play in plays],
)
async def test_an_outcome_is_the_same_in_response_receipt_quota_and_ledger(
    stack: Stack, provider: Provider, outcome: Outcome, play: Play
) -> None:
    account, token = await new_account(stack, plan=PLAN_OF.get(outcome, "max"))
    ended = await play(Scene(stack, provider, account, token))

    _check_response(ended)
    has_line = ended.has_receipt and outcome is not Outcome.REPLAY
    if has_line and ended.answer is None:
        # Nobody told the client an id: the ledger knows it.
        (line,) = await ledger(stack, account, lines=1)
        request_id = line["request_id"]
    else:
        request_id = ended.answer.headers["x-request-id"] if ended.answer is not None else ""
    # First the receipt: it has its own time to be there.
    receipt = await _receipt(stack, token, request_id)
    if ended.has_receipt:
        _check_receipt(receipt.json, request_id, ended, outcome)
    else:
        assert (receipt.status, receipt.json["error"]["code"]) == (404, "receipt_not_found")
    lines = await ledger(stack, account, lines=ended.before + has_line)
    outcomes = [Outcome.COMPLETED] * ended.before + [outcome] * has_line
    assert sorted((line["outcome"], line["prompts"]) for line in lines) == sorted(
        (each.value, 1 if each.is_charged else 0) for each in outcomes
    )
    await eventually(lambda: _quota_says(stack, token, used=sum(each.is_charged for each in outcomes)))


def _check_response(ended: Ended) -> None:
    answer = ended.answer
    if answer is None:
        return
    assert answer.status == ended.status
    if ended.code is not None:
        assert answer.json["error"]["code"] == ended.code
    assert {name: answer.headers.get(name) for name in ended.headers} == ended.headers


async def _receipt(stack: Stack, token: str, request_id: str) -> Answer:
    """Asked once: it is the gateway that waits for what is on its way."""
    async with asyncio.timeout(RECEIPT_SECONDS + 1.0):
        return await get(stack, token, f"receipts/{request_id}")


def _check_receipt(receipt: dict[str, Any], request_id: str, ended: Ended, outcome: Outcome) -> None:
    prompts = 1 if outcome.is_charged else 0
    assert receipt["request_id"] == request_id
    assert (receipt["outcome"], receipt["charged"], receipt["prompts"]) == (outcome, outcome.is_charged, prompts)
    assert receipt["reason"] == outcome.reason
    assert (receipt["model_asked"], receipt["model_served"]) == ("smart-route-mini", "smart-route-mini")
    assert receipt["error_code"] == ended.code or ended.code is None
    if ended.answer is not None:
        assert receipt["trace_id"] == ended.answer.headers["traceparent"].split("-")[1]
        turn = ended.answer.headers["x-smartroute-turn"]
        assert turn.startswith(f"{receipt['turn']['id']}; call={receipt['turn']['call']};")
    if outcome is Outcome.REPLAY:
        assert receipt["replay_of"] == ended.headers["x-smartroute-replay-of"]
        assert (receipt["ledger"], receipt["windows"]) == (None, None)
        return
    assert receipt["replay_of"] is None
    assert receipt["ledger"]["sequence"] == ended.before + 1
    assert len(receipt["ledger"]["hash"]) == 64
    for window in receipt["windows"].values():
        assert window["used"] == prompts + ended.before
        assert window["used"] + window["remaining"] == window["limit"]


async def _quota_says(stack: Stack, token: str, *, used: int) -> bool:
    usage = await get(stack, token, "usage")
    windows = [usage.json["daily"], usage.json["monthly"]] if usage.status == 200 else []
    return [(window["used"], window["reserved"]) for window in windows] == [(used, 0)] * 2
