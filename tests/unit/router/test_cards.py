"""What is said of an alias holds whichever of its targets serves."""

from typing import Any

from router.cards import card
from router.profiles import Target


def described(*targets: dict[str, Any]) -> dict[str, Any]:
    base = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}
    candidates = [Target.model_validate(base | target).candidate(str(place)) for place, target in enumerate(targets)]
    return card("alias", candidates).model_dump()


def test_windows_are_those_of_the_smallest_target() -> None:
    found = described(
        {"context_window": 200_000, "parameters": {"max_output_tokens": 9000}},
        {"context_window": 32_768, "parameters": {"max_output_tokens": 10_000}},
    )
    assert (found["context_window"], found["max_output_tokens"]) == (32_768, 9000)


def test_a_window_that_is_not_known_makes_the_smallest_unknown() -> None:
    assert described({"context_window": 200_000}, {})["context_window"] is None


def test_what_one_target_takes_the_alias_takes() -> None:
    found = described({"dialect": {"takes_images": False}}, {"dialect": {"takes_tools": False}})
    assert (found["takes_images"], found["takes_tools"]) == (True, True)
    assert described({"dialect": {"takes_images": False}})["takes_images"] is False


def test_parallel_calls_need_a_target_with_tools() -> None:
    assert described({"dialect": {"takes_tools": False}})["takes_parallel_calls"] is False
