"""The day of `make volume` in small: it goes through stream and services, and its books are what they have to be."""

from tests.volume.run import Choices, run


async def test_the_books_of_a_small_day_are_what_they_have_to_be() -> None:
    said: list[str] = []
    measured = await run(Choices(settlements=1_000, accounts=40), say=said.append)
    assert all(each.is_as_expected for each in measured), "\n".join(said)
    assert [each.name for each in measured][:5] == [
        "reconcile",
        "reconcile --day",
        "close",
        "reconcile, closed",
        "rebuild",
    ]
