"""What customers reach, and how long it may take."""

from collections.abc import Iterator

from tests.deploy.k8s.rendering import Rendered, title

PREFIXES = ("/v1", "/api/smart-routing-ai-model/v1")
ANSWERS = ("chat/completions", "completions", "responses")


def timeouts(rendered: Rendered) -> Iterator[str]:
    """No proxy ends an answer; everything else has an end."""
    if not rendered.has("HTTPRoute"):
        return
    unlimited: set[tuple[str, str]] = set()
    limited: set[tuple[str, str]] = set()
    for route in rendered.of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            if "backendRefs" not in rule:
                continue
            request = rule.get("timeouts", {}).get("request")
            if request is None:
                yield f"{title(route)}: says nothing of time, so the proxy decides"
            (unlimited if request == "0s" else limited).update(
                (match["path"]["type"], match["path"]["value"]) for match in rule["matches"]
            )
    wanted = {("Exact", f"{prefix}/{answer}") for prefix in PREFIXES for answer in ANSWERS}
    for _, path in sorted(wanted - unlimited):
        yield f"HTTPRoute: answers of {path} are cut off"
    for _, path in sorted(unlimited - wanted):
        yield f"HTTPRoute: {path} may take for ever"
    for path in ("/v1", "/api", "/"):
        if ("PathPrefix", path) not in limited:
            yield f"HTTPRoute: nobody serves {path}"
