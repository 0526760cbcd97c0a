import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const response = await client.responses.create({
  model: "smart-route",
  instructions: "Be brief.",
  input: "Say hello.",
});
console.log(response.id, response.output_text);
