import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const stream = await client.chat.completions.create({
  model: "smart-route",
  messages: [{ role: "user", content: "Tell me a long story." }],
  stream: true,
});
for await (const chunk of stream) {
  const words = chunk.choices[0]?.delta.content;
  if (words) {
    console.log("stopped after:", words);
    stream.controller.abort();
    break;
  }
}
