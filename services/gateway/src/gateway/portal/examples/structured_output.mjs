import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const completion = await client.chat.completions.create({
  model: "smart-route",
  messages: [{ role: "user", content: "The capital of Portugal, and its country." }],
  response_format: {
    type: "json_schema",
    json_schema: {
      name: "place",
      strict: true,
      schema: {
        type: "object",
        properties: { city: { type: "string" }, country: { type: "string" } },
        required: ["city", "country"],
        additionalProperties: false,
      },
    },
  },
});
const place = JSON.parse(completion.choices[0].message.content);
console.log(place.city, "is in", place.country);
