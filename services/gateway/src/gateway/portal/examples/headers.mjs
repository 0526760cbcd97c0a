import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const { data, response } = await client.chat.completions
  .create({ model: "smart-route", messages: [{ role: "user", content: "Say hello." }] })
  .withResponse();
for (const [name, value] of response.headers) {
  if (/^x-(request-id|ratelimit|smartroute)/.test(name)) console.log(`${name}: ${value}`);
}
console.log(data.choices[0].message.content);
