"""Takes out of the base image what installs packages; run by the Dockerfile with the base's own Python.

What is left is an interpreter. It is a program of Python's because the base need not have a shell.
"""

import shutil
import site
import sysconfig
from pathlib import Path

_INSTALLERS = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack", "ensurepip")


def main() -> None:
    paths = sysconfig.get_paths()
    folders = {Path(folder) for folder in (paths["stdlib"], paths["purelib"], *site.getsitepackages())}
    for folder in folders:
        for name in _INSTALLERS:
            for found in (folder / name, *folder.glob(f"{name}-*.dist-info"), *folder.glob(f"{name}-*.egg-info")):
                shutil.rmtree(found, ignore_errors=True)
    # Debian keeps the wheels that `venv` installs here.
    shutil.rmtree("/usr/share/python-wheels", ignore_errors=True)
    for program in Path(paths["scripts"]).glob("pip*"):
        program.unlink()


if __name__ == "__main__":
    main()
