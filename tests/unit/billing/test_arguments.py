"""What staff types: who does it."""

import getpass

import pytest
import typer

from billing.commands.arguments import actor_or_user


def test_who_is_not_named_is_the_user_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")
    assert (actor_or_user(""), actor_or_user("ben")) == ("anna", "ben")


@pytest.mark.parametrize("failure", [KeyError, OSError])
def test_a_user_without_a_name_has_to_be_named(monkeypatch: pytest.MonkeyPatch, failure: type[Exception]) -> None:
    def nobody() -> str:
        raise failure

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(typer.BadParameter, match="--actor"):
        actor_or_user("")
