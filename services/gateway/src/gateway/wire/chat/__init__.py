"""OpenAI's chat completions: what clients send, what providers answer, what we pass on."""
