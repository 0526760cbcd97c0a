"""What a provider calls itself: nothing in particular, or one loud name in every place that could leak it."""

from dataclasses import dataclass, field

from devstack.provider.http import Format

_PREFIXES: dict[Format, str] = {"chat": "chatcmpl-", "completions": "cmpl-", "responses": "resp_", "anthropic": "msg_"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Names, ids and headers of a provider; with a `brand`, each contains it. The request `number` keeps ids apart.

    `issued`: the opaque states and item ids that it has handed out, which may come back to it.
    """

    brand: str | None = None
    number: int = 0
    issued: set[str] = field(default_factory=set, compare=False, repr=False)

    def model(self, requested: str) -> str:
        """The model name in answers: the one asked for, or the provider's own."""
        return requested if self.brand is None else f"{self.brand}-large-2026-11"

    def completion_id(self) -> str:
        """The id of a chat completion."""
        return self.answer_id("chat")

    def answer_id(self, wire: Format) -> str:
        """The id of the answer in a format."""
        return f"{_PREFIXES[wire]}{self._slug}{self.number}"

    def tool_call_id(self, position: int, *, prefix: str = "call") -> str:
        """The id of the tool call at `position` (from 0) of this answer."""
        return f"{prefix}_{self._slug}{self.number}_{position}"

    def item_id(self, prefix: str, position: int) -> str:
        """The id of an output item."""
        item = f"{prefix}_{self._slug}{self.number}_{position}"
        self.issued.add(item)
        return item

    def request_id(self) -> str:
        """The id of the request in an error's body."""
        return f"req_{self._slug}{self.number}"

    def issue(self, state: str | None) -> str | None:
        """The opaque state as it is handed out, the brand in it, and remembered."""
        if state is None:
            return None
        issued = f"{self._slug}{state}"
        self.issued.add(issued)
        return issued

    def service_tier(self, usual: str) -> str:
        """The tier that an answer names."""
        return usual if self.brand is None else f"{self.brand}-scale"

    def metadata(self) -> dict[str, object]:
        """What a provider adds to the metadata of a response."""
        return {} if self.brand is None else {f"{self.brand}_region": f"{self.brand}-eu-1"}

    def event_extras(self) -> dict[str, object]:
        """Fields that a provider adds to every event with a type of its own."""
        return {} if self.brand is None else {f"x_{self.brand}_event": f"{self.brand}-ev-{self.number}"}

    def payload_extras(self) -> dict[str, object]:
        """Top-level fields that a provider adds to completions and to every chunk."""
        return {"system_fingerprint": None, **self.brand_extras()}

    def brand_extras(self) -> dict[str, object]:
        """Top-level fields that only a loud provider adds."""
        if self.brand is None:
            return {}
        return {
            "system_fingerprint": f"fp_{self.brand}_7f3a",
            "service_tier": f"{self.brand}-scale",
            "provider": self.brand,
            f"x_{self.brand}": {"region": f"{self.brand}-eu-1", "trace": f"{self.brand}-trace-{self.number}"},
        }

    def choice_extras(self) -> dict[str, object]:
        """Fields that a provider adds to every choice."""
        return {} if self.brand is None else {f"{self.brand}_filter": {"verdict": f"{self.brand}-safe"}}

    def delta_extras(self) -> dict[str, object]:
        """Fields that a provider adds to messages and deltas."""
        return {} if self.brand is None else {f"{self.brand}_signature": f"{self.brand}-sig-{self.number}"}

    def usage_extras(self) -> dict[str, object]:
        """Fields that a provider adds to usage."""
        return {} if self.brand is None else {f"{self.brand}_credits": 7}

    def error_extras(self) -> dict[str, object]:
        """Fields that a provider adds to error bodies."""
        return (
            {}
            if self.brand is None
            else {"param": f"{self.brand}.model", f"{self.brand}_request": f"req-{self.number}"}
        )

    def message(self, text: str) -> str:
        """An error text in the provider's own words."""
        if self.brand is None:
            return text
        return f"{self.brand}: {text} See https://docs.{self.brand.lower()}.example/errors (key sk-{self.brand}-1234)."

    def headers(self) -> list[tuple[str, str]]:
        """Response headers that a provider sends with everything."""
        if self.brand is None:
            return []
        low = self.brand.lower()
        return [
            ("Server", f"{self.brand}/2.1"),
            ("Via", f"1.1 edge.{low}.example"),
            (f"X-{self.brand}-Region", f"{low}-eu-1"),
            ("X-Request-Id", f"req_{self.brand}_{self.number}"),
            ("X-Powered-By", self.brand),
            ("Set-Cookie", f"__{low}_session={self.brand}-{self.number}; Path=/; HttpOnly"),
            ("OpenAI-Organization", f"org-{self.brand}"),
            ("Request-Id", self.request_id()),
            ("Anthropic-Organization-Id", f"org-{self.brand}"),
            ("OpenAI-Model", f"{self.brand}-large-2026-11"),
            ("CF-Ray", f"8f{self.number:04x}{self.brand}-FRA"),
            ("X-RateLimit-Limit-Requests", "777"),
            ("Traceparent", f"00-{self.number + 1:032x}-{self.number + 1:016x}-01"),
            ("Access-Control-Expose-Headers", f"X-{self.brand}-Region"),
        ]

    @property
    def _slug(self) -> str:
        return "" if self.brand is None else f"{self.brand}-"
