import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const completion = await client.completions.create({
  model: "smart-route",
  prompt: "Once upon a time",
  max_tokens: 64,
});
console.log(completion.choices[0].text);
