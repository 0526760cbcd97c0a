import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const first = await client.responses.create({ model: "smart-route", input: "Say hello." });
const second = await client.responses.create({
  model: "smart-route",
  previous_response_id: first.id,
  input: "And in French?",
});
console.log(second.output_text);
