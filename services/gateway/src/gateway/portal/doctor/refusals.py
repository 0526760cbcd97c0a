"""What an answer that is none means: the endpoint's own codes of errors as findings. Pure."""

from gateway.portal.doctor.answers import Answer, NoAnswer
from gateway.portal.doctor.findings import Check, Code, Finding, found

_BY_ERROR = {
    "invalid_api_key": Code.TOKEN_REFUSED,
    "account_suspended": Code.ACCOUNT_SUSPENDED,
    "insufficient_permissions": Code.SCOPE_MISSING,
    "model_not_found": Code.ALIAS_UNKNOWN,
    "insufficient_quota": Code.QUOTA_SPENT,
    "rate_limit_exceeded": Code.SPEED_EXCEEDED,
    "upstream_unavailable": Code.MODEL_AWAY,
    "upstream_timeout": Code.MODEL_AWAY,
    "upstream_broken": Code.MODEL_AWAY,
    "service_unavailable": Code.SERVICE_AWAY,
    "gateway_stopping": Code.SERVICE_AWAY,
    "not_recorded": Code.SERVICE_AWAY,
}


def silence(check: Check, nothing: NoAnswer) -> Finding:
    """Nothing came back."""
    if nothing.reason == "unreachable":
        return found(check, Code.UNREACHABLE, seconds=nothing.seconds)
    return found(check, Code.TOO_SLOW, seconds=nothing.seconds, limit=f"{nothing.limit_seconds:.0f}")


def refusal(check: Check, answer: Answer, *, scope: str, aliases: str) -> Finding:
    """An answer that is an error, or nothing of ours. `scope` is the one that the request needs."""
    error = answer.error
    code = Code.NOT_OURS if error is None else _BY_ERROR.get(error)
    if code is None:
        code = Code.SERVICE_FAILED if answer.status >= 500 else Code.REQUEST_REFUSED
    return found(
        check,
        code,
        seconds=answer.seconds,
        status=answer.status,
        # Only a code that looks like one of ours is shown: what is between us and the reader may answer anything.
        error=error if error is not None and error.replace("_", "").isalnum() else "unknown",
        request_id=shown_id(answer),
        scope=scope,
        aliases=aliases,
    )


def shown_id(answer: Answer) -> str:
    """The id of the request for support, short of whatever a header may hold."""
    return answer.request_id[:64]
