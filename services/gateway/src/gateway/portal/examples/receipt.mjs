import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const { request_id: id } = await client.chat.completions
  .create({ model: "smart-route", messages: [{ role: "user", content: "Say hello." }] })
  .withResponse();

const found = await fetch(`{{ base_url }}/receipts/${id}`, {
  headers: { Authorization: `Bearer ${process.env.SMARTROUTE_TOKEN}` },
});
const receipt = await found.json();
console.log(receipt.outcome, receipt.prompts, receipt.reason);
