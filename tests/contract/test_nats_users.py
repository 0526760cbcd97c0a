"""The committed users of the NATS servers: those of today's contracts, and a check that says when they are not."""

from pathlib import Path

import pytest

from contracts import nats_users
from contracts.__main__ import main


def test_the_committed_users_are_those_of_today() -> None:
    committed = nats_users.DEFAULT_FILE.read_text(encoding="utf-8")
    assert committed == nats_users.text(), "run `python -m contracts nats-users` and commit the result"


def test_what_is_written_passes_the_check(tmp_path: Path) -> None:
    file = ["--file", str(tmp_path / "nats/users.conf")]
    assert main(["nats-users", *file]) == 0
    assert main(["nats-users", "--check", *file]) == 0


def test_a_stale_file_fails_the_check_and_the_difference_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "users.conf"
    file.write_text(nats_users.text().replace("quota.v1.reserve", "quota.v1.>"), encoding="utf-8")
    assert main(["nats-users", "--check", "--file", str(file)]) == 1
    assert '-        "quota.v1.>"' in capsys.readouterr().out
