"""Installs one service into an environment of its own; run by the Dockerfile: `install.py SERVICE INTO`.

What the service needs is found by the metadata of the packages themselves, beginning with our own wheels, and nothing
is fetched that `requirements.lock` does not name with its hashes. Only wheels are taken: no code of theirs runs here.
"""

import compileall
import email
import os
import py_compile
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

# pip's own copies: the builder needs nothing beside pip, and this is how pip itself reads names and markers.
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

SOURCE = Path(__file__).resolve().parents[2]
LOCK = SOURCE / "requirements.lock"
CERTIFICATES = Path("/run/secrets/certificates")
_OURS = "smartroute-"
_BUILD_BACKEND = "uv-build"


def locked(text: str) -> dict[str, str]:
    """By name of a package, its lines in a lock: the version and all hashes."""
    entries = re.findall(r"^\S.*(?:\n[ \t]+.*)*", text, re.MULTILINE)
    return {canonicalize_name(re.split(r"[=\s]", entry, maxsplit=1)[0]): entry for entry in entries}


def requirements(wheel: Path) -> list[str]:
    """What a wheel says it requires."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return email.message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []


def closure(root: str, required: Mapping[str, Iterable[str]]) -> set[str]:
    """`root` and all that it requires by these, extras and markers considered; also names that are not among them."""
    waiting = {(root, "")}
    seen: set[tuple[str, str]] = set()
    while waiting:
        package, extra = waiting.pop()
        seen.add((package, extra))
        for text in required.get(package, ()):
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                name = canonicalize_name(wanted.name)
                waiting |= {(name, asked) for asked in ("", *wanted.extras)} - seen
    return {name for name, _ in seen}


def pip(*arguments: str) -> None:
    """pip of this environment, with the index settings of whoever builds."""
    own = {"PIP_CERT": str(CERTIFICATES)} if CERTIFICATES.exists() else {}
    # The build backend looks for its program on PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    subprocess.run(command, check=True, env={**os.environ, **own, "PATH": path})


def chosen(names: Iterable[str], entries: Mapping[str, str], *, into: Path) -> str:
    """A lock with these alone. A name that is not locked is an error: it would be fetched without a hash."""
    into.write_text("".join(f"{entries[name]}\n" for name in sorted(names)), encoding="utf-8")
    return str(into)


def fetch(service: str, *, wheels: Path) -> set[str]:
    """All wheels that the service needs, ours too; their names. In rounds: a package says itself what it needs."""
    entries = locked(LOCK.read_text(encoding="utf-8"))
    pip("install", "--no-deps", "--require-hashes", "-r", chosen([_BUILD_BACKEND], entries, into=wheels / "build.lock"))
    members = [str(path.parent) for path in sorted(SOURCE.glob("*/*/pyproject.toml"))]
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(wheels), *members)
    while True:
        required = {_name(wheel): requirements(wheel) for wheel in wheels.glob("*.whl")}
        needed = closure(_OURS + service, required)
        missing = needed - required.keys()
        if not missing:
            return needed
        lock = chosen(missing, entries, into=wheels / "round.lock")
        binary = ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
        pip("download", *binary, "--dest", str(wheels), "-r", lock)


def install(names: set[str], *, wheels: Path, into: Path) -> None:
    """Exactly these, into a new environment without pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(into)], check=True)
    files = sorted(str(wheel) for wheel in wheels.glob("*.whl") if _name(wheel) in names)
    pip("--python", str(into / "bin/python"), "install", "--no-index", "--no-deps", "--no-compile", *files)
    for path in (into / "bin").iterdir():
        # Programs of packages, and scripts for shells: an image runs `python -m`.
        if not path.name.startswith("python"):
            path.unlink()
    shutil.rmtree(into / "include", ignore_errors=True)


def settle(folder: Path, *, timestamp: int) -> None:
    """Compile, and give everything the same time: two builds of one commit have the same files, byte for byte."""
    # By the hash of nothing: the files are read-only, and a time in them would differ from build to build.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder / "lib", quiet=1, invalidation_mode=mode):
        sys.exit("not everything could be compiled")
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (timestamp, timestamp), follow_symlinks=False)


def _name(wheel: Path) -> str:
    return canonicalize_name(wheel.name.split("-", maxsplit=1)[0])


def main(service: str, into: Path) -> None:
    wheels = Path("/tmp/wheels")  # noqa: S108 - the builder's own
    wheels.mkdir()
    install(fetch(service, wheels=wheels), wheels=wheels, into=into)
    settle(into, timestamp=int(os.environ.get("SOURCE_DATE_EPOCH", "0")))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
