"""The alerts of `deploy/alerts` as the Prometheus operator wants them: kustomize cannot put a file into an object.

`python -m tests.deploy.k8s.rules` writes them anew; the check says when that was forgotten.
"""

import sys
from pathlib import Path

import yaml

from tests.deploy.k8s.place import REPOSITORY

ALERTS = REPOSITORY / "deploy/alerts"
FILE = REPOSITORY / "deploy/k8s/components/monitoring/rules.yaml"
_HEAD = "# Made by `python -m tests.deploy.k8s.rules` from deploy/alerts; do not edit.\n"


def text() -> str:
    """What the file should be."""
    objects = [_rule(file) for file in sorted(ALERTS.glob("*.yaml"))]
    return _HEAD + yaml.safe_dump_all(objects, sort_keys=False, width=120, allow_unicode=True)


def _rule(file: Path) -> dict[str, object]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": file.stem, "labels": {"prometheus": "smart-route"}},
        "spec": yaml.safe_load(file.read_text(encoding="utf-8")),
    }


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
