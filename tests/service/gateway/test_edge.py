"""What every response of the gateway has, whoever answers, as a client sees it over a real connection."""

import asyncio
import json
import re
import signal
from uuid import UUID

import httpx
import pytest

from devstack.otlp import OtlpReceiver
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.gateway_process import Gateway, Process

THEIR_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def error_of(response: httpx.Response) -> dict[str, str | None]:
    assert response.headers["content-type"] == "application/json"
    content = response.json()
    assert set(content) == {"error"}
    assert set(content["error"]) == {"message", "type", "param", "code"}
    error: dict[str, str | None] = content["error"]
    return error


async def test_every_response_names_its_request_and_its_trace(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    token = await gateway.token()
    async with gateway.running() as process, process.client(token) as client:
        responses = [
            await client.get("/v1/models"),
            await client.get("/api/smart-routing-ai-model/v1/models"),
            await client.get("/v1/models", headers={"authorization": "Bearer no"}),
            await client.get("/v1/nowhere"),
            await client.post("/v1/models"),
            await client.get("/v1/models", headers={"x-big": "x" * 17_000}),
        ]
    assert [response.status_code for response in responses] == [200, 200, 401, 404, 405, 431]
    assert len({response.headers["x-request-id"] for response in responses}) == len(responses)
    for response in responses:
        assert UUID(response.headers["x-request-id"]).version == 7
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", response.headers["traceparent"])
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers
        assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_ids_and_trace_of_a_client_are_not_taken_over(fresh_database: FreshDatabase, nats_url: str) -> None:
    with OtlpReceiver() as receiver:
        gateway = Gateway(await fresh_database("gateway"), nats_url, receiver.environment)
        token = await gateway.token()
        theirs = {"x-request-id": "mine", "traceparent": THEIR_TRACE, "baggage": "evil=1"}
        async with gateway.running() as process, process.client(token) as client:
            response = await client.get("/v1/models/smart-route", headers=theirs)
            trace_id = response.headers["traceparent"].split("-")[1]
            spans = await receiver.wait_for_spans(trace_id, count=1)
        root = next(span for span in spans if span.parent_id is None)
    assert response.headers["x-request-id"] != "mine"
    assert trace_id != THEIR_TRACE.split("-")[1]
    assert [span.kind for span in spans].count("SERVER") == 1
    assert (root.kind, root.name, root.status) == ("SERVER", "GET /v1/models/{alias}", "UNSET")
    assert root.links == (("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),)
    assert root.attributes["http.route"] == "/v1/models/{alias}"
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["smartroute.request.id"] == response.headers["x-request-id"]
    assert token not in repr(spans)


async def test_what_frameworks_would_say_is_said_in_the_shape_of_openai(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    token = await gateway.token()
    async with gateway.running() as process, process.client(token) as client:
        unknown = await client.get("/v1/nowhere?x=<script>")
        wrong_method = await client.put("/v1/usage")
        wrong_method_in_other_base = await client.delete("/api/smart-routing-ai-model/v1/models/smart-route")
        preflight = await client.options(
            "/v1/models", headers={"origin": "https://a", "access-control-request-method": "GET"}
        )
        docs = [await client.get(path) for path in ("/redoc", "/v1/docs", "/v1/openapi.json", "/v1/", "/v1/models/")]
        many_headers = await client.get("/v1/models", headers={f"x-{number}": "1" for number in range(101)})
        declared = await raw(process, b"POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n", until=b"}}")
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "not_found")
    assert error_of(unknown)["message"] == "Unknown request URL: GET /v1/nowhere."
    assert (wrong_method.status_code, error_of(wrong_method)["code"]) == (405, "method_not_allowed")
    assert wrong_method.headers["allow"] == "GET"
    assert wrong_method_in_other_base.status_code == 405
    assert (preflight.status_code, error_of(preflight)["code"]) == (405, "method_not_allowed")
    assert {(page.status_code, error_of(page)["code"]) for page in docs} == {(404, "not_found")}
    assert (many_headers.status_code, error_of(many_headers)["code"]) == (431, "headers_too_large")
    assert declared.startswith(b"HTTP/1.1 413 ")
    assert json.loads(declared.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_too_large"


async def raw(process: Process, request: bytes, *, until: bytes | None = None) -> bytes:
    """What comes back on one connection: up to some bytes, or until the gateway closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(process.origin.rpartition(":")[2]))
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await (reader.readuntil(until) if until is not None else reader.read())
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 40_000, 431),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 300, 431),
        (b"GET /v1/" + b"y" * 40_000, 431),
        (b"GET /v1/" + b"y" * 4_000_000, 431),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\n", 408),
        (b"", 408),
    ],
)
async def test_what_is_not_http_or_never_ends_is_refused_and_cut(
    fresh_database: FreshDatabase, nats_url: str, request_bytes: bytes, status: int
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url, {"GATEWAY_HEADER_TIMEOUT_SECONDS": "0.5"})
    async with gateway.running() as process:
        answer = await raw(process, request_bytes)
    if not request_bytes:
        assert answer == b""
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == str(status).encode()
    assert b"\r\nx-request-id: " in head
    assert b"\r\nconnection: close" in head
    assert json.loads(body)["error"]["code"]


async def test_requests_are_measured_by_route_and_never_by_path(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    token = await gateway.token()
    async with gateway.running() as process, process.client(token) as client:
        await client.get("/v1/models/smart-route")
        await client.get("/v1/some/unknown/path")
        await client.request("BREW", "/v1/models")
        metrics = (await client.get(f"{process.health}/metrics")).text
    counts = [line for line in metrics.splitlines() if line.startswith("http_server_request_duration_seconds_count")]
    assert any('http_route="/v1/models/{alias}"' in line and 'code="200"' in line for line in counts)
    assert any('code="404"' in line and ('http_route=""' in line or "http_route" not in line) for line in counts)
    assert not [line for line in counts if "unknown/path" in line or "BREW" in line]
    assert {re.findall('otel_scope_name="([^"]*)"', line)[0] for line in counts} == {"smartroute"}


async def test_a_gateway_is_ready_only_while_it_can_serve(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.running() as process, process.client() as client:
        ready = await client.get(f"{process.health}/readyz")
        assert ready.json()["checks"] == {"accepting": True, "nats": True, "database": True, "schema": True}
        process.child.tell(signal.SIGTERM)
        assert await process.child.ended() == 0
