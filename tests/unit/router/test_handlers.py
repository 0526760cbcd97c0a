"""What the router writes into its log when targets come and go."""

import logging

import pytest
from opentelemetry.metrics import CallbackOptions

from contracts.gateway import AttemptFinished, AttemptsFinished
from router.handlers import Handlers
from router.switchboard import Switchboard
from tests.unit.router.configurations import configuration


def heard(*attempts: AttemptFinished) -> AttemptsFinished:
    return AttemptsFinished(gateway="g", attempts=attempts)


def test_a_refused_key_is_one_error_line_with_the_target(caplog: pytest.LogCaptureFixture) -> None:
    handlers = Handlers(Switchboard(configuration()))
    refused = AttemptFinished(target="far", result="refused_key", status=401)
    handlers.attempts_finished(heard(refused, refused, refused))
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert vars(errors[0])["target"] == "far"


def test_a_set_aside_target_is_a_warning_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    handlers = Handlers(Switchboard(configuration()))
    failed = AttemptFinished(target="near", result="http_error", status=503)
    handlers.attempts_finished(heard(failed, failed, failed, failed))
    warnings = [vars(record) for record in caplog.records if record.levelno == logging.WARNING]
    assert [(w["target"], w["result"], w["status"]) for w in warnings] == [("near", "http_error", 503)]


def test_the_gauge_shows_every_target_and_which_are_set_aside() -> None:
    handlers = Handlers(Switchboard(configuration()))
    failed = AttemptFinished(target="near", result="broken")
    handlers.attempts_finished(heard(failed, failed, failed))
    found = {str(o.attributes): o.value for o in handlers.observe_targets(CallbackOptions())}
    assert found == {"{'smartroute.target': 'near'}": 1, "{'smartroute.target': 'far'}": 0}
