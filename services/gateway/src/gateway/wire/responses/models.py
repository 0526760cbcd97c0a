"""The wire of Responses requests, field for field as OpenAI documents it, as far as we act on it or check it.

What is not named here is neither checked nor acted on; for the fields of the request see the table in `decode`, for the
items and tools see those in `conversation` and `declared`.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1)]
Json: TypeAlias = dict[str, Any]
Tokens = Annotated[int, Meta(ge=1, le=100_000_000)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


# --- the request


class AskedReasoning(Struct):
    """How much to think."""

    effort: str | None = None
    summary: str | None = None


class TextFormat(Struct, tag="text"):
    """Free text."""


class JsonObjectFormat(Struct, tag="json_object"):
    """Any JSON object."""


class JsonSchemaFormat(Struct, tag="json_schema"):
    """A JSON value that follows a schema."""

    name: Name
    schema: Json
    description: str | None = None
    strict: bool | None = None


class AskedText(Struct):
    """What the answer's text has to be."""

    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class AskedStreamOptions(Struct):
    """`include_obfuscation`: noise against listeners, which we never send."""

    include_obfuscation: bool | None = None


class AskedResponse(Struct):
    """The fields of a request that are checked or acted on."""

    model: Name
    input: str | list[Json] | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: AskedStreamOptions | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: Name | None = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    text: AskedText | None = None
    reasoning: AskedReasoning | None = None
    max_output_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


# --- the parts of what is said


class InputText(Struct, tag="input_text"):
    """Words of a client."""

    text: str


class PlainText(Struct, tag="text"):
    """Words, by the name that chat completions have for them."""

    text: str


class OutputText(Struct, tag="output_text"):
    """Words of the assistant. Its annotations and probabilities are for people."""

    text: str


class Refusal(Struct, tag="refusal"):
    """Words with which the assistant refused."""

    refusal: str


class InputImage(Struct, tag="input_image"):
    """A picture."""

    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(Struct, tag="input_file"):
    """A document."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None


ContentPart: TypeAlias = InputText | PlainText | OutputText | Refusal | InputImage | InputFile
Content: TypeAlias = str | list[ContentPart]


# --- the items of the input


class MessageItem(Struct):
    """A message; `type` may be missing."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content


class SummaryPart(Struct):
    """A piece of thoughts, or of their summary."""

    text: str


class ReasoningItem(Struct):
    """What the assistant thought."""

    summary: list[SummaryPart] | None = None
    content: list[SummaryPart] | None = None
    encrypted_content: str | None = None


class FunctionCallItem(Struct):
    """A call of a function."""

    call_id: Name
    name: Name
    arguments: str
    namespace: str | None = None


class CustomCallItem(Struct):
    """A call with free text."""

    call_id: Name
    name: Name
    input: str
    namespace: str | None = None


class ExecAction(Struct, omit_defaults=True):
    """A program to run."""

    command: list[str]
    working_directory: str | None = None
    timeout_ms: int | None = None
    env: dict[str, str] | None = None
    user: str | None = None


class LocalShellCallItem(Struct):
    """A call of the local shell. Older clients name it by `id` alone."""

    action: ExecAction
    call_id: str | None = None
    id: str | None = None


class ShellAction(Struct, omit_defaults=True):
    """Shell commands to run."""

    commands: list[str]
    timeout_ms: int | None = None
    max_output_length: int | None = None


class ShellCallItem(Struct):
    """A call of the shell."""

    call_id: Name
    action: ShellAction


class PatchOperation(Struct, omit_defaults=True):
    """A change of one file."""

    type: Literal["create_file", "update_file", "delete_file"]
    path: str
    diff: str | None = None


class ApplyPatchCallItem(Struct):
    """A call of the patch tool."""

    call_id: Name
    operation: PatchOperation


class ToolSearchCallItem(Struct):
    """A search for tools; without `call_id` it ran at the provider."""

    arguments: Any = None
    call_id: str | None = None


class CallOutputItem(Struct):
    """What a function or a custom tool answered."""

    call_id: Name
    output: Content


class LocalShellOutputItem(Struct):
    """What the local shell answered. OpenAI's types name the call by `id`."""

    output: str
    call_id: str | None = None
    id: str | None = None


class ShellOutputItem(Struct):
    """What the shell answered: stdout, stderr and outcome of every command."""

    call_id: Name
    output: list[Json]


class ApplyPatchOutputItem(Struct):
    """What the patch tool answered."""

    call_id: Name
    status: Literal["completed", "failed"] | None = None
    output: str | None = None


class ToolSearchOutputItem(Struct):
    """The tools that a search found."""

    tools: list[Json]
    call_id: str | None = None


class AdditionalToolsItem(Struct):
    """More tools, declared within the input."""

    tools: list[Json]


class CompactionItem(Struct):
    """A conversation so far as a summary that only we can read."""

    encrypted_content: Name


# --- the tools


class FunctionTool(Struct):
    """A function of the client."""

    name: Name
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class CustomTool(Struct):
    """A tool of the client that takes free text."""

    name: Name
    description: str | None = None
    format: Json | None = None


class NamespaceTool(Struct):
    """Functions and custom tools with a common name before theirs, such as those of one MCP server."""

    name: Name
    tools: list[Json]
    description: str | None = None


class ToolSearchTool(Struct):
    """A search for tools. `execution`: where it runs."""

    execution: str | None = None
    description: str | None = None
    parameters: Json | None = None


class ShellEnvironment(Struct):
    """Where a shell runs: `local` is at the client, everything else is a container of the provider."""

    type: str


class ShellTool(Struct):
    """A shell."""

    environment: ShellEnvironment | None = None


class ToolName(Struct):
    """A tool as `tool_choice` names it."""

    type: str
    name: str | None = None
    namespace: str | None = None


class AllowedTools(Struct):
    """`tool_choice`: only these tools."""

    mode: Literal["auto", "required"]
    tools: list[ToolName]
