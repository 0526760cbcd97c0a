"""`nats.conf` of the manifests, read by a real server with the users' file."""

import asyncio
import re
from pathlib import Path

from devstack.nats import binary
from tests.deploy.k8s.place import K8S, REPOSITORY

USERS = REPOSITORY / "deploy/nats/users.conf"


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


async def _certificates(folder: Path) -> None:
    for place in ("etc/nats-tls", "etc/nats-routes"):
        (folder / place).mkdir(parents=True)
        making = await asyncio.create_subprocess_exec(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
            "-subj", "/CN=test", "-keyout", str(folder / place / "tls.key"), "-out", str(folder / place / "tls.crt"),
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await making.wait() == 0
        (folder / place / "ca.crt").write_bytes((folder / place / "tls.crt").read_bytes())


async def test_the_servers_of_production_take_their_configuration(tmp_path: Path) -> None:
    await _certificates(tmp_path)
    code, said = await _checked((K8S / "components/nats/nats.conf").read_text(encoding="utf-8"), tmp_path)
    assert code == 0, said


async def test_the_server_of_dev_takes_its_configuration(tmp_path: Path) -> None:
    code, said = await _checked((K8S / "overlays/dev/nats.conf").read_text(encoding="utf-8"), tmp_path)
    assert code == 0, said


async def test_a_word_that_the_server_does_not_know_is_refused(tmp_path: Path) -> None:
    text = (K8S / "overlays/dev/nats.conf").read_text(encoding="utf-8").replace("max_payload", "max_playload")
    code, said = await _checked(text, tmp_path)
    assert code != 0
    assert "max_playload" in said
