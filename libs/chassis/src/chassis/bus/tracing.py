"""The spans of the bus, named as the messaging conventions say: `{operation} {destination}`, never an inbox."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue

from chassis import attributes, telemetry


def values(operation: str, operation_type: str, destination: str) -> dict[str, AttributeValue]:
    return {
        attributes.MESSAGING_SYSTEM: "nats",
        attributes.MESSAGING_OPERATION: operation,
        attributes.MESSAGING_OPERATION_TYPE: operation_type,
        attributes.MESSAGING_DESTINATION: destination,
    }


@contextmanager
def processing(destination: str, group: str, senders: Sequence[tuple[str, SpanContext | None]]) -> Iterator[list[Span]]:
    """One CONSUMER span per message of a batch, in the trace of its sender and linked to it.

    `senders` are (message id, context) each. The spans of messages that are not sampled are not made. The first one is
    current inside the block: what the batch does in common (one statement for all) is its child.
    """
    spans: list[Span] = []
    with ExitStack() as stack:
        for message_id, sender in senders:
            if sender is None or not sender.trace_flags.sampled:
                continue
            described = values("process", "process", destination) | {
                attributes.MESSAGING_MESSAGE_ID: message_id,
                attributes.MESSAGING_CONSUMER_GROUP: group,
            }
            context = trace.set_span_in_context(trace.NonRecordingSpan(sender))
            span = telemetry.tracer.start_span(
                f"process {destination}", context, SpanKind.CONSUMER, described, links=[trace.Link(sender)]
            )
            stack.callback(span.end)
            spans.append(span)
        if spans:
            current = trace.use_span(spans[0], record_exception=False, set_status_on_exception=False)
            stack.enter_context(current)
        try:
            yield spans
        except BaseException as exc:
            for span in spans:
                telemetry.mark_failed(span, type(exc).__name__)
            raise
