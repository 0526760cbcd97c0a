"""A model provider that does what a test tells it to: an HTTP server on a real socket in every wire format.

    async with Provider(brand="Zephyr") as provider:
        provider.enqueue(scripts.http_error(503), scripts.answer("Hello"))
        ...                  # call base_url + "/chat/completions", "/responses", "/completions" or "/messages"
        assert provider.exchanges[0].ending is Ending.COMPLETED

`scripts`, `faults` and the plans of `agent` make what it plays, `exchanges` is what it saw, a brand puts its name into
everything that it sends, and a strict one refuses what a real provider would. `python -m devstack.provider --port 8099`
serves echo answers to people who try things.
"""

from devstack.provider import agent, faults, scripts
from devstack.provider.agent import Plan
from devstack.provider.answers import Answer, ToolCall, Usage
from devstack.provider.cutting import cut
from devstack.provider.identity import Identity
from devstack.provider.script import Script
from devstack.provider.server import Ending, Exchange, Provider

__all__ = [
    "Answer",
    "Ending",
    "Exchange",
    "Identity",
    "Plan",
    "Provider",
    "Script",
    "ToolCall",
    "Usage",
    "agent",
    "cut",
    "faults",
    "scripts",
]
