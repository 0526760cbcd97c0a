import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}", apiKey: process.env.SMARTROUTE_TOKEN });
try {
  await client.chat.completions.create({
    model: "no-such-model",
    messages: [{ role: "user", content: "Say hello." }],
  });
} catch (error) {
  if (error instanceof OpenAI.RateLimitError) {
    console.log("spent or too fast:", error.code, "retry after", error.headers.get("retry-after"), "s");
  } else if (error instanceof OpenAI.APIError) {
    console.log(error.status, error.code, error.param, error.requestID);
  }
}
