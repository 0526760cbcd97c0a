"""opencode and Kilo Code: two programs of one family, with one configuration."""

from typing import Any, Literal

from gateway.portal.setup.files import GeneratedFile, json_text
from gateway.portal.setup.subject import TOKEN_VARIABLE, Subject

Api = Literal["chat", "responses"]
PACKAGES: dict[Api, str] = {"chat": "@ai-sdk/openai-compatible", "responses": "@ai-sdk/openai"}


def opencode_files(subject: Subject, api: Api) -> tuple[GeneratedFile, ...]:
    return (_file("opencode", subject, api),)


def kilo_files(subject: Subject, api: Api) -> tuple[GeneratedFile, ...]:
    return (_file("kilo", subject, api),)


def kilo_fields(subject: Subject) -> tuple[tuple[str, str], ...]:
    """What to type into the settings of the extension, in their order: label and value."""
    return (
        ("API provider", "OpenAI Compatible"),
        ("Base URL", subject.base_url),
        ("API key", "your service token"),
        ("Model", subject.alias),
        ("Context window", str(subject.context_window)),
        ("Max output tokens", str(subject.output_tokens)),
        ("Image support", "on" if subject.takes_images else "off"),
        ("Streaming", "on"),
    )


def _file(program: str, subject: Subject, api: Api) -> GeneratedFile:
    name = f"{program}.json"
    return GeneratedFile(
        name,
        f"~/.config/{program}/{name}",
        "json",
        json_text(_configuration(subject, api)),
        "The provider, its one model, and what titles of sessions are written by.",
    )


def _configuration(subject: Subject, api: Api) -> dict[str, Any]:
    model = {
        "name": subject.name,
        "tool_call": True,
        "attachment": subject.takes_images,
        "limit": {"context": subject.context_window, "output": subject.output_tokens},
    }
    return {
        "provider": {
            "smartroute": {
                "npm": PACKAGES[api],
                "name": "Smart Route",
                "options": {"baseURL": subject.base_url, "apiKey": f"{{env:{TOKEN_VARIABLE}}}"},
                "models": {subject.alias: model},
            }
        },
        "model": f"smartroute/{subject.alias}",
        "small_model": f"smartroute/{subject.alias}",
    }
