// The scenarios with the official SDK for Node: `openai_program.mjs chat|responses SCENARIO…`, prints JSON.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI(); // the base URL and the key are in the environment
const model = process.env.MODEL;
const weather = { Oslo: "7 degrees", Rome: "21 degrees" };
const Reading = z.object({ city: z.string(), degrees: z.number().int() });
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const prompts = ["My name is Ada.", "What is my name?"];
const user = (content) => ({ role: "user", content });

const chat = {
  async plain() {
    const completion = await client.chat.completions.create({ model, messages: [user("Hello?")] });
    const { prompt_tokens, completion_tokens } = completion.usage;
    return { texts: [completion.choices[0].message.content], usage: [prompt_tokens, completion_tokens] };
  },

  async stream() {
    const stream = client.chat.completions.stream({
      model,
      messages: [user("Hello?")],
      stream_options: { include_usage: true },
    });
    let pieces = 0;
    stream.on("content", () => (pieces += 1));
    const completion = await stream.finalChatCompletion();
    const { prompt_tokens, completion_tokens } = completion.usage;
    return { texts: [completion.choices[0].message.content], usage: [prompt_tokens, completion_tokens], pieces };
  },

  async tool(prompt) {
    const called = [];
    const get_weather = ({ city }) => {
      called.push(city);
      return weather[city];
    };
    const runner = client.chat.completions.runTools({
      model,
      messages: [user(prompt)],
      tools: [{ type: "function", function: { name: "get_weather", function: get_weather, parse: JSON.parse, parameters } }],
    });
    return { texts: [await runner.finalContent()], called };
  },

  async structured() {
    const completion = await client.chat.completions.parse({
      model,
      messages: [user("Read the weather.")],
      response_format: zodResponseFormat(Reading, "reading"),
    });
    return { parsed: completion.choices[0].message.parsed };
  },

  async turns() {
    const messages = [];
    const texts = [];
    for (const prompt of prompts) {
      messages.push(user(prompt));
      const completion = await client.chat.completions.create({ model, messages });
      messages.push(completion.choices[0].message);
      texts.push(completion.choices[0].message.content);
    }
    return { texts };
  },
};

const responses = {
  async plain() {
    const response = await client.responses.create({ model, input: "Hello?" });
    return { texts: [response.output_text], usage: [response.usage.input_tokens, response.usage.output_tokens] };
  },

  async stream() {
    const stream = client.responses.stream({ model, input: "Hello?" });
    let pieces = 0;
    stream.on("response.output_text.delta", () => (pieces += 1));
    const response = await stream.finalResponse();
    if (response.status === "failed") {
      return { error: { status: null, code: response.error.code, message: response.error.message } };
    }
    return { texts: [response.output_text], usage: [response.usage.input_tokens, response.usage.output_tokens], pieces };
  },

  async tool(prompt) {
    const input = [user(prompt)];
    const called = [];
    for (;;) {
      const response = await client.responses.create({
        model,
        input,
        tools: [{ type: "function", name: "get_weather", parameters, strict: true }],
      });
      const calls = response.output.filter((item) => item.type === "function_call");
      if (calls.length === 0) return { texts: [response.output_text], called };
      input.push(...response.output);
      for (const call of calls) {
        const { city } = JSON.parse(call.arguments);
        called.push(city);
        input.push({ type: "function_call_output", call_id: call.call_id, output: weather[city] });
      }
    }
  },

  async structured() {
    const response = await client.responses.parse({
      model,
      input: "Read the weather.",
      text: { format: zodTextFormat(Reading, "reading") },
    });
    return { parsed: response.output_parsed };
  },

  async turns() {
    const input = [];
    const texts = [];
    for (const prompt of prompts) {
      input.push(user(prompt));
      const response = await client.responses.create({ model, input });
      input.push(...response.output);
      texts.push(response.output_text);
    }
    return { texts };
  },
};

const asked = { tool: "How is the weather in Oslo?", parallel: "How is the weather in Oslo and Rome?" };

async function perform(performances, scenario) {
  try {
    if (scenario in asked) return await performances.tool(asked[scenario]);
    return await performances[scenario]();
  } catch (error) {
    if (!(error instanceof OpenAI.OpenAIError)) throw error;
    return { error: { status: error.status ?? null, code: error.code ?? null, message: error.message } };
  }
}

const [api, ...scenarios] = process.argv.slice(2);
for (const scenario of scenarios) {
  console.log(JSON.stringify(await perform({ chat, responses }[api], scenario)));
}
