"""What can go wrong in the router.

RouterError
└── ConfigurationRefused   plans.yaml and profiles.yaml cannot be used, alone or together

What a customer can cause is no error: it is a variant of the reply (`contracts.router.Unroutable`).
"""


class RouterError(Exception):
    """The router cannot do its work."""


class ConfigurationRefused(RouterError):
    """The files cannot be used. `reasons` are sentences for the operator, each naming file and place."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
