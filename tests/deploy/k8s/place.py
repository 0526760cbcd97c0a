"""Where things are."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
K8S = REPOSITORY / "deploy/k8s"
SERVICES = ("gateway", "quota", "router", "billing")
