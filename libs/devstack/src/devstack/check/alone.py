"""Each service installs alone: with its own wheel, our libraries, and nothing but what those declare.

For each service a folder is made that holds its wheel, those of the libraries of ours that it asks for, and links to
exactly the other distributions that their metadata asks for. An isolated interpreter that sees only this folder and the
standard library imports the service and runs its `check-config`. A dependency that nobody declared is missing there, as
in an image.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devstack.repository import PLANS, PROFILES, ROOT

SERVICES = ("gateway", "quota", "router", "billing")
LIBRARIES = ("contracts", "chassis", "scoring")
_OURS = "smartroute-"

# Run by `python -I -S`: no site-packages, no .pth files, no PYTHON* variables. argv: folder, service, forbidden names.
_PROBE = """
import importlib, importlib.util, json, runpy, sys
folder, service, forbidden = sys.argv[1:4]
sys.path.append(folder)
importlib.import_module(service + ".app")
for name in json.loads(forbidden):
    if importlib.util.find_spec(name) is not None:
        sys.exit(service + " can import " + name)
sys.argv = [service, "check-config"]
runpy.run_module(service, run_name="__main__", alter_sys=True)
"""


def build_wheels(folder: Path) -> None:
    """The wheels of the services and libraries, with the pinned build backend of this environment."""
    members = [f"services/{name}" for name in SERVICES] + [f"libs/{name}" for name in LIBRARIES]
    _pip(
        "wheel",
        "--no-build-isolation",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        *(str(ROOT / each) for each in members),
    )


def install(service: str, *, wheels: Path, into: Path) -> None:
    """The service and the libraries of ours that it needs from their wheels; the rest as links to what is here."""
    needed = _closure({_OURS + service: distribution(_OURS + service)}) | {_OURS + service}
    names = sorted(name.removeprefix(_OURS) for name in needed if name.startswith(_OURS))
    ours = [str(next(wheels.glob(f"smartroute_{name}-*.whl"))) for name in names]
    _pip("install", "--no-deps", "--no-compile", "--target", str(into), *ours)
    installed = {_name(found): found for found in distributions(path=[str(into)])}
    for name in sorted(_closure(installed) - installed.keys()):
        _link(distribution(name), into)


def _pip(command: str, *arguments: str) -> None:
    own = ["--quiet", "--no-index", "--disable-pip-version-check"]
    # The build backend looks for its program on PATH; this environment need not be activated.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    result = subprocess.run(
        [sys.executable, "-m", "pip", command, *own, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    if result.returncode:
        raise SystemExit(f"pip {command} failed:\n{result.stdout}{result.stderr}")


def _name(found: Distribution) -> str:
    return canonicalize_name(found.metadata["Name"])


def _closure(roots: dict[str, Distribution]) -> set[str]:
    """The names of all that `roots` need here, their extras and markers considered."""
    seen: set[tuple[str, str]] = set()
    waiting: list[tuple[Distribution, str]] = [(found, "") for found in roots.values()]
    while waiting:
        found, extra = waiting.pop()
        for text in found.requires or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            for asked in ("", *requirement.extras):
                if (name, asked) not in seen:
                    seen.add((name, asked))
                    waiting.append((roots[name] if name in roots else distribution(name), asked))
    return {name for name, _ in seen}


def _link(found: Distribution, into: Path) -> None:
    """Every file of a distribution, as a link. Files one by one: some packages share a folder with others."""
    for file in found.files or ():
        if ".." in file.parts:  # scripts
            continue
        target = into / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(Path(str(found.locate_file(file))))


def probe(service: str, folder: Path, forbidden: Iterable[str]) -> str | None:
    """What went wrong when the service was imported and asked for `check-config`; None if nothing."""
    prefix = service.upper()
    # What a deployment must give; every other setting has a default. Nothing is connected to.
    environment = {
        "PATH": "/nonexistent",
        f"{prefix}_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        f"{prefix}_PLANS_FILE": str(PLANS),
        "ROUTER_PROFILES_FILE": str(PROFILES),
        "GATEWAY_DATA_DIR": "/nonexistent",
        "GATEWAY_SIGNING_KEY": "only-here-to-be-long-enough-for-a-check",
    }
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _PROBE, str(folder), service, json.dumps(sorted(forbidden))],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment,
    )
    if result.returncode:
        return f"{service}: exit code {result.returncode}\n{result.stdout[-2000:]}{result.stderr[-4000:]}"
    return None


def main() -> int:
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sr-alone-") as temporary:
        wheels = Path(temporary) / "wheels"
        build_wheels(wheels)
        for service in SERVICES:
            folder = Path(temporary) / service
            install(service, wheels=wheels, into=folder)
            forbidden = {*SERVICES, "devstack", "tests", "pytest"} - {service}
            if fault := probe(service, folder, forbidden):
                faults.append(fault)
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
