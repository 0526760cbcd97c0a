"""`make k8s-check`: renders overlays, components and the pod of staff, and checks them as far as that needs no server.

With folders as arguments: these overlays alone, as strictly as that of production.
"""

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


def main(folders: list[Path]) -> int:
    tools = Tools.installed()
    if tools is None:
        sys.stderr.write("kubernetes-validate and checkov are not installed: run `make k8s-check`\n")
        return 2
    report = Report()
    with tempfile.TemporaryDirectory(prefix="smartroute-k8s-") as name:
        try:
            if folders:
                for number, folder in enumerate(folders):
                    _check_overlay(report, tools, folder, name=PRODUCTION, work=Path(name) / str(number))
            else:
                _check(report, tools, Path(name))
        except CannotRender as exc:
            sys.stderr.write(f"not rendered: {exc}\n")
            return 1
    sys.stdout.write(f"{report.faults or 'no'} faults\n")
    return 1 if report.faults else 0


def _check(report: Report, tools: Tools, work: Path) -> None:
    report.step("files", asserted.of_files())
    for overlay in rendering.overlays():
        _check_overlay(report, tools, overlay, name=overlay.name, work=work / "overlays")
        _check_staff(report, tools, overlay, work=work / "staff" / overlay.name)
    for component in rendering.components():
        text = rendering.trial(component, work / "trials" / component.name)
        rendered = _rendered(report, text, f"component {component.name}")
        report.step("own assertions", asserted.of_component(rendered))
        file = _written(text, work / "components" / component.name)
        report.step(f"schemas of Kubernetes {KUBERNETES}", tools.schema_faults(file))


def _check_overlay(report: Report, tools: Tools, overlay: Path, *, name: str, work: Path) -> None:
    text = rendering.text(overlay)
    file = _written(text, work / name)
    rendered = _rendered(report, text, f"overlay {overlay.name}")
    report.step("own assertions", asserted.of_overlay(rendered, name, folder=file.parent))
    _check_with_tools(report, tools, file, name=name)


def _check_staff(report: Report, tools: Tools, overlay: Path, *, work: Path) -> None:
    text = rendering.with_staff(overlay)
    rendered = _rendered(report, text, f"overlay {overlay.name}, with staff")
    report.step("own assertions", asserted.with_staff(rendered, overlay.name))
    _check_with_tools(report, tools, _written(text, work), name=overlay.name)


def _check_with_tools(report: Report, tools: Tools, file: Path, *, name: str) -> None:
    """What others know of good manifests; the desk's are held to less."""
    report.step(f"schemas of Kubernetes {KUBERNETES}", tools.schema_faults(file))
    if name == PRODUCTION:
        report.step(f"checkov, with {len(exceptions())} written exceptions", tools.habits(file))


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
    sys.exit(main([Path(folder) for folder in sys.argv[1:]]))
