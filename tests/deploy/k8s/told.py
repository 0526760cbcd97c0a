"""What processes are told: they read each variable, all that they need is there, and they take the values."""

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings

import billing.settings
import gateway.settings
import quota.settings
import router.settings
from chassis.__main__ import ProvisionSettings
from chassis.watched import ConfigInvalid, load
from contracts.plans import PlanCatalogue
from router.profiles import Profiles
from tests.deploy.k8s.place import REPOSITORY, SERVICES
from tests.deploy.k8s.pods import WORKLOADS, containers
from tests.deploy.k8s.rendering import Document, Rendered, name_of, title

# What a container of ours does whose command is code: deploy/k8s/staff.
WAITS = "wait"
# By what a container is called when it starts: the classes that read its environment.
READ_BY: dict[tuple[str, str], tuple[type[BaseSettings], ...]] = {
    ("gateway", "serve"): (gateway.settings.Settings, gateway.settings.PortalSettings),
    ("gateway", "migrate"): (gateway.settings.DatabaseSettings,),
    ("quota", "serve"): (quota.settings.Settings,),
    ("quota", "migrate"): (quota.settings.Settings,),
    ("router", "serve"): (router.settings.Settings,),
    ("router", "provision"): (ProvisionSettings,),
    ("billing", "serve"): (billing.settings.Settings,),
    ("billing", "migrate"): (billing.settings.Settings,),
    # Staff's commands.
    ("gateway", WAITS): (gateway.settings.AdminSettings,),
    ("quota", WAITS): (quota.settings.Settings,),
    ("router", WAITS): (router.settings.Settings,),
    ("billing", WAITS): (billing.settings.Settings,),
}
# An External Secret fills these in; long enough for a key.
_FILLED_IN = re.compile(r"\{\{[^}]*\}\}")
_SOME_SECRET = "s" * 32
_A_RELAY = "smtps://relay.example.com"


def variables(rendered: Rendered, container: Document) -> dict[str, str]:
    """The environment of a container, with something in the place of what only a store of secrets knows."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= _config_map(rendered, source["configMapRef"]["name"])
        if "secretRef" in source:
            found |= _secret(rendered, source["secretRef"]["name"])
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        if reference is not None:
            found[variable["name"]] = _secret(rendered, reference["name"]).get(reference["key"], _SOME_SECRET)
        else:
            found[variable["name"]] = str(variable.get("value", _SOME_SECRET))
    return found


def _config_map(rendered: Rendered, name: str) -> dict[str, str]:
    found = rendered.find("ConfigMap", name)
    return {} if found is None else {str(key): str(value) for key, value in found["data"].items()}


def _secret(rendered: Rendered, name: str) -> dict[str, str]:
    if found := rendered.find("Secret", name):
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
    external = rendered.find("ExternalSecret", name)
    if external is None:
        return {}
    made = external["spec"]["target"].get("template", {}).get("data", {})
    return {key: _A_RELAY if key.endswith("_SMTP_URL") else _FILLED_IN.sub(_SOME_SECRET, made[key]) for key in made}


def settings(rendered: Rendered) -> Iterator[str]:
    """Every variable exists, every required one is set, and the values pass."""
    for workload in rendered.of(*WORKLOADS):
        for container in containers(workload):
            image = str(container["image"]).partition("@")[0].partition(":")[0].rpartition("/")[2]
            if image not in SERVICES:
                continue
            waits = container.get("command", [])[:2] == ["python", "-c"]
            word = WAITS if waits else str((container.get("args") or ["serve"])[0])
            classes = READ_BY.get((image, word))
            if classes is None:
                yield f"{title(workload)}: {container['name']}: `{word}` is nothing that {image} can do"
                continue
            yield from _told(title(workload), variables(rendered, container), classes)


def _told(where: str, told: Mapping[str, str], classes: tuple[type[BaseSettings], ...]) -> Iterator[str]:
    known = {_variable(read, field) for read in classes for field in read.model_fields}
    for name in told:
        if name not in known and not name.startswith("OTEL_") and name not in _OF_PODS:
            yield f"{where}: {name} is no setting"
    for read in classes:
        for field, of_field in read.model_fields.items():
            if of_field.is_required() and _variable(read, field) not in told:
                yield f"{where}: {_variable(read, field)} is not set"
        values = {field: told[_variable(read, field)] for field in read.model_fields if _variable(read, field) in told}
        try:
            read.model_validate(values)
        except ValidationError as exc:
            for fault in exc.errors(include_input=False, include_url=False):
                if fault["type"] != "missing":
                    yield f"{where}: {_variable(read, str(fault['loc'][0]) if fault['loc'] else '')}: {fault['msg']}"


# What a pod is told of itself, for other variables to be made of.
_OF_PODS = frozenset(("POD_NAME", "NODE_NAME"))


def _variable(read: type[BaseSettings], field: str) -> str:
    return f"{read.model_config['env_prefix']}{field}".upper()


def files(rendered: Rendered, folder: Path) -> Iterator[str]:
    """The mounted plans and profiles are ones that services accept, and know each other. `folder` is for copies."""
    loaded: dict[str, BaseModel] = {}
    models: tuple[tuple[str, type[BaseModel]], ...] = (("plans", PlanCatalogue), ("profiles", Profiles))
    for name, model in models:
        file = folder / f"{name}.yaml"
        found = _config_map(rendered, name).get(file.name)
        if found is None:
            yield f"ConfigMap/{name}: is missing"
            continue
        file.write_text(found, encoding="utf-8")
        try:
            loaded[name] = load(file, model)
        except ConfigInvalid as exc:
            yield f"ConfigMap/{name}: {exc}"
    match loaded:
        case {"plans": PlanCatalogue() as plans, "profiles": Profiles() as profiles}:
            for alias in sorted({plan.alias for plan in plans.plans} - set(profiles.profiles)):
                yield f"ConfigMap/profiles: no profile for alias {alias} of the plans"


def users(rendered: Rendered) -> Iterator[str]:
    """Every user of the NATS servers has a password, and the file is the one that the contracts made."""
    text = (REPOSITORY / "deploy/nats/users.conf").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\$(NATS_\w+_PASSWORD)", text))
    for stateful in rendered.of("StatefulSet"):
        if name_of(stateful) != "nats":
            continue
        given = {name for container in containers(stateful) for name in _passwords(rendered, container)}
        for name in sorted(wanted ^ given):
            yield f"{title(stateful)}: {name} is {'not given' if name in wanted else 'of no user'}"


def _passwords(rendered: Rendered, container: Document) -> set[str]:
    names: set[str] = set()
    for source in container.get("envFrom", []):
        name = source.get("secretRef", {}).get("name", "")
        found = rendered.find("Secret", name)
        if found is not None:
            names |= set(found["data"])
        external = rendered.find("ExternalSecret", name)
        if external is not None:
            names |= {entry["secretKey"] for entry in external["spec"]["data"]}
    return names
