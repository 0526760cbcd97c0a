"""Tell and forget, over core NATS: every listener hears it, nobody keeps it."""

import logging
from collections.abc import Callable

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from chassis.bus.connection import Bus
from contracts.endpoint import PayloadT, Signal

log = logging.getLogger(__name__)


async def tell(bus: Bus, signal: Signal[PayloadT], payload: PayloadT) -> None:
    """Send a hint. It is dropped, and counted in the log, when there is no connection."""
    try:
        await bus.client.publish(signal.subject, payload.model_dump_json().encode())
    except NatsError as exc:
        log.warning("signal dropped", extra={"subject": signal.subject, "error": type(exc).__name__})


async def hear(bus: Bus, signal: Signal[PayloadT], listener: Callable[[PayloadT], None], *, queue: str = "") -> None:
    """Call `listener` with every signal until the bus is drained. All hear all; of a `queue` group one hears each."""

    async def on_message(message: Msg) -> None:
        try:
            payload = signal.payload.model_validate_json(message.data)
        except ValidationError:
            log.warning("unreadable signal ignored", extra={"subject": signal.subject})
            return
        listener(payload)

    bus.served.append(await bus.client.subscribe(signal.subject, queue=queue, cb=on_message))
    await bus.flush()
