"""The schemas of other people's kinds, as `schemas/` keeps them: one file per kind and version, without prose.

`python -m tests.deploy.k8s.crds RELEASE FILE.yaml …` makes them from the CustomResourceDefinitions of a release. What a
person reads is left out, the status too; what a validator reads stays. Fields that a schema does not name are refused,
as an API server refuses them when it is asked for strict validation.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parent / "schemas"

# Prose, and hints for servers that merge. The rules in CEL are evaluated by API servers alone.
_LEFT_OUT = frozenset(
    {
        "description",
        "example",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-validations",
    }
)
_METADATA = {"type": "object"}


def kinds() -> dict[tuple[str, str], Path]:
    """The file of every kind that has one, by apiVersion and kind."""
    found = {}
    for file in sorted(FOLDER.glob("*.json")):
        of = json.loads(file.read_text())["x-smartroute-of"]
        found[of["apiVersion"], of["kind"]] = file
    return found


def faults(file: Path, document: dict[str, Any]) -> list[str]:
    """What the schema in `file` says against the document, a line each."""
    validator = Draft202012Validator(json.loads(file.read_text()))
    return [
        f"{'.'.join(str(part) for part in error.absolute_path) or 'object'}: {error.message[:300]}"
        for error in validator.iter_errors(document)
    ]


def reduced(definition: dict[str, Any], *, release: str) -> dict[str, dict[str, Any]]:
    """The schema of every served version of a CustomResourceDefinition, by file name."""
    spec = definition["spec"]
    made = {}
    for version in spec["versions"]:
        if not version["served"]:
            continue
        schema = _strict(version["schema"]["openAPIV3Schema"])
        schema["properties"].pop("status", None)
        schema["properties"]["metadata"] = _METADATA
        of = {"apiVersion": f"{spec['group']}/{version['name']}", "kind": spec["names"]["kind"], "release": release}
        made[f"{spec['names']['singular']}.{spec['group']}_{version['name']}.json"] = {"x-smartroute-of": of} | schema
    return made


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as JSON Schema that knows no field which it does not name."""
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _LEFT_OUT:
            continue
        if name == "properties":
            made[name] = {field: _strict(inner) for field, inner in value.items()}
        elif isinstance(value, dict) and name in ("items", "additionalProperties", "not"):
            made[name] = _strict(value)
        elif name in ("allOf", "anyOf", "oneOf"):
            # Conditions on the fields around them: they name a few of these, and none besides.
            made[name] = [_conditions(inner) for inner in value]
        else:
            made[name] = value
    if _is_closed(made):
        made["additionalProperties"] = False
    if made.pop("x-kubernetes-int-or-string", False):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if made.pop("nullable", False) and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


def _conditions(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in _LEFT_OUT}


def _is_closed(schema: dict[str, Any]) -> bool:
    is_open = schema.pop("x-kubernetes-preserve-unknown-fields", False) or schema.pop(
        "x-kubernetes-embedded-resource", False
    )
    return not is_open and "properties" in schema and "additionalProperties" not in schema


def main(release: str, files: list[str]) -> None:
    for name in files:
        for definition in yaml.safe_load_all(Path(name).read_text()):
            for file, schema in reduced(definition, release=release).items():
                (FOLDER / file).write_text(json.dumps(schema, separators=(",", ":"), sort_keys=True) + "\n")
                sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
