// The same request for a shell and for Python: what the tester is about to send, to be taken along.

import { formats } from "tester/formats.js";
import * as tool from "tester/tool.js";

export function curl(choice, baseUrl) {
  const format = formats[choice.endpoint];
  const body = JSON.stringify(format.first(choice), null, 2).replaceAll("'", "'\\''");
  return [
    `curl -sS --fail-with-body${choice.stream ? " --no-buffer" : ""} "${baseUrl}${format.path}" \\`,
    '  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${body}'`,
  ].join("\n");
}

export function python(choice, baseUrl) {
  const hasLoop = choice.tools && !choice.stream;
  const lines = hasLoop
    ? ["import json", "import os", "from datetime import datetime", "from zoneinfo import ZoneInfo"]
    : ["import os"];
  lines.push("", "from openai import OpenAI", "");
  lines.push(`client = OpenAI(base_url=${literal(baseUrl)}, api_key=os.environ["SMARTROUTE_TOKEN"])`);
  const write = choice.endpoint === "chat" ? chat : responses;
  return [...lines, ...(hasLoop ? [...ZONED, ""] : []), ...write(choice)].join("\n");
}

const ZONED = [
  "",
  "",
  `def ${tool.NAME}(time_zone: str) -> str:`,
  '    return datetime.now(ZoneInfo(time_zone)).strftime("%A, %d %B %Y, %H:%M:%S %Z")',
  "",
];

function chat(choice) {
  const body = formats.chat.first(choice);
  if (choice.stream) {
    return [
      ...call("stream = client.chat.completions.create", body),
      "for chunk in stream:",
      "    for choice in chunk.choices:",
      '        print(choice.delta.content or "", end="", flush=True)',
      ...(choice.tools ? ["        for piece in choice.delta.tool_calls or []:", `            ${PIECE}`] : []),
    ];
  }
  if (!choice.tools) {
    return [...call("completion = client.chat.completions.create", body), "print(completion.choices[0].message.content)"];
  }
  const { messages, ...others } = body;
  return [
    `messages = ${literal(messages)}`,
    "while True:",
    ...indented(call("completion = client.chat.completions.create", others, ["messages=messages"])),
    "    message = completion.choices[0].message",
    "    if not message.tool_calls:",
    "        break",
    "    messages.append(message)",
    "    for call in message.tool_calls:",
    `        said = ${tool.NAME}(**json.loads(call.function.arguments))`,
    '        messages.append({"role": "tool", "tool_call_id": call.id, "content": said})',
    "print(message.content)",
  ];
}

const PIECE = 'print(piece.function.name or piece.function.arguments or "", end="", flush=True)';

function responses(choice) {
  const body = formats.responses.first(choice);
  if (choice.stream) {
    return [
      ...call("stream = client.responses.create", body),
      "for event in stream:",
      '    if event.type == "response.output_text.delta":',
      '        print(event.delta, end="", flush=True)',
      ...(choice.tools
        ? [
            '    elif event.type == "response.output_item.done" and event.item.type == "function_call":',
            "        print(event.item.name, event.item.arguments)",
          ]
        : []),
    ];
  }
  if (!choice.tools) {
    return [...call("response = client.responses.create", body), "print(response.output_text)"];
  }
  const { input: _, ...others } = body;
  return [
    ...call("response = client.responses.create", body),
    "while results := [",
    "    {",
    '        "type": "function_call_output",',
    '        "call_id": item.call_id,',
    `        "output": ${tool.NAME}(**json.loads(item.arguments)),`,
    "    }",
    "    for item in response.output",
    '    if item.type == "function_call"',
    "]:",
    ...indented(
      call("response = client.responses.create", others, ["previous_response_id=response.id", "input=results"]),
    ),
    "print(response.output_text)",
  ];
}

function call(name, keywords, more = []) {
  const given = Object.entries(keywords).map(([keyword, value]) => `${keyword}=${literal(value)}`);
  return [`${name}(`, ...[...given, ...more].flatMap((each) => indented(`${each},`.split("\n"))), ")"];
}

function indented(lines) {
  return lines.map((line) => (line ? `    ${line}` : line));
}

/** A value of JSON as Python writes it; strings of both are alike but for what is outside of the basic plane. */
export function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const isList = Array.isArray(value);
  const parts = isList
    ? value.map(literal)
    : Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${literal(each)}`);
  const [open, close] = isList ? "[]" : "{}";
  const line = `${open}${parts.join(", ")}${close}`;
  if (line.length <= 72 && !line.includes("\n")) return line;
  return [open, ...parts.flatMap((part) => indented(`${part},`.split("\n"))), close].join("\n");
}
