"""What every page of the portal has, and what is shown when there is none, over HTTP."""

import re

import httpx
import pytest

from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.gateway_process import Gateway

PAGE = {"accept": "text/html,application/xhtml+xml"}


async def test_the_first_page_is_there_without_router_and_quota(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.running() as process, process.client() as client:
        page = await client.get("/", headers=PAGE)
        head = await client.head("/", headers=PAGE)
    assert page.status_code == 200
    assert "smart-route-infinite" in page.text
    assert "http://127.0.0.1:8080/v1" in page.text, "the public URL, not what the request was sent to"
    assert page.headers["cache-control"] == "no-store"
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == page.headers["content-length"]


async def test_all_that_a_page_names_is_served_by_us_and_may_be_kept(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.running() as process, process.client() as client:
        page = (await client.get("/", headers=PAGE)).text
        named = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
        files = [await client.get(path) for path in named]
    assert len(named) >= 3
    assert {file.status_code for file in files} == {200}
    assert {file.headers["cache-control"] for file in files} == {"public, max-age=31536000, immutable"}
    assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', page)


async def test_a_person_gets_a_page_and_a_program_gets_json_where_nothing_is(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.running() as process, process.client() as client:
        for path in ("/nowhere", "/<script>alert(1)</script>", "/static/nowhere.css/x"):
            shown = await client.get(path, headers=PAGE)
            assert shown.status_code == 404
            assert "<script>alert" not in shown.text
        told = await client.get("/nowhere")
        api = await client.get("/v1/nowhere", headers=PAGE)
        wrong_method = await client.post("/", headers={**PAGE, "origin": process.origin})
    assert told.json()["error"]["code"] == "not_found"
    assert api.json()["error"]["code"] == "not_found", "what begins like the API is the API"
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded"),
        (b'{"email": "a"}', "application/json"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"email=%00", "application/x-www-form-urlencoded"),
        (b"email=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=1" for _ in range(60)), "application/x-www-form-urlencoded"),
    ],
    ids=["too large", "json", "multipart", "nul", "not ascii", "too many fields"],
)
async def test_what_is_no_form_is_refused_calmly(
    fresh_database: FreshDatabase, nats_url: str, content: bytes, kind: str
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.running() as process, process.client() as client:
        headers = {**PAGE, "origin": process.origin, "content-type": kind}
        answer: httpx.Response = await client.post("/sign-in", content=content, headers=headers)
    assert (answer.status_code, "Nothing was changed." in answer.text) == (400, True)


async def test_a_broken_cookie_is_nobodys(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.running() as process, process.client() as client:
        for cookie in ("__Host-smartroute_session=", "__Host-smartroute_session=\xff\xfe", '=;;"', "a" * 4000):
            page = await client.get("/", headers=[(b"accept", b"text/html"), (b"cookie", cookie.encode("latin-1"))])
            assert page.status_code == 200
            assert 'href="/sign-in"' in page.text
