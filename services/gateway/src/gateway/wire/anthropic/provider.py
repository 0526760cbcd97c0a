"""The Messages API as a provider's format.

It wants its key as `x-api-key`; who posts the body puts it there.
"""

from gateway.wire.anthropic.decode import from_message
from gateway.wire.anthropic.encode import write_request
from gateway.wire.anthropic.stream import MessagesDecoder
from gateway.wire.crossing import Dialect

DIALECT = Dialect(
    path="/messages",
    write_request=write_request,
    decoder=MessagesDecoder,
    read_whole=from_message,
    headers={"anthropic-version": "2023-06-01"},
)
