"""The closed catalogue: every code is one thing, and documented."""

import ast
import re
from pathlib import Path

import gateway
from gateway.errors import ModelNotFound, RequestInvalid, catalogue, codes_of

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs/errors.md"
SOURCES = Path(gateway.__file__).parent

ROW = re.compile(r"^\| (\d{3}) \| `([a-z_]+)` \| `([a-z_]+)` \|", re.MULTILINE)


def test_every_error_is_documented_with_its_status_code_and_type_and_nothing_else_is() -> None:
    documented = {(int(status), code, kind) for status, code, kind in ROW.findall(DOCUMENT.read_text())}
    known = {(kind.status, code, kind.kind) for kind in catalogue() for code in codes_of(kind)}
    assert documented == known


def test_no_two_errors_share_a_code() -> None:
    codes = [code for kind in catalogue() for code in codes_of(kind)]
    assert len(codes) == len(set(codes))


def test_every_fault_that_is_raised_is_in_the_catalogue() -> None:
    raised = {code for path in SOURCES.rglob("*.py") for code in _codes_said(path)}
    assert raised == set(RequestInvalid.faults)


def _codes_said(path: Path) -> set[str]:
    """The literals given as `code=` to RequestInvalid, or to what the chat decoder raises in its place."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    said = {"invalid_value"} if path.name == "errors.py" else set()
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id in ("RequestInvalid", "UnusableRequest"):
            given = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
            said |= {value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)}
    return said


def test_the_tree_in_the_docstring_names_every_class_with_its_status() -> None:
    tree = (SOURCES / "errors.py").read_text()
    for kind in catalogue():
        assert re.search(rf"[├└]── {kind.__name__} +{kind.status} ", tree), kind.__name__


def test_a_body_has_what_the_sdks_read() -> None:
    assert ModelNotFound("gpt", ["one", "two"]).body() == {
        "error": {
            "message": "The model `gpt` does not exist. Choose one of: `one`, `two`.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }
