"""The Responses format of providers: prompts written for them, and what they answer as deltas."""
