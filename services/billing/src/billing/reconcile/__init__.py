"""Checks the books: the stream, the ledger and quota's windows must tell the same story.

`comparison` one comparison · `messages` what the stream says, and up to where it is folded · `quota` quota's books ·
`keys` whose signatures count ·
`minutely` the one that billing makes by itself · `rebuild` the whole stream folded again
"""

from billing.reconcile.comparison import Asked, compare
from billing.reconcile.keys import known_keys
from billing.reconcile.minutely import Minutely
from billing.reconcile.rebuild import Rebuilt, rebuild

__all__ = ["Asked", "Minutely", "Rebuilt", "compare", "known_keys", "rebuild"]
