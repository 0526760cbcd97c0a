"""The pod of staff: it is there for a while, and nobody has to show a password to use it."""

from collections.abc import Iterator

from tests.deploy.k8s.pods import containers, pod
from tests.deploy.k8s.rendering import Rendered, title

LONGEST_SECONDS = 3600
# After that another one can be applied.
LEFT_SECONDS = 60
_ADDRESSES = ("_NATS_URL", "_DATABASE_URL")


def ends(rendered: Rendered) -> Iterator[str]:
    """By itself, within the hour, and nothing starts it again."""
    job = rendered.find("Job", "staff")
    if job is None:
        yield "Job/staff: is missing"
        return
    spec = job["spec"]
    if not 0 < spec.get("activeDeadlineSeconds", 0) <= LONGEST_SECONDS:
        yield f"{title(job)}: may be there for longer than {LONGEST_SECONDS} s"
    if spec.get("ttlSecondsAfterFinished", LEFT_SECONDS + 1) > LEFT_SECONDS:
        yield f"{title(job)}: is in the way of the next one for longer than {LEFT_SECONDS} s"
    if spec.get("backoffLimit") != 0 or pod(job)["restartPolicy"] != "Never":
        yield f"{title(job)}: is started again"


def hides_passwords(rendered: Rendered) -> Iterator[str]:
    """Addresses with passwords come from the Secret that only this pod names."""
    job = rendered.find("Job", "staff")
    for container in containers(job) if job is not None else ():
        for variable in container.get("env", []):
            name = variable["name"]
            source = variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name")
            # Where kustomize makes it, a hash follows.
            if name.endswith(_ADDRESSES) and str(source).partition("-")[0] != "staff":
                yield f"{title(job or {})}: {container['name']}: {name} is not from the Secret staff"
