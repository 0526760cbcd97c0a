import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const stream = await client.responses.create({ model: "smart-route", input: "Say hello.", stream: true });
for await (const event of stream) {
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
  else if (event.type === "response.completed") console.log(`\n${event.response.status}`);
  else if (event.type === "response.failed") console.log("\nfailed:", event.response.error);
}
