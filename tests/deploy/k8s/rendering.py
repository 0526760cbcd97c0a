"""What kustomize makes of the folders in `deploy/k8s`, with `kubectl` or `kustomize`, whichever is installed."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.k8s.place import K8S

Document = dict[str, Any]

HOW_TO_INSTALL = (
    "neither kubectl nor kustomize is installed; any kubectl from 1.27 on will do. "
    "It is a single program: kubernetes.io/docs/tasks/tools says how to get it."
)


class CannotRender(Exception):
    """kustomize refuses a folder, or there is no kustomize; the text says which."""


def command() -> list[str] | None:
    """How kustomize is called here; None when it is not installed."""
    if found := shutil.which("kubectl"):
        return [found, "kustomize"]
    if found := shutil.which("kustomize"):
        return [found, "build"]
    return None


def overlays() -> list[Path]:
    return sorted(file.parent for file in (K8S / "overlays").glob("*/kustomization.yaml"))


def components() -> list[Path]:
    return sorted(file.parent for file in (K8S / "components").glob("*/kustomization.yaml"))


def text(folder: Path) -> str:
    """The rendered objects. Raises `CannotRender`."""
    called = command()
    if called is None:
        raise CannotRender(HOW_TO_INSTALL)
    done = subprocess.run([*called, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRender(f"{folder}: {done.stderr.strip()}")
    if done.stderr.strip():
        raise CannotRender(f"{folder}: kustomize warns: {done.stderr.strip()}")
    return done.stdout


def with_staff(overlay: Path) -> str:
    """An overlay, and the pod of staff beside it: one of its own, if it has one. Raises `CannotRender`."""
    own = overlay / "staff"
    return f"{text(overlay)}---\n{text(own if own.exists() else K8S / 'staff')}"


def documents(rendered: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(rendered) if document]


def trial(component: Path, folder: Path) -> str:
    """One component on the base and the Jobs of a release: it must not need another one."""
    folder.mkdir(parents=True, exist_ok=True)

    def relative(paths: Sequence[Path]) -> list[str]:
        return [os.path.relpath(path, folder.resolve()) for path in paths]

    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "smart-route",
        "resources": relative([K8S / "base", K8S / "release"]),
        "components": relative([component]),
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    return text(folder)


class Rendered:
    """The objects of one rendering, to look things up in."""

    def __init__(self, found: Sequence[Document]) -> None:
        self.all = list(found)

    def of(self, *kinds: str) -> Iterator[Document]:
        return (document for document in self.all if document["kind"] in kinds)

    def find(self, kind: str, name: str) -> Document | None:
        return next((document for document in self.of(kind) if name_of(document) == name), None)

    def has(self, *kinds: str) -> bool:
        return any(True for _ in self.of(*kinds))


def name_of(document: Document) -> str:
    return str(document["metadata"]["name"])


def title(document: Document) -> str:
    return f"{document['kind']}/{name_of(document)}"
