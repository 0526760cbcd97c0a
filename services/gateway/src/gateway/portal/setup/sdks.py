"""Programs with the SDKs: short, whole and runnable, each over what its library does best."""

from gateway.portal.setup.files import GeneratedFile, program_string
from gateway.portal.setup.subject import TOKEN_VARIABLE, Subject


def sdk_files(subject: Subject) -> tuple[GeneratedFile, ...]:
    return (
        _file("smart-route.sh", "bash", _variables(subject), "What the OpenAI SDKs and LangChain read by themselves."),
        _file("openai_sdk.py", "python", _python(subject), "Python: pip install openai"),
        _file("openai_sdk.mjs", "javascript", _node(subject), "Node: npm install openai"),
        _file("ai_sdk.mjs", "javascript", _ai_sdk(subject), "AI SDK: npm install ai @ai-sdk/openai-compatible"),
        _file("langchain_chat.py", "python", _langchain(subject), "LangChain: pip install langchain-openai"),
        _file("openai_agents.py", "python", _agents(subject), "OpenAI Agents: pip install openai-agents"),
    )


def _file(name: str, language: str, content: str, about: str) -> GeneratedFile:
    return GeneratedFile(name, name, language, content, about)


def _shell_string(value: str) -> str:
    """Quoted for a POSIX shell, where nothing inside of single quotes is special but their end."""
    return "'" + value.replace("'", "'\\''") + "'"


def _variables(subject: Subject) -> str:
    return f"""\
# source smart-route.sh: the token is in {TOKEN_VARIABLE} already.
export OPENAI_BASE_URL={_shell_string(subject.base_url)}
export OPENAI_API_KEY="${TOKEN_VARIABLE}"
"""


def _python(subject: Subject) -> str:
    return f"""\
import os

from openai import OpenAI

client = OpenAI(base_url={program_string(subject.base_url)}, api_key=os.environ["{TOKEN_VARIABLE}"])
stream = client.chat.completions.create(
    model={program_string(subject.alias)},
    messages=[{{"role": "user", "content": "Say hello in one short sentence."}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
"""


def _node(subject: Subject) -> str:
    return f"""\
import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: {program_string(subject.base_url)},
  apiKey: process.env.{TOKEN_VARIABLE},
}});
const stream = await client.chat.completions.create({{
  model: {program_string(subject.alias)},
  messages: [{{ role: "user", content: "Say hello in one short sentence." }}],
  stream: true,
}});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
console.log();
"""


def _ai_sdk(subject: Subject) -> str:
    return f"""\
import {{ createOpenAICompatible }} from "@ai-sdk/openai-compatible";
import {{ streamText }} from "ai";

const smartroute = createOpenAICompatible({{
  name: "smartroute",
  baseURL: {program_string(subject.base_url)},
  apiKey: process.env.{TOKEN_VARIABLE},
  includeUsage: true,
  supportsStructuredOutputs: true,
}});
const result = streamText({{
  model: smartroute({program_string(subject.alias)}),
  prompt: "Say hello in one short sentence.",
}});
for await (const text of result.textStream) process.stdout.write(text);
console.log();
"""


def _langchain(subject: Subject) -> str:
    return f"""\
import os

from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model={program_string(subject.alias)},
    base_url={program_string(subject.base_url)},
    api_key=os.environ["{TOKEN_VARIABLE}"],
    stream_usage=True,
)
print(model.invoke("Say hello in one short sentence.").content)
"""


def _agents(subject: Subject) -> str:
    return f"""\
import os

from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)  # its traces would go to OpenAI, with OpenAI's key
client = AsyncOpenAI(base_url={program_string(subject.base_url)}, api_key=os.environ["{TOKEN_VARIABLE}"])
model = OpenAIResponsesModel(model={program_string(subject.alias)}, openai_client=client)
result = Runner.run_sync(Agent(name="Helper", model=model), "Say hello in one short sentence.")
print(result.final_output)
"""
