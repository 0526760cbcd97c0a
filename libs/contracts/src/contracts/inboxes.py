"""Where replies come. Apart from who may say what (`contracts.permissions`): that knows every message there is."""


def inbox_prefix(user: str) -> str:
    """Where the replies to a user come; without a user, where NATS itself has them."""
    return f"_INBOX_{user}" if user else "_INBOX"
