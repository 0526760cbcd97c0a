"""The deny table of the bus: every user tries every subject there is, on servers that have the users' file of the
manifests. What it may is worked out here from the contracts, by another way than the file is.
"""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.errors import NoServersError

from chassis import bus
from chassis.bus import BusError, provision
from chassis.bus import connection as connection_module
from contracts.gateway import ATTEMPTS_FINISHED, TOKEN_REVOKED
from contracts.registry import EVENTS, RPCS, SIGNALS
from contracts.streams import BUCKETS, DURABLES, STREAMS
from devstack import nats as servers
from devstack.nats import NatsAccess
from devstack.probes import until
from devstack.pytest_plugin import short_folder
from devstack.supervisor import Supervisor

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = ("gateway", "quota", "router", "billing")
USERS = (*SERVICES, "provision", "staff")
STORED = (*(stream.name for stream in STREAMS), *(f"KV_{bucket.name}" for bucket in BUCKETS))
REFUSED = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]+)"')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def access() -> AsyncIterator[NatsAccess]:
    with short_folder() as folder:
        cluster = servers.prepare_cluster(folder / "nats", logs=folder, is_guarded=True)
        async with Supervisor() as supervisor:
            await supervisor.start(*(node.program for node in cluster.nodes))
            await provision(cluster.access.of("provision"), replicas=3, ca_file=cluster.access.ca_file)
            yield cluster.access


@asynccontextmanager
async def as_user(access: NatsAccess, user: str) -> AsyncIterator[tuple[Client, set[str]]]:
    """A client of this user, and what the server has refused it, in lower case as nats-py has it."""
    refused: set[str] = set()

    async def on_error(error: Exception) -> None:
        refused.update(REFUSED.findall(str(error).lower()))

    assert access.ca_file is not None
    client = await nats.connect(
        access.of(user).split(","),
        tls=ssl.create_default_context(cafile=access.ca_file),
        tls_handshake_first=True,
        inbox_prefix=f"_INBOX_{user}",
        error_cb=on_error,
    )
    try:
        yield client, refused
    finally:
        await client.close()


def spoken() -> dict[str, set[str]]:
    """Every subject of the contracts, with who may publish it."""
    table = {rpc.subject: set(rpc.asked_by) for rpc in RPCS}
    table["router.v1.take_over"].add("staff")
    for event in EVENTS:
        table[event.subject] = {event.subject.split(".")[0], *event.also_told_by}
    for signal in SIGNALS:
        table[signal.subject] = {signal.subject.split(".")[0]}
    for durable in DURABLES:
        table[f"dead_letter.v1.{durable.name}"] = {durable.service}
        table[f"dead_letter.v1.discarded.{durable.name}"] = {"staff"}
    return table


def replies() -> dict[str, set[str]]:
    """Inboxes: every user's, as each of the others would answer it."""
    may: dict[str, set[str]] = {}
    for asker in USERS:
        may[f"_INBOX_{asker}.made_up"] = set()
        for answering in SERVICES:
            owned = [rpc for rpc in RPCS if rpc.subject.split(".")[0] == answering]
            asks = any(asker in rpc.asked_by for rpc in owned) or (asker, answering) == ("staff", "router")
            may[f"_INBOX_{asker}.{answering}.made_up"] = {answering} if asks else set()
    return may


def stored() -> dict[str, set[str]]:
    """JetStream's own subjects: reading, making, emptying and deleting everything that is stored."""
    table: dict[str, set[str]] = {}
    readers = {"REQUESTS": {"billing"}, "DEAD_LETTERS": {"billing"}}
    readers |= {f"KV_{bucket.name}": {"router"} for bucket in BUCKETS}
    for name in STORED:
        consuming = {durable.service for durable in DURABLES if durable.stream == name}
        # Those with durables look how many messages of theirs were given up.
        watching = {durable.service for durable in DURABLES} if name == "DEAD_LETTERS" else set()
        reading = readers.get(name, set()) | ({"staff"} if not name.startswith("KV_") else set())
        table[f"$JS.API.STREAM.INFO.{name}"] = reading | consuming | watching | {"provision"}
        table[f"$JS.API.STREAM.MSG.GET.{name}"] = reading
        table[f"$JS.API.DIRECT.GET.{name}"] = reading
        for verb in ("CREATE", "UPDATE"):
            table[f"$JS.API.STREAM.{verb}.{name}"] = {"provision"}
        for verb in ("DELETE", "PURGE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN", "PEER.REMOVE"):
            table[f"$JS.API.STREAM.{verb}.{name}"] = set()
        table[f"$JS.API.STREAM.MSG.DELETE.{name}"] = {"staff"} if name == "DEAD_LETTERS" else set()
        table[f"$JS.API.CONSUMER.CREATE.{name}"] = set()
        table[f"$JS.API.CONSUMER.CREATE.{name}.made_up"] = set()
    for durable in DURABLES:
        place = f"{durable.stream}.{durable.name}"
        looking = {durable.service, "staff", "provision"} | readers.get(durable.stream, set())
        table[f"$JS.API.CONSUMER.INFO.{place}"] = looking
        table[f"$JS.API.CONSUMER.MSG.NEXT.{place}"] = {durable.service}
        table[f"$JS.ACK.{place}.1.1.1.1.0"] = {durable.service}
        table[f"$JS.API.CONSUMER.DELETE.{place}"] = set()
        table[f"$JS.API.CONSUMER.DURABLE.CREATE.{place}"] = set()
    for bucket in BUCKETS:
        table[f"$KV.{bucket.name}.made_up"] = {"router"}
        table[f"$JS.API.DIRECT.GET.KV_{bucket.name}.$KV.{bucket.name}.made_up"] = {"router"}
    general = ("INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.CREATE.MADE_UP")
    return table | {f"$JS.API.{verb}": set() for verb in general}


def heard() -> dict[str, set[str]]:
    """What can be listened to, with who may."""
    table = {rpc.subject: {rpc.subject.split(".")[0]} for rpc in RPCS}
    table |= {event.subject: set() for event in EVENTS}  # read from their streams alone
    table |= {ATTEMPTS_FINISHED.subject: {"router"}, TOKEN_REVOKED.subject: {"gateway"}}
    table |= {f"_INBOX_{user}.>": {user} for user in USERS}
    others = ("$JS.EVENT.>", "$JS.API.>", "$SYS.>", "$KV.>", "dead_letter.v1.>", "_INBOX.>", ">")
    return table | {subject: set() for subject in (*others, *(f"{service}.>" for service in SERVICES))}


def refusals(table: dict[str, set[str]], user: str) -> Iterator[str]:
    yield from (subject.lower() for subject, may in table.items() if user not in may)


async def all_told(client: Client, refused: set[str], expected: set[str]) -> None:
    """The first PONG may overtake the last refusal in nats-py's queue of callbacks."""
    deadline = time.monotonic() + 5
    while len(refused) < len(expected) and time.monotonic() < deadline:
        await client.flush()


@pytest.mark.parametrize("user", USERS)
async def test_a_user_may_publish_what_the_contracts_say_and_nothing_else(access: NatsAccess, user: str) -> None:
    table = {**spoken(), **replies(), **stored(), "$SYS.REQ.SERVER.PING": set(), "made_up": set()}
    async with as_user(access, user) as (client, refused):
        for subject in table:
            await client.publish(subject)
        await client.flush()
        expected = set(refusals(table, user))
        await all_told(client, refused, expected)
    assert expected - refused == set(), "may, and should not"
    assert refused - expected == set(), "should, and may not"


@pytest.mark.parametrize("user", USERS)
async def test_a_user_may_hear_what_the_contracts_say_and_nothing_else(access: NatsAccess, user: str) -> None:
    table = heard()
    async with as_user(access, user) as (client, refused):
        for subject in table:
            await client.subscribe(subject)
        await client.flush()
        expected = set(refusals(table, user))
        await all_told(client, refused, expected)
    assert expected - refused == set(), "may, and should not"
    assert refused - expected == set(), "should, and may not"


async def test_nobody_comes_in_without_a_user(access: NatsAccess) -> None:
    addresses = [f"nats://{url.rpartition('@')[2]}" for url in access.url.split(",")]
    trust = ssl.create_default_context(cafile=access.ca_file)

    async def on_error(error: Exception) -> None:
        said.append(str(error).lower())

    said: list[str] = []
    with pytest.raises((NoServersError, nats.errors.Error)):
        await nats.connect(
            addresses, tls=trust, tls_handshake_first=True, allow_reconnect=False, error_cb=on_error, connect_timeout=5
        )
    assert any("authorization violation" in line for line in said)


async def test_a_client_that_asks_for_no_tls_hears_nothing(access: NatsAccess) -> None:
    host, _, port = access.url.split(",")[0].rpartition("@")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    await writer.drain()
    async with asyncio.timeout(10):
        said = await reader.read()  # a TLS alert, and the end
    writer.close()
    assert b"INFO" not in said
    assert b"PONG" not in said


async def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(access: NatsAccess, tmp_path: Path) -> None:
    from devstack.certificates import certificates

    stranger = certificates(tmp_path / "stranger")
    with pytest.raises(BusError, match="did not answer"):
        async with bus.connect(
            access.of("quota"), name="test", instance="test", ca_file=stranger.ca_file, wait_seconds=1.0
        ):
            pass


async def test_until_when_the_certificate_of_a_server_is_good_is_measured(
    access: NatsAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[float] = []
    monkeypatch.setattr(connection_module._expiry, "set", measured.append)
    async with bus.connect(access.of("quota"), name="quota", instance="test", ca_file=access.ca_file) as connection:
        assert len(measured) == 1
        transport: Any = connection.client._transport
        transport._bare_io_writer.transport.abort()

        async def is_measured_again() -> bool:
            return len(measured) == 2

        assert await until(is_measured_again, within_seconds=20)
    for moment in measured:
        assert 29 < (moment - time.time()) / 86_400 <= 30


async def test_an_authority_that_cannot_be_read_is_named(access: NatsAccess, tmp_path: Path) -> None:
    with pytest.raises(BusError, match=r"missing\.pem"):
        async with bus.connect(access.url, name="test", instance="test", ca_file=tmp_path / "missing.pem"):
            pass


async def test_what_the_server_refuses_is_logged_and_counted(
    access: NatsAccess, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(connection_module._violations, "add", counted.append)
    async with bus.connect(access.of("router"), name="router", instance="test", ca_file=access.ca_file) as connection:
        await connection.client.publish("quota.v1.reserve", b"{}")
        deadline = time.monotonic() + 5
        while not any("NATS reported" in record.message for record in caplog.records) and time.monotonic() < deadline:
            await connection.flush()
    reasons = [str(getattr(record, "reason", "")) for record in caplog.records]
    assert any('permissions violation for publish to "quota.v1.reserve"' in reason for reason in reasons)
    assert counted == [1]
