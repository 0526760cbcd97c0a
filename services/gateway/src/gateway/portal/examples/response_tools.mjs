import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
const getWeather = ({ city }) => `21 degrees in ${city}, sunny`;
const tools = [
  {
    type: "function",
    name: "get_weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
    },
  },
];
const model = "smart-route";
let response = await client.responses.create({ model, tools, input: "How is the weather in Lisbon?" });
for (;;) {
  const input = response.output
    .filter((item) => item.type === "function_call")
    .map(({ call_id, arguments: text }) => ({
      type: "function_call_output",
      call_id,
      output: getWeather(JSON.parse(text)),
    }));
  if (input.length === 0) break;
  response = await client.responses.create({ model, tools, input, previous_response_id: response.id });
}
console.log(response.output_text);
