"""Arguments of staff that cannot be: refused with a word, before anything is touched."""

from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pytest
import typer
from typer.testing import CliRunner

from billing.__main__ import app
from billing.commands import arguments
from chassis import command_arguments

ACCOUNT = str(uuid4())
NAMED = ("--reason", "why", "--author", "bert")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("grant", ACCOUNT, "10", "--reason", "x"), "exactly one of --day, --month and --until"),
        (("grant", ACCOUNT, "10", "--day", "2036-01-01", "--month", "2036-01", "--reason", "x"), "exactly one of"),
        (("grant", ACCOUNT, "0", "--day", "2036-01-01", "--reason", "x"), "greater than or equal to 1"),
        (("grant", ACCOUNT, "10", "--day", "2036-01-01", "--reason", " "), "--reason must not be empty"),
        (("grant", ACCOUNT, "10", "--month", "2036-13", "--reason", "x"), "no month like 2026-12"),
        (("grant", ACCOUNT, "10", "--day", "2036-02-30", "--reason", "x"), "no day like 2026-12-31"),
        (("set-plan", ACCOUNT, "pro", "--from", "tomorrow"), "no date or time like 2026-12-01"),
        (("credit", "line", "--prompts", "1", *NAMED), "neither the number of a line nor the id of a request"),
        (("correct", "1", "--cost", "much", *NAMED), "no amount like -0.05"),
        (("ledger", "--json", "--csv"), "not both"),
        (("close", "--day", "soon"), "no day like"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(
    command: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens there: a command that went on would say so.
    monkeypatch.setenv("BILLING_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_moments_are_utc_unless_they_say_otherwise() -> None:
    assert command_arguments.moment("2026-12-01") == datetime(2026, 12, 1, tzinfo=UTC)
    assert command_arguments.moment("2026-12-01T08:30") == datetime(2026, 12, 1, 8, 30, tzinfo=UTC)
    assert command_arguments.moment("2026-12-01T00:30+02:00") == datetime(2026, 11, 30, 22, 30, tzinfo=UTC)
    assert command_arguments.moment("2026-12-01T00:30+02:00").tzinfo is UTC


def test_days_months_lines_and_requests_are_read() -> None:
    request = uuid4()
    assert command_arguments.day("2028-02-29") == date(2028, 2, 29)
    assert arguments.month("2028-02") == date(2028, 2, 1)
    assert arguments.line_or_request("4711") == 4711
    assert arguments.line_or_request(str(request)) == request
    with pytest.raises(typer.BadParameter):
        arguments.line_or_request(str(UUID(int=1))[:-1])
