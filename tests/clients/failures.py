"""What every SDK must be told when something fails: the status and code that its users look for, in our words."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devstack.provider import faults, scripts
from tests.clients.endpoint import Endpoint
from tests.clients.scenarios import Answered


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that goes wrong. `scenario` is what the client tries; without a status it fails inside of a stream."""

    name: str
    cause: Callable[[Endpoint], Awaitable[None]]
    scenario: str = "plain"
    status: int | None = None
    code: str | None = None
    prompts: int = 0

    def __str__(self) -> str:
        return self.name

    async def assert_told(self, answered: Answered, endpoint: Endpoint) -> None:
        """The client raised what it should, and nothing names the provider."""
        error = answered.error
        assert error is not None, answered
        assert "Zephyr" not in str(error)
        if self.status is not None:
            assert (error["status"], error["code"]) == (self.status, self.code)
        await endpoint.assert_prompts(self.prompts)


async def _spend(endpoint: Endpoint) -> None:
    await endpoint.spend_allowance()


async def _too_long(endpoint: Endpoint) -> None:
    endpoint.provider.always(scripts.http_error(400))


async def _break(endpoint: Endpoint) -> None:
    endpoint.provider.always(faults.close_midway(events=5))


async def _fail_in_stream(endpoint: Endpoint) -> None:
    endpoint.provider.always(faults.error_in_stream(events=5))


FAILURES = [
    Failure("spent_allowance", _spend, status=429, code="insufficient_quota", prompts=1),
    Failure("context_too_long", _too_long, status=400, code="context_length_exceeded"),
    Failure("broken_stream", _break, scenario="stream"),
    Failure("error_in_stream", _fail_in_stream, scenario="stream"),
]
