"""New ids: UUIDv7 (RFC 9562 §5.7), which sort by when they were made. They are no secrets."""

from uuid import UUID

import uuid_utils


def new_id() -> UUID:
    return UUID(int=uuid_utils.uuid7().int)
