"""The pod of staff beside production: nothing is found, and what would be wrong with it is noticed."""

import signal
import subprocess
import sys

import pytest

from tests.deploy.k8s import asserted, graph, on_demand, references, rendering, told, workloads
from tests.deploy.k8s.broken import Break, broken, container, let_out, without
from tests.deploy.k8s.place import K8S
from tests.deploy.k8s.pods import containers, pod
from tests.deploy.k8s.rendering import Document, Rendered


@pytest.fixture(scope="module")
def staffed(production: Rendered) -> Rendered:
    assert production.all  # without kustomize this is skipped like the others
    return Rendered(rendering.documents(rendering.with_staff(K8S / "overlays/production")))


def test_production_with_the_pod_of_staff_has_no_fault(staffed: Rendered) -> None:
    assert list(asserted.with_staff(staffed, "production")) == []


def test_dev_with_a_pod_of_staff_without_tls_has_no_fault(dev: Rendered) -> None:
    assert dev.all
    found = Rendered(rendering.documents(rendering.with_staff(K8S / "overlays/dev")))
    assert list(asserted.with_staff(found, "dev")) == []


def test_no_overlay_has_a_pod_of_staff(production: Rendered, dev: Rendered) -> None:
    assert [production.find("Job", "staff"), dev.find("Job", "staff")] == [None, None]


def test_what_waits_ends_well_when_it_is_told_to(staffed: Rendered) -> None:
    job = staffed.find("Job", "staff")
    assert job is not None
    for waiting in containers(job):
        _, option, code = waiting["command"]
        told_when_ready = code.replace("signal.sigwait", "print(flush=True); signal.sigwait")
        process = subprocess.Popen([sys.executable, option, told_when_ready], stdout=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


def _of_pod(field: str, value: object) -> Break:
    return lambda found: pod(found).update({field: value})


def _of_job(field: str, value: object) -> Break:
    return lambda found: found["spec"].update({field: value})


@pytest.mark.parametrize(
    ("breaking", "fault"),
    [
        (_of_job("activeDeadlineSeconds", 86_400), "may be there for longer than 3600 s"),
        (lambda found: found["spec"].pop("activeDeadlineSeconds"), "may be there for longer than 3600 s"),
        (_of_job("ttlSecondsAfterFinished", 604_800), "is in the way of the next one for longer than 60 s"),
        (_of_job("backoffLimit", 6), "is started again"),
        (_of_pod("restartPolicy", "OnFailure"), "is started again"),
    ],
)
def test_a_pod_that_stays_is_noticed(staffed: Rendered, breaking: Break, fault: str) -> None:
    assert list(on_demand.ends(broken(staffed, "Job", "staff", breaking))) == [f"Job/staff: {fault}"]


def test_a_staff_folder_without_its_job_is_noticed(staffed: Rendered) -> None:
    assert list(on_demand.ends(without(staffed, "Job", "staff"))) == ["Job/staff: is missing"]


def test_a_password_that_is_written_down_is_noticed(staffed: Rendered) -> None:
    def write_down(found: Document) -> None:
        container(found)["env"][0] = {"name": "GATEWAY_NATS_URL", "value": "nats://gateway:secret@nats:4222"}

    found = list(on_demand.hides_passwords(broken(staffed, "Job", "staff", write_down)))
    assert found == ["Job/staff: gateway: GATEWAY_NATS_URL is not from the Secret staff"]


def test_a_missing_secret_of_staff_is_noticed(staffed: Rendered) -> None:
    found = set(references.of_pods(without(staffed, "ExternalSecret", "staff")))
    assert found == {"Job/staff: there is no secret staff"}


def test_a_setting_that_no_command_of_staff_reads_is_noticed(staffed: Rendered) -> None:
    def misspell(found: Document) -> None:
        container(found)["env"].append({"name": "GATEWAY_DATA_DIR", "value": "/tmp"})

    found = list(told.settings(broken(staffed, "Job", "staff", misspell)))
    assert found == ["Job/staff: GATEWAY_DATA_DIR is no setting"]


def test_staff_of_another_release_is_noticed(staffed: Rendered) -> None:
    other = broken(staffed, "Job", "staff", lambda found: container(found).update(image="smartroute/gateway:0.0.9"))
    (fault,) = workloads.images(other)
    assert fault.startswith("smartroute/gateway: several images")


def test_a_way_of_staff_that_nothing_needs_is_noticed(staffed: Rendered) -> None:
    opened = let_out(staffed, "staff")
    assert "NetworkPolicy: staff may talk to internet on 443, which nothing needs" in list(graph.faults(opened))


def test_staff_without_a_policy_is_noticed(staffed: Rendered) -> None:
    unrestricted = without(staffed, "NetworkPolicy", "staff")
    assert list(references.of_policies(unrestricted)) == ["NetworkPolicy: none for the pods staff"]
    assert "NetworkPolicy: staff may not talk to postgres on 5432" in list(graph.faults(unrestricted))
