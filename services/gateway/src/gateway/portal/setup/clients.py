"""The clients that there are set-up pages for, and which files each of them gets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.portal.setup.agents import Api, kilo_files, opencode_files
from gateway.portal.setup.codex import codex_files
from gateway.portal.setup.files import GeneratedFile
from gateway.portal.setup.sdks import sdk_files
from gateway.portal.setup.subject import Subject
from gateway.portal.setup.vscode import vscode_files


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the reader has chosen, and the catalogue for Codex."""

    subject: Subject
    api: Api
    catalogue: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """`has_api`: it can be told which of the two interfaces to use."""

    slug: str
    name: str
    summary: str
    files: Callable[[Wishes], tuple[GeneratedFile, ...]]
    has_api: bool = False

    def file(self, wishes: Wishes, name: str) -> GeneratedFile | None:
        return next((file for file in self.files(wishes) if file.name == name), None)


CLIENTS = (
    Client(
        "codex",
        "Codex CLI",
        "An agent in the terminal, over Responses: provider, model catalogue, launch profiles.",
        lambda wishes: codex_files(wishes.subject, wishes.catalogue),
    ),
    Client(
        "kilo",
        "Kilo Code",
        "An agent in the editor and the terminal: the fields of its settings, or one file for both.",
        lambda wishes: kilo_files(wishes.subject, wishes.api),
        has_api=True,
    ),
    Client(
        "vscode",
        "VS Code agents",
        "The chat of Visual Studio Code with a custom endpoint, Continue, and Kilo Code's extension.",
        lambda wishes: vscode_files(wishes.subject),
    ),
    Client(
        "opencode",
        "opencode",
        "An agent in the terminal, over chat completions or Responses: one file.",
        lambda wishes: opencode_files(wishes.subject, wishes.api),
        has_api=True,
    ),
    Client(
        "sdks",
        "SDKs",
        "Python, JavaScript, AI SDK, LangChain and OpenAI Agents: programs that run as they are.",
        lambda wishes: sdk_files(wishes.subject),
    ),
)


def client_named(slug: str) -> Client | None:
    return next((client for client in CLIENTS if client.slug == slug), None)
