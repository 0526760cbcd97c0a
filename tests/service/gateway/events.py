"""What the gateway told the others, read from the stream itself."""

import nats

from contracts import cloudevents
from contracts.gateway import ACCOUNT_OPENED, AccountOpened


async def accounts_opened(nats_url: str, *, count: int) -> list[AccountOpened]:
    """All `account_opened` events, when there are at least `count` of them (10 s at most)."""
    client = await nats.connect(nats_url)
    try:
        subscription = await client.jetstream().subscribe(ACCOUNT_OPENED.subject, ordered_consumer=True)
        opened = [await subscription.next_msg(timeout=10) for _ in range(count)]
        while (await subscription.consumer_info()).num_pending:
            opened.append(await subscription.next_msg(timeout=1))
    finally:
        await client.close()
    read = []
    for message in opened:
        envelope, payload = cloudevents.unwrap(ACCOUNT_OPENED, message.data)
        assert envelope.id == str(payload.account_id)
        read.append(payload)
    return read
