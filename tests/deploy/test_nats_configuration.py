"""`nats.conf` of the manifests, read by a real server with the contracts' users and the documented certificates."""

import asyncio
import re
import shutil
from pathlib import Path

import pytest
import pytest_asyncio

from devstack.nats import binary
from tests.deploy.k8s.place import K8S, REPOSITORY

USERS = REPOSITORY / "deploy/nats/users.conf"
GUIDE = REPOSITORY / "docs/kubernetes.md"
PLACES = ("nats-tls", "nats-routes")


async def _checked(text: str, folder: Path) -> tuple[int, str]:
    """What the server says of a configuration, with the paths of a pod below `folder`."""
    (folder / "nats.conf").write_text(re.sub(r'"(/etc|/data|/var)', rf'"{folder}\1', text), encoding="utf-8")
    (folder / "users.conf").write_text(USERS.read_text(encoding="utf-8"), encoding="utf-8")
    passwords = {name: "letters1" for name in re.findall(r"\$(NATS_\w+)", USERS.read_text(encoding="utf-8"))}
    checking = await asyncio.create_subprocess_exec(
        binary(), "-t", "-c", str(folder / "nats.conf"),
        env={"POD_NAME": "nats-0", **passwords},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await checking.communicate()
    return checking.returncode or 0, said.decode()


async def _ran(*command: str, folder: Path) -> None:
    running = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await running.communicate()
    assert running.returncode == 0, said.decode()


@pytest_asyncio.fixture
async def certificates(tmp_path: Path) -> Path:
    """What the documentation's commands make, laid out as in a pod."""
    (commands,) = re.findall(r"```sh\n(cat > names\.cnf.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    await _ran("sh", "-euc", commands, folder=tmp_path)
    for place in PLACES:
        (tmp_path / "etc" / place).mkdir(parents=True)
        for made, name in ((".crt", "tls.crt"), (".key", "tls.key"), ("-authority.crt", "ca.crt")):
            shutil.copy(tmp_path / f"{place}{made}", tmp_path / "etc" / place / name)
    return tmp_path


async def test_the_servers_of_production_take_their_configuration(certificates: Path) -> None:
    code, said = await _checked((K8S / "components/nats/nats.conf").read_text(encoding="utf-8"), certificates)
    assert code == 0, said


@pytest.mark.parametrize("node", ["nats-0.nats", "nats-1.nats", "nats-2.nats"])
async def test_the_documented_certificates_are_good_for_every_node(certificates: Path, node: str) -> None:
    for place, purpose in ((PLACES[0], "sslserver"), (PLACES[1], "sslserver"), (PLACES[1], "sslclient")):
        files = certificates / "etc" / place
        await _ran(
            "openssl", "verify", "-x509_strict", "-purpose", purpose, "-verify_hostname", node,
            "-CAfile", str(files / "ca.crt"), str(files / "tls.crt"),
            folder=certificates,
        )  # fmt: skip


async def test_the_server_of_dev_takes_its_configuration(tmp_path: Path) -> None:
    code, said = await _checked((K8S / "overlays/dev/nats.conf").read_text(encoding="utf-8"), tmp_path)
    assert code == 0, said


async def test_a_word_that_the_server_does_not_know_is_refused(tmp_path: Path) -> None:
    text = (K8S / "overlays/dev/nats.conf").read_text(encoding="utf-8").replace("max_payload", "max_playload")
    code, said = await _checked(text, tmp_path)
    assert code != 0
    assert "max_playload" in said
