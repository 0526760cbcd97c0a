// The scenarios with the AI SDK: `ai_program.mjs PROVIDER SCENARIO…`, prints JSON. The providers are
// `openai-responses` and `openai-chat` of @ai-sdk/openai, and `compatible` of @ai-sdk/openai-compatible.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, Output, RetryError, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const options = { baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY };
const openai = createOpenAI(options);
const compatible = createOpenAICompatible({
  ...options,
  name: "smartroute",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const name = process.env.MODEL;
const models = {
  "openai-responses": () => openai.responses(name),
  "openai-chat": () => openai.chat(name),
  compatible: () => compatible(name),
};
const weather = { Oslo: "7 degrees", Rome: "21 degrees" };

const performances = {
  async plain(model) {
    const { text, usage } = await generateText({ model, prompt: "Hello?" });
    return { texts: [text], usage: [usage.inputTokens, usage.outputTokens] };
  },

  async stream(model) {
    let failure;
    const result = streamText({ model, prompt: "Hello?", onError: ({ error }) => (failure = error) });
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    if (failure !== undefined) throw failure;
    const usage = await result.usage;
    return { texts: [pieces.join("")], usage: [usage.inputTokens, usage.outputTokens], pieces: pieces.length };
  },

  async tool(model, prompt) {
    const called = [];
    const get_weather = tool({
      description: "The weather of a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => {
        called.push(city);
        return weather[city];
      },
    });
    const result = streamText({
      model,
      prompt,
      tools: { get_weather },
      stopWhen: stepCountIs(5),
    });
    return { texts: [await result.text], called };
  },

  async structured(model) {
    const schema = z.object({ city: z.string(), degrees: z.number().int() });
    const { output } = await generateText({ model, prompt: "Read the weather.", output: Output.object({ schema }) });
    return { parsed: output };
  },

  async turns(model) {
    const messages = [];
    const texts = [];
    for (const content of ["My name is Ada.", "What is my name?"]) {
      messages.push({ role: "user", content });
      const { text, response } = await generateText({ model, messages });
      messages.push(...response.messages);
      texts.push(text);
    }
    return { texts };
  },
};

const asked = { tool: "How is the weather in Oslo?", parallel: "How is the weather in Oslo and Rome?" };

async function perform(model, scenario) {
  try {
    if (scenario in asked) return await performances.tool(model, asked[scenario]);
    return await performances[scenario](model);
  } catch (error) {
    return { error: told(error) };
  }
}

function told(error) {
  const cause = RetryError.isInstance(error) ? error.lastError : error;
  const body = APICallError.isInstance(cause) ? JSON.parse(cause.responseBody ?? "{}") : {};
  const message = String(cause?.message ?? JSON.stringify(cause));
  return { status: cause?.statusCode ?? null, code: body.error?.code ?? null, message };
}

const [provider, ...scenarios] = process.argv.slice(2);
for (const scenario of scenarios) {
  console.log(JSON.stringify(await perform(models[provider](), scenario)));
}
