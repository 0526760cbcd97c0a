"""What may be asked for as a service token, and what one is worth when."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from gateway.auth import INFERENCE, USAGE_READ
from gateway.portal.service_tokens import State, Wanted, state_of
from gateway.tables import Token

NOW = datetime(2026, 11, 28, 15, 40, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize("name", ["ci", "Bücherei 2, nächtlich", "夜", "👩‍💻 laptop", "<b>&amp;'\"", "x" * 80])
def test_a_name_may_be_nearly_any_text(name: str) -> None:
    assert not Wanted(name).faults()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "Give it a name"),
        ("x" * 81, "At most 80 characters."),
        ("a\x1b[2Jb", "cannot be shown"),
        ("two\nlines", "cannot be shown"),
        ("abc\u202edef", "cannot be shown"),
    ],
)
def test_what_is_wrong_with_a_name_is_said_in_words(name: str, says: str) -> None:
    assert says in Wanted(name).faults()["name"]


def test_a_token_without_scopes_or_with_unknown_ones_is_not_made() -> None:
    assert list(Wanted("ci", ()).faults()) == ["scopes"]
    assert list(Wanted("ci", (INFERENCE, "admin")).faults()) == ["scopes"]


def test_a_life_that_is_not_offered_is_not_given() -> None:
    assert list(Wanted("ci", lifetime="1000").faults()) == ["lifetime"]


@pytest.mark.parametrize(
    ("expires_in", "revoked_in", "state"),
    [
        (None, None, State.ACTIVE),
        (8 * DAY, None, State.ACTIVE),
        (7 * DAY, None, State.EXPIRES_SOON),
        (timedelta(0), None, State.EXPIRED),
        (None, -DAY, State.REVOKED),
        (DAY, -DAY, State.REVOKED),
        (-DAY, -2 * DAY, State.REVOKED),
        (-2 * DAY, -DAY, State.EXPIRED),
    ],
)
def test_a_token_ends_by_what_came_first(
    expires_in: timedelta | None, revoked_in: timedelta | None, state: State
) -> None:
    token = Token(
        token_id=UUID(int=1),
        account_id=UUID(int=2),
        digest=b"",
        name="ci",
        scopes=[USAGE_READ],
        last_four="abcd",
        created_at=NOW,
        expires_at=None if expires_in is None else NOW + expires_in,
        revoked_at=None if revoked_in is None else NOW + revoked_in,
    )
    assert state_of(token, now=NOW) is state
    assert state.is_good == (state in (State.ACTIVE, State.EXPIRES_SOON))
