"""A model provider that does what a test tells it to: an HTTP server on a real socket that speaks chat completions.

    async with Provider(brand="Zephyr") as provider:
        provider.enqueue(scripts.http_error(503), scripts.answer("Hello"))
        ...                                                  # call provider.base_url + "/chat/completions"
        assert provider.exchanges[0].ending is Ending.COMPLETED

`scripts` and `faults` make what it plays, `exchanges` is what it saw, and a brand puts its name into everything that it
sends. `python -m devstack.provider --port 8099` serves echo answers to people who try things.
"""

from devstack.provider import faults, scripts
from devstack.provider.answers import Answer, ToolCall, Usage
from devstack.provider.identity import Identity
from devstack.provider.script import Script
from devstack.provider.server import Ending, Exchange, Provider

__all__ = ["Answer", "Ending", "Exchange", "Identity", "Provider", "Script", "ToolCall", "Usage", "faults", "scripts"]
