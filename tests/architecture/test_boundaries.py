"""What may be imported or written where: one place for the bus, one for each service's SQL, one for providers."""

import ast
import re
import sys
from pathlib import Path

from tests.architecture.repository import ROOT, SERVICES, files, imported, package, shown, sources, top_level, tree

_SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM\s|SELECT\s+[\w.]+\(|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|TRUNCATE\s"
    r"|WITH\s+(RECURSIVE\s+)?\w+(\s*\([^)]*\))?\s+AS\s|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|SCHEMA|ROLE|TYPE|VIEW|FUNCTION)\s"
    r"|GRANT\s.+\sON\s|LOCK\s+TABLE\s)",
    re.IGNORECASE | re.DOTALL,
)
_HTTP_CLIENTS = {"aiohttp", "httpx", "httpx_aiohttp", "pyreqwest", "requests", "urllib3"}
# Written in two parts: this file must not name them either.
_REGISTRY_HOSTS = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs.org",
    "registry." + "yarnpkg.com",
    "proxy." + "golang.org",
    "crates" + ".io",
    "conda." + "anaconda.org",
]


def _texts(path: Path) -> list[tuple[int, str]]:
    """The string literals of a file with their lines; docstrings and the fixed start of f-strings included."""
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def _may_hold_sql(path: Path) -> bool:
    return path.name in {"store.py", "tables.py"} or "migrations" in path.parts or "store" in path.parts


def test_the_search_for_sql_finds_sql_and_leaves_sentences_alone() -> None:
    statements = [
        "SELECT 1 FROM a",
        " insert into a values (1)",
        "WITH b AS (SELECT 1)",
        "UPDATE a SET b = 1",
        "SELECT f(1)",
    ]
    sentences = ["Select a plan.", "update of the ledger", "with care", "Delete what was stored", "SELECT"]
    assert all(_SQL.match(statement) for statement in statements)
    assert not any(_SQL.match(sentence) for sentence in sentences)


def test_sql_is_written_in_stores_tables_and_migrations_only() -> None:
    found = [
        f"{shown(path)}:{line}"
        for path in sources(*(package(service) for service in SERVICES))
        if not _may_hold_sql(path)
        for line, text in _texts(path)
        if _SQL.match(text)
    ]
    assert found == []


def test_handlers_know_no_database_library() -> None:
    found = [
        shown(path)
        for service in SERVICES
        for path in sources(package(service))
        if (path.name == "handlers.py" or "handlers" in path.parts)
        and top_level(imported(path)) & {"psycopg", "sqlalchemy", "sqlmodel", "alembic"}
    ]
    assert found == []


def test_only_the_bus_imports_nats() -> None:
    product = sources(ROOT / "services", package("chassis"), package("contracts"))
    importing = {shown(path.parent) for path in product if "nats" in top_level(imported(path))}
    assert importing == {"libs/chassis/src/chassis/bus"}


def test_scoring_is_standard_library_apart_from_its_training() -> None:
    modules = [path for path in sources(package("scoring")) if path.name != "training.py"]
    foreign = {
        f"{shown(path)} imports {name}"
        for path in modules
        for name in top_level(imported(path)) - sys.stdlib_module_names - {"scoring"}
    }
    assert modules
    assert sorted(foreign) == []


def test_only_upstream_the_doctor_and_openid_call_out_over_http_in_the_gateway() -> None:
    gateway = package("gateway")
    importing = {
        path.relative_to(gateway).as_posix() for path in sources(gateway) if top_level(imported(path)) & _HTTP_CLIENTS
    }
    # The doctor calls our own public endpoint; providers are upstream's alone.
    assert importing <= {"upstream.py", "portal/doctor/calls.py", "portal/identity/oidc_provider.py"}


def test_no_other_service_calls_out_over_http() -> None:
    others = sources(*(package(service) for service in SERVICES if service != "gateway"))
    assert [shown(path) for path in others if top_level(imported(path)) & _HTTP_CLIENTS] == []


def test_middleware_is_pure_asgi() -> None:
    slow = [
        f"{shown(path)}:{node.lineno}"
        for path in sources(ROOT / "services", ROOT / "libs")
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Name) and node.id == "BaseHTTPMiddleware")
        or (isinstance(node, ast.Attribute) and node.attr in {"BaseHTTPMiddleware", "middleware"})
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "BaseHTTPMiddleware" for alias in node.names))
    ]
    assert slow == []


def test_a_service_imports_only_what_its_project_declares() -> None:
    """By members: what comes from outside is proven by installing each service alone (`make check`)."""
    foreign = [
        f"{shown(path)} imports {other}"
        for service in SERVICES
        for path in sources(package(service))
        for other in sorted(top_level(imported(path)) & ({*SERVICES, "devstack", "tests"} - {service}))
    ]
    assert foreign == []


def test_no_file_names_a_package_registry() -> None:
    found = []
    for path in files():
        try:
            text = path.read_text(encoding="utf-8").lower()
        except UnicodeDecodeError:
            continue
        found += [f"{shown(path)}: {host}" for host in _REGISTRY_HOSTS if host in text]
    assert found == []
