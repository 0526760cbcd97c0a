"""Whose signatures on daily closes count: those of the key that signs them here."""

import logging
from pathlib import Path

from billing.errors import KeyRefused
from billing.reconcile.comparison import Keys
from billing.signing import read_key

log = logging.getLogger(__name__)


def known_keys(path: Path | None) -> Keys:
    """The public half of the configured key. Without one, closes are compared and their signatures are left open."""
    if path is None:
        return {}
    try:
        public = read_key(path).public
    except KeyRefused as exc:
        log.warning("signatures of closes cannot be checked", extra={"reason": str(exc)})
        return {}
    return {public.key_id: public.is_signed}
