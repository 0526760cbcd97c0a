import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const created = await client.responses.create({ model: "smart-route", input: "Say hello." });

const stored = await client.responses.retrieve(created.id);
const items = await client.responses.inputItems.list(created.id);
console.log(stored.output_text, items.data.map((item) => item.type));

await client.responses.delete(created.id);
console.log("deleted", created.id);
