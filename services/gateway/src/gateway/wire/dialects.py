"""The formats that providers speak, by the word that profiles use for them."""

from collections.abc import Mapping

from gateway.wire.anthropic.provider import DIALECT as ANTHROPIC
from gateway.wire.chat.provider import DIALECT as CHAT
from gateway.wire.completions.provider import DIALECT as COMPLETIONS
from gateway.wire.crossing import Dialect
from gateway.wire.lane import ProviderFormat
from gateway.wire.responses.provider.dialect import DIALECT as RESPONSES

DIALECTS: Mapping[ProviderFormat, Dialect] = {
    "chat": CHAT,
    "responses": RESPONSES,
    "completions": COMPLETIONS,
    "anthropic": ANTHROPIC,
}
