"""How a service starts, talks, stores and is watched. Functions and small objects; nothing to inherit from."""
