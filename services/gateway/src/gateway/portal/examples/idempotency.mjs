import { randomUUID } from "node:crypto";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const headers = { "Idempotency-Key": randomUUID() };
for (let attempt = 0; attempt < 2; attempt++) {
  const { response } = await client.chat.completions
    .create({ model: "smart-route", messages: [{ role: "user", content: "Say hello." }] }, { headers })
    .withResponse();
  console.log("idempotent-replayed:", response.headers.get("idempotent-replayed") ?? "false");
}
