"""OpenAI's legacy completions: text in, text out."""
