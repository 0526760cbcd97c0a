"""Agents in Visual Studio Code: its own chat by a custom endpoint, and the extension Continue."""

import yaml

from gateway.portal.setup.files import GeneratedFile, json_text
from gateway.portal.setup.subject import TOKEN_VARIABLE, Subject

CHAT_MODELS = "chatLanguageModels.json"


def vscode_files(subject: Subject) -> tuple[GeneratedFile, ...]:
    return (_chat_models(subject), _continue(subject))


def _chat_models(subject: Subject) -> GeneratedFile:
    """Without `apiKey`: VS Code asks for the token, keeps it in its secret storage, and writes the reference itself."""
    model = {
        "id": subject.alias,
        "name": subject.name,
        # The whole address: of a shorter one the version of the path would be guessed.
        "url": f"{subject.base_url}/chat/completions",
        "toolCalling": True,
        "vision": subject.takes_images,
        "maxInputTokens": subject.input_tokens,
        "maxOutputTokens": subject.output_tokens,
    }
    entry = {
        "name": "Smart Route",
        "vendor": "customendpoint",
        "apiType": "chat-completions",
        "models": [model],
    }
    return GeneratedFile(
        CHAT_MODELS,
        "opened by the command Chat: Manage Language Models",
        "json",
        json_text([entry]),
        "The entry of this endpoint. Leave the line apiKey that VS Code has written.",
    )


def _continue(subject: Subject) -> GeneratedFile:
    model = {
        "name": subject.name,
        "provider": "openai",
        "model": subject.alias,
        "apiBase": subject.base_url,
        "apiKey": f"${{{{ secrets.{TOKEN_VARIABLE} }}}}",
        "roles": ["chat", "edit", "apply"],
        "capabilities": ["tool_use", *(["image_input"] if subject.takes_images else [])],
        "defaultCompletionOptions": {"contextLength": subject.context_window, "maxTokens": subject.output_tokens},
    }
    content = {"name": "Smart Route", "version": "1.0.0", "schema": "v1", "models": [model]}
    return GeneratedFile(
        "config.yaml",
        "~/.continue/config.yaml",
        "yaml",
        yaml.safe_dump(content, sort_keys=False, allow_unicode=True),
        "Continue reads the token from ~/.continue/.env, not from the environment of your shell.",
    )
