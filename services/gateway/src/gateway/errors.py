"""Everything that can go wrong for a customer: the closed catalogue of errors, in OpenAI's classes and body.

GatewayError
├── AuthenticationFailed     401 invalid_api_key
├── TokenForbidden           403 insufficient_permissions
├── AccountSuspended         403 account_suspended
├── RequestInvalid           400 with the code of the fault, and the parameter
├── ContextTooLong           400 context_length_exceeded
├── RequestTimedOut          408 request_timeout
├── BodyTooLarge             413 request_too_large
├── HeadersTooLarge          431 headers_too_large
├── NotFound                 404 not_found
├── MethodNotAllowed         405 method_not_allowed
├── ModelNotFound            404 model_not_found
├── ReceiptNotFound          404 receipt_not_found
├── ResponseNotFound         404 response_not_found
├── UpgradeRequired          426 upgrade_required
├── IdempotencyConflict      409 idempotency_conflict
├── IdempotencyKeyReused     422 idempotency_key_reused
├── AllowanceSpent           429 insufficient_quota
├── SpeedExceeded            429 rate_limit_exceeded
├── ServiceUnavailable       503 service_unavailable
├── UpstreamUnavailable      502 upstream_unavailable
├── UpstreamTimedOut         504 upstream_timeout
├── UpstreamBroken           502 upstream_broken (after content began: only ever inside a stream)
├── GatewayStopping          503 gateway_stopping
├── NotRecorded              503 not_recorded
└── InternalError            500 internal_error

CommandFailed                 an end of a command of the operator; its text is printed, exit code 1
├── AccountExists
├── AccountUnknown
├── TokenUnknown
├── PlanUnknown
├── ScopeUnknown
└── NotInForce               a revocation or suspension that quota has not confirmed

Texts are ours: nothing that a provider, a peer or a library said is ever part of one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self
from uuid import UUID


class GatewayError(Exception):
    """An end of a request that the customer is told about. `headers` are added to the response."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "server_error"
    code: str = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """OpenAI's error object (API reference, "Error codes"; the SDKs read `message`, `type`, `param`, `code`)."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


class AuthenticationFailed(GatewayError):
    """One text for a missing, malformed, unknown, expired or revoked token: it tells a guesser nothing."""

    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__(
            "Invalid or missing service token. Send it as `Authorization: Bearer sr_live_…`.",
            headers={"www-authenticate": "Bearer"},
        )


class TokenForbidden(GatewayError):
    status = 403
    kind = "permission_error"
    code = "insufficient_permissions"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This service token lacks the scope `{scope}`.")


class AccountSuspended(GatewayError):
    """Staff has suspended the account. No retry helps, and no other token of the account does."""

    status = 403
    kind = "permission_error"
    code = "account_suspended"

    def __init__(self, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__("This account is suspended. Nothing was charged; contact support.", headers=headers)


class RequestInvalid(GatewayError):
    """The request cannot be understood or is not allowed; repeating it will not help. `faults` are its codes."""

    status = 400
    kind = "invalid_request_error"
    code = "invalid_value"
    faults: ClassVar[tuple[str, ...]] = (
        "conversation_lost",
        "invalid_http",
        "invalid_json",
        "invalid_value",
        "missing_required_parameter",
        "previous_response_not_found",
        "request_refused",
        "unsupported_parameter",
        "unsupported_value",
    )

    def __init__(self, message: str, *, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.code = code


class ContextTooLong(GatewayError):
    status = 400
    kind = "invalid_request_error"
    code = "context_length_exceeded"

    def __init__(self, *, param: str = "messages") -> None:
        super().__init__("The input is longer than the context window of this model.", param=param)


class RequestTimedOut(GatewayError):
    """The client stopped in the middle of its request. The connection is closed: the rest may still come on it."""

    status = 408
    kind = "invalid_request_error"
    code = "request_timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The request was not complete after {seconds:g} s.", headers={"connection": "close"})


class BodyTooLarge(GatewayError):
    status = 413
    kind = "invalid_request_error"
    code = "request_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The request body is larger than {limit_bytes} bytes.")


class HeadersTooLarge(GatewayError):
    status = 431
    kind = "invalid_request_error"
    code = "headers_too_large"

    def __init__(self, limit_bytes: int, limit_count: int) -> None:
        super().__init__(f"The request headers are larger than {limit_bytes} bytes or more than {limit_count}.")


class NotFound(GatewayError):
    status = 404
    kind = "invalid_request_error"
    code = "not_found"

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"Unknown request URL: {method} {path}.")


class MethodNotAllowed(GatewayError):
    status = 405
    kind = "invalid_request_error"
    code = "method_not_allowed"

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{method} is not allowed here.", headers={"allow": ", ".join(allowed)})


class ModelNotFound(GatewayError):
    status = 404
    kind = "invalid_request_error"
    code = "model_not_found"

    def __init__(self, asked: str, aliases: Sequence[str]) -> None:
        names = ", ".join(f"`{alias}`" for alias in aliases)
        super().__init__(f"The model `{asked[:100]}` does not exist. Choose one of: {names}.", param="model")


class ReceiptNotFound(GatewayError):
    """One text for unknown, foreign and malformed ids: it tells nothing of the requests of others."""

    status = 404
    kind = "invalid_request_error"
    code = "receipt_not_found"

    def __init__(self) -> None:
        super().__init__(
            "There is no receipt for this request id. Requests that were rejected before a prompt was held have none; "
            "those that were admitted have theirs a moment after their end.",
            param="request_id",
        )


class ResponseNotFound(GatewayError):
    """One text for unknown, foreign, deleted and expired ids."""

    status = 404
    kind = "invalid_request_error"
    code = "response_not_found"

    def __init__(self) -> None:
        super().__init__("There is no stored response with this id.", param="response_id")


class UpgradeRequired(GatewayError):
    """A WebSocket was asked for. Clients that can do without go on over HTTP at once when they see this status."""

    status = 426
    kind = "invalid_request_error"
    code = "upgrade_required"

    def __init__(self) -> None:
        super().__init__("Responses are not offered over WebSocket: use POST.", headers={"upgrade": "HTTP/1.1"})


class IdempotencyConflict(GatewayError):
    """The key is another request's, whose answer cannot be sent (yet)."""

    status = 409
    kind = "invalid_request_error"
    code = "idempotency_conflict"

    @classmethod
    def running(cls, *, retry_after_seconds: int = 2) -> Self:
        return cls(
            "A request with this Idempotency-Key is being answered. Try again when it is done.",
            headers={"retry-after": str(retry_after_seconds)},
        )

    @classmethod
    def not_kept(cls, request_id: UUID, why: str) -> Self:
        """`why` is the beginning of a sentence on the answer. A library must not try again by itself."""
        return cls(
            f"{why}, so it was not kept and cannot be sent again. GET receipts/{request_id} says how that request "
            "ended. To have it answered anew, send it with another Idempotency-Key.",
            headers={"x-should-retry": "false"},
        )


class IdempotencyKeyReused(GatewayError):
    status = 422
    kind = "invalid_request_error"
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used with another request body. Use a new key for a new request.",
            param="Idempotency-Key",
        )


class AllowanceSpent(GatewayError):
    """A window is used up. The SDKs must not retry it: `x-should-retry: false`."""

    status = 429
    kind = "insufficient_quota"
    code = "insufficient_quota"


class SpeedExceeded(GatewayError):
    """Faster than the plan allows, with prompts left: the same request succeeds a moment later (`Retry-After`)."""

    status = 429
    kind = "requests"  # OpenAI's word in its own `rate_limit_exceeded`
    code = "rate_limit_exceeded"


class ServiceUnavailable(GatewayError):
    """A part of ours is away and nothing was admitted."""

    status = 503
    code = "service_unavailable"

    def __init__(self, *, retry_after_seconds: int = 2) -> None:
        super().__init__(
            "The service is temporarily unavailable. Nothing was charged.",
            headers={"retry-after": str(retry_after_seconds)},
        )


class UpstreamUnavailable(GatewayError):
    status = 502
    code = "upstream_unavailable"

    def __init__(self) -> None:
        super().__init__("No model could answer this request. Nothing was charged.")


class UpstreamTimedOut(GatewayError):
    status = 504
    code = "upstream_timeout"

    def __init__(self) -> None:
        super().__init__("The model did not answer in time. Nothing was charged.")


class UpstreamBroken(GatewayError):
    status = 502
    code = "upstream_broken"

    def __init__(self) -> None:
        super().__init__("The model failed in the middle of its answer. Nothing was charged.")


class GatewayStopping(GatewayError):
    """This replica is being replaced and the grace for open answers is over."""

    status = 503
    code = "gateway_stopping"

    def __init__(self) -> None:
        super().__init__("The gateway was replaced before the answer was complete. Nothing was charged; send it again.")


class NotRecorded(GatewayError):
    """The answer was there, and could be recorded nowhere: it must not end as if it had been (I5)."""

    status = 503
    code = "not_recorded"

    def __init__(self) -> None:
        super().__init__(
            "The answer could not be recorded, so it must not count as given. Its receipt will say that it was not "
            "charged, unless the record arrived after all. Send the request again."
        )


class InternalError(GatewayError):
    def __init__(self) -> None:
        super().__init__("Internal error. Nothing was charged.")


def catalogue() -> list[type[GatewayError]]:
    """Every error that a customer can be told of, by status."""
    found: list[type[GatewayError]] = []
    waiting = GatewayError.__subclasses__()
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return sorted(found, key=lambda kind: (kind.status, kind.__name__))


def codes_of(kind: type[GatewayError]) -> tuple[str, ...]:
    """The codes that errors of a class carry."""
    return kind.faults if issubclass(kind, RequestInvalid) else (kind.code,)


class CommandFailed(Exception):
    """A command did not do what it was asked; the text says what is so now."""


class AccountExists(CommandFailed):
    def __init__(self, name: str) -> None:
        super().__init__(f"there is an account `{name}` already")


class AccountUnknown(CommandFailed):
    def __init__(self, account: str) -> None:
        super().__init__(f"there is no account `{account}` (give its id or its name)")


class TokenUnknown(CommandFailed):
    def __init__(self, token_id: object) -> None:
        super().__init__(f"there is no token `{token_id}`")


class PlanUnknown(CommandFailed):
    def __init__(self, plan: str, plans: Sequence[str]) -> None:
        super().__init__(f"there is no plan `{plan}`; choose one of: {', '.join(plans)}")


class ScopeUnknown(CommandFailed):
    def __init__(self, scope: str, scopes: Sequence[str]) -> None:
        super().__init__(f"there is no scope `{scope}`; choose from: {', '.join(scopes)}")


class NotInForce(CommandFailed):
    """`what` is what was written here, `reason` why quota does not act by it yet."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"{what}, but that is NOT in force: {reason}. "
            "Running gateways go on trying; repeat the command to be told when it is."
        )
