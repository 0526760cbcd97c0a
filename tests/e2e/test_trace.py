"""One trace from the client to the ledger line; and nothing of a customer's content anywhere in what we record."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import nats
import psycopg
import pytest
import pytest_asyncio

from devstack.otlp import OtlpReceiver
from devstack.provider import Provider, scripts
from devstack.stack import Stack
from tests import patience
from tests.e2e.product import ALIASES, chat, command, get, ledger, new_account

PROMPT_CANARY = f"canary-prompt-{uuid4().hex}"
ANSWER_CANARY = f"canary-answer-{uuid4().hex}"
KEY_CANARY = f"sk-canary-{uuid4().hex}"
CLIENT_TRACE = "0af7651916cd43dd8448eb211c80319c"

ADMISSION = """\
  gateway PRODUCER publish quota.v1.reserve
    quota CONSUMER process quota.v1.reserve
      quota CLIENT INSERT quota.reservations
  gateway PRODUCER publish router.v1.choose
    router CONSUMER process router.v1.choose"""
SETTLEMENT = """\
  gateway PRODUCER publish gateway.v1.request_settled
    billing CONSUMER process gateway.v1.request_settled
      billing CLIENT INSERT billing.ledger
      billing CLIENT ack gateway.v1.request_settled
    quota CONSUMER process gateway.v1.request_settled
      quota CLIENT UPDATE quota.reservations
      quota CLIENT ack gateway.v1.request_settled"""
SUCCESS = f"""\
gateway SERVER POST /v1/chat/completions
  gateway CLIENT chat smart-route-mini
    gateway CLIENT POST
{SETTLEMENT}
{ADMISSION}"""
FAILOVER = f"""\
gateway SERVER POST /v1/chat/completions
  gateway CLIENT chat smart-route-mini
    gateway CLIENT POST
    gateway CLIENT POST !
{SETTLEMENT}
{ADMISSION}"""
EVERY_TARGET_FAILED = f"""\
gateway SERVER POST /v1/chat/completions !
  gateway CLIENT chat smart-route-mini !
    gateway CLIENT POST !
    gateway CLIENT POST !
{SETTLEMENT}
{ADMISSION}"""
# Of settlements that were folded together, the first one's trace has what was done for all: statement and ack.
SPANS_OF_ANY_SUCCESS = len(SUCCESS.splitlines()) - 4
DENIED = f"""\
gateway SERVER POST /v1/chat/completions
{ADMISSION}"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=scripts.answer(ANSWER_CANARY)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(provider: Provider, receiver: OtlpReceiver, module_data_dir: Path) -> AsyncIterator[Stack]:
    target = {"base_url": provider.base_url, "key": "env:CANARY_UPSTREAM_KEY"}
    document = {
        "version": 1,
        "targets": {"first": {**target, "model": "first-model"}, "second": {**target, "model": "second-model"}},
        "profiles": {alias: {"targets": ["first", "second"]} for alias in ALIASES},
    }
    environment = {**patience.ENVIRONMENT, **receiver.environment, "CANARY_UPSTREAM_KEY": KEY_CANARY}
    async with Stack(module_data_dir, profiles=document, environment=environment) as running:
        yield running


def trace_id_of(headers: object) -> str:
    return str(headers["traceparent"]).split("-")[1]  # type: ignore[index]


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
async def test_a_success_is_one_trace_over_four_services(
    stack: Stack, receiver: OtlpReceiver, is_streamed: bool
) -> None:
    account, token = await new_account(stack, plan="free")
    answer = await chat(
        stack, token, stream=is_streamed, headers={"traceparent": f"00-{CLIENT_TRACE}-00f067aa0ba902b7-01"}
    )
    trace_id = trace_id_of(answer.headers)
    assert trace_id != CLIENT_TRACE
    spans = await receiver.wait_for_spans(trace_id, count=len(SUCCESS.splitlines()))
    assert receiver.outline(trace_id) == SUCCESS
    root = next(span for span in spans if span.parent_id is None)
    assert [trace for trace, _ in root.links] == [CLIENT_TRACE]
    processed = [span for span in spans if span.name == "process gateway.v1.request_settled"]
    publishing = next(span for span in spans if span.name == "publish gateway.v1.request_settled")
    assert all(span.links == ((trace_id, publishing.span_id),) for span in processed)
    assert (await ledger(stack, account, lines=1))[0]["trace_id"] == trace_id


async def test_a_bucket_of_the_times_of_requests_names_the_trace_of_one_that_took_so_long(stack: Stack) -> None:
    _, token = await new_account(stack, plan="free")
    answer = await chat(stack, token)
    accept = {"accept": "application/openmetrics-text;version=1.0.0"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{stack.health_urls('gateway')[0]}/metrics", headers=accept) as scraped,
    ):
        lines = (await scraped.text()).splitlines()
    named = [line for line in lines if f'trace_id="{trace_id_of(answer.headers)}"' in line]
    assert {line.partition("_bucket{")[0] for line in named} >= {
        "http_server_request_duration_seconds",
        "smartroute_added_duration_seconds",
        "gen_ai_client_operation_duration_seconds",
    }


async def test_a_failover_shows_both_attempts_in_the_trace(
    stack: Stack, provider: Provider, receiver: OtlpReceiver
) -> None:
    _, token = await new_account(stack, plan="free")
    provider.enqueue(scripts.http_error(503), model="first-model")
    answer = await chat(stack, token)
    assert (answer.status, answer.text) == (200, ANSWER_CANARY)
    trace_id = trace_id_of(answer.headers)
    spans = await receiver.wait_for_spans(trace_id, count=len(FAILOVER.splitlines()))
    assert receiver.outline(trace_id) == FAILOVER
    attempts = sorted((span for span in spans if span.name == "POST"), key=lambda span: span.start_ns)
    assert [span.attributes.get("http.response.status_code") for span in attempts] == [503, 200]
    assert attempts[1].attributes["http.request.resend_count"] == 1


async def test_a_request_that_no_target_answers_is_one_failed_trace(
    stack: Stack, provider: Provider, receiver: OtlpReceiver
) -> None:
    _, token = await new_account(stack, plan="free")
    provider.enqueue(scripts.http_error(500), model="first-model")
    provider.enqueue(scripts.http_error(500), model="second-model")
    answer = await chat(stack, token)
    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_unavailable")
    trace_id = trace_id_of(answer.headers)
    await receiver.wait_for_spans(trace_id, count=len(EVERY_TARGET_FAILED.splitlines()))
    assert receiver.outline(trace_id) == EVERY_TARGET_FAILED


async def test_a_refused_request_is_a_trace_without_upstream_and_settlement(
    stack: Stack, receiver: OtlpReceiver
) -> None:
    _, token = await new_account(stack, plan="free")
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            assert (await chat(stack, token, session=session)).status == 200
    answer = await chat(stack, token)
    assert answer.status == 429
    trace_id = trace_id_of(answer.headers)
    await receiver.wait_for_spans(trace_id, count=len(DENIED.splitlines()))
    assert receiver.outline(trace_id) == DENIED


async def test_no_canary_is_in_any_span_metric_log_event_or_table(
    stack: Stack, provider: Provider, receiver: OtlpReceiver
) -> None:
    account, token = await new_account(stack, plan="free")
    said = [{"role": "user", "content": PROMPT_CANARY}]
    answered = [await chat(stack, token, messages=said, stream=stream) for stream in (False, True)]
    assert all(answer.text == ANSWER_CANARY for answer in answered)
    assert provider.exchanges[-1].request.headers["authorization"] == f"Bearer {KEY_CANARY}"
    provider.enqueue(*[scripts.http_error(500, message=PROMPT_CANARY)] * 2)
    assert (await chat(stack, token, messages=said)).status == 502
    assert (await chat(stack, token, messages=PROMPT_CANARY)).status == 400
    assert (await chat(stack, token, model=PROMPT_CANARY)).status == 404
    revoked = await command(stack, "gateway", "create-token", account)
    await command(stack, "gateway", "revoke-token", revoked["token_id"])
    assert (await chat(stack, revoked["token"])).status == 401
    await ledger(stack, account, lines=3)
    await receiver.wait_for_spans(trace_id_of(answered[-1].headers), count=SPANS_OF_ANY_SUCCESS)

    records = [stack.log_text(), await _stored_events(stack), await _stored_rows(stack), await _metrics(stack)]
    for canary in (PROMPT_CANARY, ANSWER_CANARY, KEY_CANARY, token, revoked["token"]):
        assert receiver.occurrences(canary) == 0
        assert [index for index, text in enumerate(records) if canary in text] == []


async def test_names_and_labels_do_not_grow_with_traffic(stack: Stack, receiver: OtlpReceiver) -> None:
    def seen() -> set[object]:
        series = {(metric, labels) for metric in receiver.metric_names() for labels in receiver.label_sets(metric)}
        return {span.name for span in receiver.spans} | series

    for _ in range(3):
        last = await chat(stack, stack.tokens["max"])
    await receiver.wait_for_spans(trace_id_of(last.headers), count=SPANS_OF_ANY_SUCCESS)
    before = seen()
    for _ in range(30):
        last = await chat(stack, stack.tokens["max"])
    await receiver.wait_for_spans(trace_id_of(last.headers), count=SPANS_OF_ANY_SUCCESS)
    assert seen() == before


async def _stored_events(stack: Stack) -> str:
    client = await nats.connect(stack.nats_url)
    texts = []
    for stream in ("REQUESTS", "ACCOUNTS", "SUBSCRIPTIONS", "DEAD_LETTERS"):
        last = (await client.jsm().stream_info(stream)).state.last_seq
        for sequence in range(1, last + 1):
            message = await client.jsm().get_msg(stream, sequence)
            texts.append(f"{message.headers} {(message.data or b'').decode()}")
    await client.close()
    assert texts
    return "\n".join(texts)


async def _stored_rows(stack: Stack) -> str:
    async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
        tables = await (
            await connection.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname IN ('gateway', 'quota', 'billing')"
            )
        ).fetchall()
        rows = [(await (await connection.execute(f"SELECT t::text FROM {table} t")).fetchall()) for (table,) in tables]
    assert any(rows)
    return str(rows)


async def _metrics(stack: Stack) -> str:
    async with aiohttp.ClientSession() as session:
        texts = []
        for service in ("gateway", "quota", "router", "billing"):
            for origin in stack.health_urls(service):
                async with session.get(f"{origin}/metrics") as response:
                    texts.append(await response.text())
    assert all("target_info" in text for text in texts)
    return "\n".join(texts)


async def test_usage_is_not_a_prompt(stack: Stack) -> None:
    _, token = await new_account(stack, plan="free")
    for _ in range(3):
        usage = (await get(stack, token, "usage")).json
    assert usage["daily"]["used"] == 0
