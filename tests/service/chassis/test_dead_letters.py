"""Messages that were given up: seen, handled again with their place in the stream, or put aside with a reason."""

import base64
from collections.abc import AsyncIterator

import pytest

from chassis.bus import (
    Bus,
    Delivery,
    StillPoison,
    TryLater,
    backlog,
    connect,
    dead_letter,
    dead_letters,
    discard,
    handle_again,
    receiver,
)
from contracts.billing import SUBSCRIPTION_CHANGED, SubscriptionChanged
from contracts.streams import (
    DEAD_LETTERS,
    QUOTA_GRANTS,
    QUOTA_SUBSCRIPTIONS,
    Durable,
    dead_letter_subject,
    discarded_subject,
)
from tests.service.chassis.bus_things import stream_state, tell_change

DURABLE: Durable = QUOTA_SUBSCRIPTIONS


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="test") as bus:
        yield bus


async def give_up(bus: Bus, revision: int, *, durable: Durable = DURABLE, reason: str = "failed 10 times") -> int:
    """As the consumers do it; the place of the letter."""
    sequence = await tell_change(bus, revision)
    stored = await bus.client.jsm().get_msg("SUBSCRIPTIONS", sequence)
    headers = {
        "Nats-Msg-Id": f"{durable.name}:{sequence}",
        "Smartroute-Reason": reason,
        "Smartroute-Stream": durable.stream,
        "Smartroute-Sequence": str(sequence),
    }
    acknowledged = await bus.client.jetstream().publish(
        dead_letter_subject(durable), stored.data or b"", headers=headers
    )
    return acknowledged.seq


class Handler:
    """Keeps what it was given; fails as it is told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.handled: list[tuple[int, int]] = []

    async def handle(self, delivery: Delivery[SubscriptionChanged]) -> None:
        if self.failure is not None:
            raise self.failure
        self.handled.append((delivery.payload.revision, delivery.sequence))


async def listed(bus: Bus, durable: Durable = DURABLE) -> list[int]:
    return [letter.place async for letter in dead_letters(bus, durable)]


async def test_letters_are_listed_by_durable_oldest_first_with_where_they_come_from(bus: Bus) -> None:
    places = [await give_up(bus, revision, reason=f"failed {revision} times") for revision in (1, 2)]
    await give_up(bus, 3, durable=QUOTA_GRANTS)
    letters = [letter async for letter in dead_letters(bus, DURABLE)]
    assert [letter.place for letter in letters] == places
    assert [(letter.stream, letter.sequence, letter.reason) for letter in letters] == [
        ("SUBSCRIPTIONS", 1, "failed 1 times"),
        ("SUBSCRIPTIONS", 2, "failed 2 times"),
    ]
    found = await dead_letter(bus, places[1])
    assert found == letters[1]
    assert b'"revision":2' in letters[1].data


async def test_what_is_handled_has_its_original_place_in_the_stream_and_is_gone(bus: Bus) -> None:
    await tell_change(bus, 1)
    place, other = await give_up(bus, 2), await give_up(bus, 3)
    handler = Handler()
    letter = await dead_letter(bus, place)
    assert letter is not None
    await handle_again(bus, letter, receiver(SUBSCRIPTION_CHANGED, DURABLE, handler.handle))
    assert handler.handled == [(2, 2)]
    assert await listed(bus) == [other]
    assert await dead_letter(bus, place) is None
    # Somebody else was quicker: nothing is left to delete, and that is no error.
    await handle_again(bus, letter, receiver(SUBSCRIPTION_CHANGED, DURABLE, handler.handle))


async def test_what_still_cannot_be_handled_says_why_and_stays(bus: Bus) -> None:
    place = await give_up(bus, 1)
    letter = await dead_letter(bus, place)
    assert letter is not None
    poison = receiver(SUBSCRIPTION_CHANGED, DURABLE, Handler(RuntimeError("no such plan")).handle)
    with pytest.raises(StillPoison, match="RuntimeError: no such plan"):
        await handle_again(bus, letter, poison)
    with pytest.raises(TryLater):
        await handle_again(bus, letter, receiver(SUBSCRIPTION_CHANGED, DURABLE, Handler(TryLater("away")).handle))
    await bus.client.jetstream().publish(
        dead_letter_subject(DURABLE), b"not json", headers={"Smartroute-Sequence": "9"}
    )
    unreadable = await dead_letter(bus, place + 1)
    assert unreadable is not None
    with pytest.raises(StillPoison, match="unreadable"):
        await handle_again(bus, unreadable, receiver(SUBSCRIPTION_CHANGED, DURABLE, Handler().handle))
    assert await listed(bus) == [place, place + 1]


async def test_what_is_put_aside_keeps_who_decided_it_and_why(bus: Bus) -> None:
    place = await give_up(bus, 1)
    letter = await dead_letter(bus, place)
    assert letter is not None
    await discard(bus, letter, author="Ada Lövelace", reason="a test\nmessage")
    await discard(bus, letter, author="Ada Lövelace", reason="once more")
    assert await listed(bus) == []
    assert await dead_letter(bus, place + 1) is None
    stored = await bus.client.jsm().get_msg(DEAD_LETTERS.name, place + 1)
    assert stored.subject == discarded_subject(DURABLE)
    assert stored.data == letter.data
    headers = base64.b64decode(stored.hdrs or b"").decode().splitlines()
    assert "Smartroute-Sequence: 1" in headers
    assert "Smartroute-Discard-Reason: a test message" in headers
    assert "Smartroute-Author: Ada Lövelace" in headers
    assert (await stream_state(bus, DEAD_LETTERS.name)).messages == 1


async def test_the_backlog_tells_what_waits_and_what_was_given_up(bus: Bus) -> None:
    assert await backlog(bus, DURABLE) == await backlog(bus, QUOTA_GRANTS)
    letter = await dead_letter(bus, await give_up(bus, 1))
    await give_up(bus, 2)
    assert letter is not None
    await discard(bus, letter, author="Ada", reason="a test")
    found = await backlog(bus, DURABLE)
    assert (found.pending, found.dead_letters, found.acknowledged) == (2, 1, 0)
