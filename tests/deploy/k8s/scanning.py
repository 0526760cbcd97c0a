"""Tools of others, from an environment of their own: Kubernetes' schemas, and what checkov knows of bad habits."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.deploy.k8s import crds
from tests.deploy.k8s.place import REPOSITORY

KUBERNETES = "1.36.0"
_WITHOUT_SCHEMA = re.compile(r"Couldn't find schema for kind (?P<kind>\S+) with api version (?P<version>\S+) ")
EXCEPTIONS = Path(__file__).parent / "exceptions.yaml"


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of the environment that `make k8s-check` sets up."""

    folder: Path

    @classmethod
    def installed(cls) -> "Tools | None":
        folder = Path(os.environ.get("SMARTROUTE_K8S") or REPOSITORY / ".smartroute-k8s")
        return cls(folder) if (folder / "bin/checkov").exists() else None

    def schema_faults(self, file: Path) -> Iterator[str]:
        """What Kubernetes' own schemas say, fields that they do not know included; kinds that nobody knows."""
        # It ends well for a kind without a schema, and only warns: those of others have theirs here.
        called = [str(self.folder / "bin/kubernetes-validate"), "--strict", "--quiet", "-k", KUBERNETES, str(file)]
        done = subprocess.run(called, capture_output=True, text=True, check=False)
        known = crds.kinds()
        lines = (done.stdout + done.stderr).strip().splitlines()
        for line in lines:
            unknown = _WITHOUT_SCHEMA.search(line)
            if unknown is None or (unknown["version"], unknown["kind"]) not in known:
                yield line
        if done.returncode and not lines:
            yield f"kubernetes-validate ended with {done.returncode}"

    def habits(self, file: Path) -> Iterator[str]:
        """What checkov finds beyond the written exceptions, and exceptions that nothing needs."""
        called = [
            str(self.folder / "bin/checkov"),
            "--file",
            str(file),
            "--framework",
            "kubernetes",
            "--compact",
            "--quiet",
        ]
        called += ["--skip-download", "--output", "json", "--soft-fail"]
        done = subprocess.run(called, capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"checkov ended with {done.returncode}: {done.stderr.strip()[-500:]}"
            return
        found = json.loads(done.stdout)
        excepted = exceptions()
        failed = found["results"]["failed_checks"]
        for check in failed:
            if check["check_id"] not in excepted:
                yield f"{check['resource']}: {check['check_id']}: {check['check_name']}"
        for identifier in sorted(excepted.keys() - {check["check_id"] for check in failed}):
            yield f"{EXCEPTIONS.name}: nothing needs {identifier} any more"
        if not found["summary"]["passed"] or found["summary"]["parsing_errors"]:
            yield f"checkov could not read everything: {found['summary']}"


def exceptions() -> dict[str, str]:
    """Checks of checkov that do not hold here, with the reason."""
    found: dict[str, str] = yaml.safe_load(EXCEPTIONS.read_text(encoding="utf-8"))
    return found
