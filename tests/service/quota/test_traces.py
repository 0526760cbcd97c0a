"""One trace from whoever asks or tells to the statement in Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis import telemetry
from chassis.bus import Bus, ask, connect, publish
from contracts.billing import SUBSCRIPTION_CHANGED, SubscriptionChanged
from contracts.quota import BLOCK_TOKEN, BlockToken
from devstack.database import Database
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.quota.quota_process import quota_here, reserve


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="test") as bus:
        yield bus


def tree(spans: InMemorySpanExporter) -> list[tuple[str, str, str]]:
    """Kind, name and the parent's name of every span."""
    finished = spans.get_finished_spans()
    names = {span.context.span_id: span.name for span in finished if span.context}
    return sorted(
        (span.kind.name, span.name, names.get(span.parent.span_id, "?") if span.parent else "") for span in finished
    )


def traces(spans: tuple[ReadableSpan, ...]) -> set[int]:
    return {span.context.trace_id for span in spans if span.context}


async def test_a_lone_ask_is_one_trace_down_to_its_commit(
    database: Database, nats_url: str, bus: Bus, spans: InMemorySpanExporter
) -> None:
    async with quota_here(database, nats_url):
        await reserve(bus, uuid4())
    assert tree(spans) == [
        ("CLIENT", "INSERT quota.reservations", "process quota.v1.reserve"),
        ("CONSUMER", "process quota.v1.reserve", "publish quota.v1.reserve"),
        ("PRODUCER", "publish quota.v1.reserve", ""),
    ]
    assert len(traces(spans.get_finished_spans())) == 1


async def test_a_batch_belongs_to_its_first_ask_and_is_linked_to_the_others(
    database: Database, nats_url: str, bus: Bus, spans: InMemorySpanExporter
) -> None:
    async with quota_here(database, nats_url):
        await asyncio.gather(*(reserve(bus, uuid4()) for _ in range(20)))
    finished = spans.get_finished_spans()
    commits = [span for span in finished if span.name == "INSERT quota.reservations"]
    asks = {span.context.span_id for span in finished if span.name == "process quota.v1.reserve" and span.context}
    joined = [span.parent.span_id for span in commits if span.parent]
    joined += [link.context.span_id for span in commits for link in span.links]
    assert len(commits) < 20
    assert sorted(joined) == sorted(asks)
    assert sum(int(str((span.attributes or {})["db.operation.batch.size"])) for span in commits) == 20


async def test_a_rarer_ask_is_one_trace_too(
    database: Database, nats_url: str, bus: Bus, spans: InMemorySpanExporter
) -> None:
    async with quota_here(database, nats_url):
        await ask(bus, BLOCK_TOKEN, BlockToken(token_id=uuid4()), timeout_seconds=5)
    assert tree(spans) == [
        ("CLIENT", "INSERT quota.blocked_tokens", "process quota.v1.block_token"),
        ("CONSUMER", "process quota.v1.block_token", "publish quota.v1.block_token"),
        ("PRODUCER", "publish quota.v1.block_token", ""),
    ]


async def test_an_event_is_handled_and_acknowledged_in_the_trace_of_its_sender(
    database: Database, nats_url: str, bus: Bus, spans: InMemorySpanExporter
) -> None:
    change = SubscriptionChanged(account_id=uuid4(), plan="pro", revision=1, effective_at=datetime.now(UTC))

    async def is_acknowledged() -> bool:
        return any(span.name.startswith("process") for span in spans.get_finished_spans())

    async with quota_here(database, nats_url):
        await publish(bus, SUBSCRIPTION_CHANGED, change, event_id="one", timeout_seconds=5)
        assert await until(is_acknowledged, within_seconds=30)
    subject = SUBSCRIPTION_CHANGED.subject
    assert tree(spans) == [
        ("CLIENT", "INSERT quota.plan_changes", f"process {subject}"),
        ("CLIENT", f"ack {subject}", f"process {subject}"),
        ("CONSUMER", f"process {subject}", f"publish {subject}"),
        ("PRODUCER", f"publish {subject}", ""),
    ]
    assert len(traces(spans.get_finished_spans())) == 1


async def test_nothing_that_an_asker_sent_is_in_a_span(
    database: Database, nats_url: str, bus: Bus, spans: InMemorySpanExporter
) -> None:
    token_id = uuid4()
    async with quota_here(database, nats_url):
        await reserve(bus, uuid4(), token_id=token_id)
    assert str(token_id) not in "".join(span.to_json() for span in spans.get_finished_spans())
