import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const getWeather = ({ city }) => `21 degrees in ${city}, sunny`;
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"],
      },
    },
  },
];
const messages = [{ role: "user", content: "How is the weather in Lisbon?" }];
let message;
do {
  const completion = await client.chat.completions.create({ model: "smart-route", messages, tools });
  message = completion.choices[0].message;
  messages.push(message);
  for (const call of message.tool_calls ?? []) {
    const content = getWeather(JSON.parse(call.function.arguments));
    messages.push({ role: "tool", tool_call_id: call.id, content });
  }
} while (message.tool_calls?.length);
console.log(message.content);
