"""Anthropic's Messages API, as a provider speaks it: what we ask, and what it answers."""
