"""The rules of routing, as calculations: values in, values out; time and randomness are arguments.

`capability` says which targets can take a request, `tiers` which tier pays for it, `placing` and `costs` which target
of the tier serves it, `breaker` and `latency` what is known of a target; `deciding` puts them together.
"""
