"""All four images, built for real and started as Kubernetes starts them. `make test-images`: some ten minutes."""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack import programs
from devstack.check.alone import SERVICES
from devstack.children import Child, Program, run_to_end
from devstack.database import SERVICES_WITH_TABLES, Database
from devstack.nats import NatsAccess
from devstack.ports import free_port
from devstack.probes import http_get, http_ready
from devstack.repository import PLANS, PROFILES
from tests.deploy.images import building, running

pytestmark = [
    pytest.mark.images,
    pytest.mark.timeout(2400),
    # Building for minutes, once: all of it in one process.
    pytest.mark.xdist_group("images"),
]

CREATED_AT = 1_790_000_000
PLACE = "opt/smartroute"
BuiltImage = Callable[[str], building.Image]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := building.why_not():
        pytest.skip(reason)
    return building.copy_sources(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def built(sources: Path) -> Iterator[BuiltImage]:
    """`built("gateway")`: its image, built once."""
    images: dict[str, building.Image] = {}

    def image(service: str) -> building.Image:
        if service not in images:
            images[service] = building.build(service, sources=sources, created_at=CREATED_AT)
        return images[service]

    try:
        yield image
    finally:
        building.remove_all()


@pytest.fixture
def mounts(data_dir: Path) -> running.Mounts:
    """Plans and profiles to read, and an empty folder of the image's user."""
    found = running.Mounts(data_dir / "configuration", data_dir / "data")
    found.configuration.mkdir()
    found.data.mkdir()
    os.chown(found.data, running.USER, running.USER)
    for source in (PLANS, PROFILES):
        (found.configuration / source.name).write_bytes(source.read_bytes())
    return found


def packages(image: building.Image) -> Path:
    return next((image.files / PLACE / "lib").glob("python3.*/site-packages"))


def digests(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Of everything in a folder: mode, time and content."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        name = str(path.relative_to(folder))
        found[name] = (status.st_mode, int(status.st_mtime), hashlib.sha256(content).hexdigest())
    return found


@pytest.mark.parametrize("service", SERVICES)
async def test_an_image_migrates_gets_ready_and_stops_on_a_read_only_root(
    service: str, built: BuiltImage, mounts: running.Mounts, database: Database, nats_url: str, data_dir: Path
) -> None:
    image = built(service)
    if service in SERVICES_WITH_TABLES:
        owner = running.environment(image, {f"{service.upper()}_DATABASE_URL": database.owner_url(service)})
        log = data_dir / "migrate.log"
        await run_to_end("migrate", running.command(image, mounts, "migrate"), log=log, environment=owner)
    replica = programs.Replica(service, 1, free_port(), free_port() if service == "gateway" else 0)
    told = programs.told(replica, surroundings(nats_url, database, data_dir))
    environment = running.environment(image, told)
    if service == "billing":
        make = running.command(image, mounts, "close-key", "new", told["BILLING_CLOSE_KEY_FILE"])
        (mounts.data / "config").mkdir()
        os.chown(mounts.data / "config", running.USER, running.USER)
        await run_to_end("close-key", make, log=data_dir / "key.log", environment=environment)
    ready = http_ready(f"{replica.health_origin}/readyz")
    command = running.command(image, mounts)
    process = await Child.begin(
        Program(service, command, data_dir / "service.log", ready, environment, ready_seconds=60)
    )
    try:
        await process.until_ready()
        status, answer = await http_get(f"{replica.health_origin}/readyz")
        assert status == 200, answer
        assert owner_of(process.pid) == (running.USER, running.USER)
        if service == "gateway":
            await has_its_pages(replica.origin)
    finally:
        await process.end()
    assert process.code == 0, process.last_words()


def surroundings(nats_url: str, database: Database, folder: Path) -> programs.Surroundings:
    return programs.Surroundings(
        nats=NatsAccess(nats_url),
        database=database,
        plans=running.CONFIGURATION / PLANS.name,
        profiles=running.CONFIGURATION / PROFILES.name,
        signing_key="only-here-to-be-long-enough-for-a-test",
        logs=folder,
        data=running.DATA,
        origin="http://smartroute.example",
        mail_url="smtp://127.0.0.1:1",
    )


def owner_of(pid: int) -> tuple[int, int]:
    """User and group of a process, as the kernel sees them."""
    text = Path(f"/proc/{pid}/status").read_text()
    user, group = (re.search(rf"^{key}:\s+\d+\s+(\d+)", text, re.MULTILINE) for key in ("Uid", "Gid"))
    assert user
    assert group
    return int(user[1]), int(group[1])


async def has_its_pages(origin: str) -> None:
    """A page of the portal, and a file that it names."""
    status, page = await http_get(f"{origin}/sign-in", headers={"Host": "smartroute.example"})
    assert status == 200
    sheet = re.search(rb'href="(/[^"]+\.css[^"]*)"', page)
    assert sheet
    status, _ = await http_get(origin + sheet[1].decode(), headers={"Host": "smartroute.example"})
    assert status == 200


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_says_what_it_is(service: str, built: BuiltImage) -> None:
    configuration = built(service).configuration
    assert configuration["User"] == f"{running.USER}:{running.USER}"
    assert configuration["StopSignal"] == "SIGTERM"
    assert configuration["Cmd"] == ["serve"]
    assert "Healthcheck" not in configuration
    labels = configuration["Labels"]
    assert isinstance(labels, dict)
    assert labels["org.opencontainers.image.version"] == "1.2.3"
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    assert service in labels["org.opencontainers.image.title"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_its_service_alone_and_nothing_that_installs_or_builds(service: str, built: BuiltImage) -> None:
    image = built(service)
    names = {path.name for path in packages(image).iterdir()}
    assert service in names
    assert not names & ({*SERVICES, "devstack", "tests", "pip", "setuptools", "pytest"} - {service})
    programs_in_it = [path.name for path in (image.files / PLACE / "bin").iterdir()]
    assert all(re.fullmatch(r"python[\d.]*", name) for name in programs_in_it)
    for program in ("pip", "pip3", "gcc", "cc", "make", "uv", "git"):
        assert shutil.which(program, path=f"{image.files}/usr/bin:{image.files}/usr/local/bin") is None
    assert not list((image.files / "usr/lib").glob("python3*/ensurepip"))
    assert not (image.files / "source").exists()
    assert not (image.files / "tools").exists()


@pytest.mark.parametrize("service", SERVICES)
def test_all_of_a_service_is_compiled_and_no_file_of_it_can_be_changed_by_its_user(
    service: str, built: BuiltImage
) -> None:
    place = built(service).files / PLACE
    for path in (place, *place.rglob("*")):
        status = path.lstat()
        assert status.st_uid == 0, path
        assert path.is_symlink() or not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH), path
    sources = [path for path in packages(built(service)).rglob("*.py") if path.parent.name != "examples"]
    assert len(sources) > 1000
    for source in sources:
        assert list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")), source


def test_secrets_of_the_build_are_not_in_an_image(built: BuiltImage) -> None:
    files = built("router").files
    assert not (files / "etc/pip.conf").is_file()
    assert not (files / "run/secrets").exists()
    assert "PIP_" not in json.dumps(built("router").configuration)


def test_two_builds_of_one_commit_have_the_same_files(built: BuiltImage, sources: Path) -> None:
    first = built("router")
    second = building.build("router", sources=sources, tag="again", created_at=CREATED_AT)
    assert digests(first.files / PLACE) == digests(second.files / PLACE)
    assert {found[1] for found in digests(first.files / PLACE).values()} == {CREATED_AT}
