"""`make screenshots`: run the browser's tests, keep their pictures in docs/portal, write the document around them."""

import os
import subprocess
import sys

from devstack.repository import ROOT
from tests.browser import screenshots
from tests.browser.pages import PICTURED

DOCUMENT = ROOT / "docs/portal/README.md"
PICTURES = DOCUMENT.with_name("screenshots")


def main() -> int:
    # Whether the pictures are complete is for a later run to say.
    tests = ["tests/browser", "--ignore=tests/browser/test_every_page.py"]
    command = [sys.executable, "-m", "pytest", "-n", "3", "--dist", "loadscope", *tests, *sys.argv[1:]]
    environment = {**os.environ, "SMARTROUTE_SCREENSHOTS": str(PICTURES)}
    code = subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    wanted = screenshots.names(PICTURED)
    for file in PICTURES.iterdir():
        if file.name not in wanted:
            file.unlink()
    DOCUMENT.write_text(screenshots.index(PICTURED, below=PICTURES.name), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
