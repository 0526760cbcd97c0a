"""`make k8s-check`: renders every overlay and every component, and checks the result as far as that needs no server."""

import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.deploy.k8s import asserted, rendering
from tests.deploy.k8s.rendering import CannotRender, Rendered
from tests.deploy.k8s.scanning import KUBERNETES, Tools, exceptions

PRODUCTION = "production"


class Report:
    """One line per step, and the faults below it."""

    def __init__(self) -> None:
        self.faults = 0

    def step(self, title: str, faults: Iterable[str]) -> None:
        began = time.monotonic()
        found = list(faults)
        self.faults += len(found)
        sys.stdout.write(
            f"  {title}: {'ok' if not found else f'{len(found)} faults'} ({time.monotonic() - began:.1f} s)\n"
        )
        sys.stdout.writelines(f"    {fault}\n" for fault in found)
        sys.stdout.flush()


def main() -> int:
    tools = Tools.installed()
    if tools is None:
        sys.stderr.write("kubernetes-validate and checkov are not installed: run `make k8s-check`\n")
        return 2
    report = Report()
    with tempfile.TemporaryDirectory(prefix="smartroute-k8s-") as name:
        try:
            _check(report, tools, Path(name))
        except CannotRender as exc:
            sys.stderr.write(f"not rendered: {exc}\n")
            return 1
    sys.stdout.write(f"{report.faults or 'no'} faults\n")
    return 1 if report.faults else 0


def _check(report: Report, tools: Tools, folder: Path) -> None:
    report.step("files", asserted.of_files())
    for overlay in rendering.overlays():
        rendered = _rendered(report, rendering.text(overlay), overlay.name)
        report.step(f"{overlay.name}: own assertions", asserted.of_overlay(rendered, overlay.name, folder=folder))
        file = _written(rendering.text(overlay), folder / "overlays" / overlay.name)
        report.step(f"{overlay.name}: schemas of Kubernetes {KUBERNETES}", tools.schema_faults(file))
    for component in rendering.components():
        text = rendering.trial(component, folder / "trials" / component.name)
        rendered = _rendered(report, text, f"component {component.name}")
        report.step(f"component {component.name}: own assertions", asserted.of_component(rendered))
        file = _written(text, folder / "components" / component.name)
        report.step(f"component {component.name}: schemas of Kubernetes {KUBERNETES}", tools.schema_faults(file))
    title = f"{PRODUCTION}: checkov, with {len(exceptions())} written exceptions"
    report.step(title, tools.habits(folder / "overlays" / PRODUCTION))


def _rendered(report: Report, text: str, name: str) -> Rendered:
    found = Rendered(rendering.documents(text))
    sys.stdout.write(f"{name}: {len(found.all)} objects\n")
    if not found.all:
        report.step(name, ["nothing was rendered"])
    return found


def _written(text: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "rendered.yaml"
    file.write_text(text, encoding="utf-8")
    return file


if __name__ == "__main__":
    sys.exit(main())
