"""A Responses request passed through to a provider of the same format: what is ours changes, the rest stays."""
