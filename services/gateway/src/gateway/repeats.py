"""Who asks the same thing again within a minute was not content: the target that answered is told of, to learn from."""

import time
from dataclasses import dataclass
from uuid import UUID

from contracts.gateway import AttemptFinished
from contracts.router import RequestClass
from gateway.features import Reading
from gateway.quality import Resubmissions, question_of
from gateway.reports import Reports
from gateway.wire.lane import Brief


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks, as an opaque key, and what kind of request it is."""

    key: bytes
    request_class: RequestClass


class Repeats:
    """The questions of the last minute. One per process."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._resubmissions = Resubmissions()

    def asked(self, account_id: UUID, brief: Brief, request_class: RequestClass | None) -> Question | None:
        """A question is asked. None: asking it again would say nothing."""
        key = question_of(account_id, brief) if request_class is not None else None
        if key is None or request_class is None:
            return None
        earlier = self._resubmissions.note(key, time.monotonic())
        if earlier is not None and earlier.target is not None and earlier.request_class is not None:
            self._reports.learnt(
                AttemptFinished(
                    target=earlier.target, result="ok", request_class=earlier.request_class, fault="resubmitted"
                )
            )
        return Question(key, request_class)

    def answered(self, question: Question, target: str) -> None:
        """It was answered well, by this target."""
        self._resubmissions.answered(question.key, target, question.request_class)


def class_of(reading: Reading) -> RequestClass | None:
    """What outcomes of a request are learnt by; None: its kind is not known."""
    known = reading.features.request_class
    return known if known != "unknown" else None
