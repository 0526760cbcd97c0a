"""OpenAI's Responses API: what clients send, what providers answer, what we pass on."""
