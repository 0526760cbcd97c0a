import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const completion = await client.chat.completions.create({
  model: "smart-route",
  messages: [{ role: "user", content: "Say hello." }],
});
console.log(completion.choices[0].message.content);
