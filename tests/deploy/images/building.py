"""Builds the images as anybody may, without an engine or a registry: Debian's buildah, on a base of Debian's packages.

The base stands in for the images that the Dockerfile names: the same Python in the same way. It is kept in the user's
cache, and so is what pip fetched; the storage of the images is there, too, and not the machine's own.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from devstack.repository import ROOT

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smartroute"
_BASE = "localhost/smartroute-base"
_TOOLS = ("buildah", "mmdebstrap")
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_INDEX_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy")
_BUILD_SECONDS = 1200
# The Debian release whose Python is that of the Dockerfile's default.
_RELEASE = "bookworm"


@dataclass(frozen=True, slots=True)
class Image:
    """A built image, and its files in a folder of this machine."""

    name: str
    files: Path
    configuration: dict[str, object]


@cache
def why_not() -> str | None:
    """Why nothing can be built here; None when it can. As root, missing tools are installed."""
    if os.geteuid() != 0:
        return "images are built in a chroot, which only root may"
    if all(shutil.which(tool) for tool in _TOOLS):
        return None
    if shutil.which("apt-get") is None:
        return f"no {' and '.join(_TOOLS)} here, and no apt to install them"
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *_TOOLS]
    result = subprocess.run(install, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS)
    return f"apt cannot install {' and '.join(_TOOLS)}: {result.stderr[-300:]}" if result.returncode else None


def copy_sources(into: Path) -> Path:
    """What images are made from, as it is now: somebody may go on working while images are built."""
    sources = into / "sources"
    left_out = shutil.ignore_patterns("__pycache__", "devstack", "schemas")
    for part in ("deploy/images", "libs", "services"):
        shutil.copytree(ROOT / part, sources / part, ignore=left_out)
    for part in ("deploy/Dockerfile", "deploy/Dockerfile.dockerignore", "requirements.lock"):
        shutil.copy2(ROOT / part, sources / part)
    return sources


def build(service: str, *, sources: Path, tag: str = "built", created_at: int) -> Image:
    """The image of a service from such a copy."""
    _make_base()
    name = f"localhost/smartroute/{service}:{tag}"
    pip_settings = sources.parent / "pip.conf"
    pip_settings.write_text(_index_settings(), encoding="utf-8")
    arguments = {
        "SERVICE": service,
        "BUILDER_IMAGE": _BASE,
        "RUNTIME_IMAGE": _BASE,
        "SOURCE_DATE_EPOCH": str(created_at),
        "VERSION": "1.2.3",
        "REVISION": "0123abc",
    }
    given = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    secrets = ["--secret", f"id=pip,src={pip_settings}"]
    if _CERTIFICATES.exists():
        secrets += ["--secret", f"id=certificates,src={_CERTIFICATES}"]
    dockerfile = ["--file", str(sources / "deploy/Dockerfile")]
    _buildah("build", *_ISOLATION, *dockerfile, *given, *secrets, "--tag", name, str(sources))
    return _mounted(name)


# The other isolations of buildah need a kernel and rights that a container of a build farm has not.
_ISOLATION = ("--isolation", "chroot", "--network", "host", "--pull-never")


def _mounted(name: str) -> Image:
    container = _buildah("from", "--pull-never", name).strip()
    files = Path(_buildah("mount", container).strip())
    configuration = json.loads(_buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
    return Image(name, files, configuration)


def remove_all() -> None:
    """Remove containers and images, but not the base."""
    _buildah("rm", "--all")
    for name in _buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        if "/smartroute/" in name:
            _buildah("rmi", "--force", name)


def _make_base() -> None:
    if _BASE in _buildah("images", "--format", "{{.Name}}"):
        return
    files = _CACHE / "base.tar"
    if not files.exists():
        _bootstrap(files)
    container = _buildah("from", "scratch").strip()
    _buildah("add", "--quiet", container, str(files), "/")
    _buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
    _buildah("commit", "--quiet", "--rm", container, _BASE)


def _bootstrap(files: Path) -> None:
    """Debian's Python alone, from the mirror that this machine uses."""
    half = files.with_name("base.half.tar")
    packages = "--include=python3,python3-venv,ca-certificates"
    without = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale")]
    source = next(str(path) for path in _SOURCES if path.exists())
    files.parent.mkdir(parents=True, exist_ok=True)
    _run("mmdebstrap", "--variant=minbase", packages, *without, _RELEASE, str(half), source)
    half.rename(files)


def _index_settings() -> str:
    """The user's own index, if they have one. Other settings are about files of this machine."""
    listed = _run("python3", "-m", "pip", "config", "list").splitlines()
    settings = [line.partition("=") for line in listed]
    lines = [
        f"{key.removeprefix('global.')} = {json.loads(value.replace(chr(39), chr(34)))}"
        for key, _, value in settings
        if key.removeprefix("global.") in _INDEX_SETTINGS and "file:" not in value
    ]
    return "\n".join(["[global]", *lines, ""])


def _buildah(*arguments: str) -> str:
    places = ["--root", str(_CACHE / "storage"), "--runroot", str(_CACHE / "run")]
    return _run("buildah", *places, *arguments)


def _run(*command: str) -> str:
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=_BUILD_SECONDS, stdin=subprocess.DEVNULL
    )
    if result.returncode:
        words = f"{result.stdout[-3000:]}{result.stderr[-3000:]}"
        raise AssertionError(f"{command[0]} failed ({result.returncode}):\n{words}")
    return result.stdout
