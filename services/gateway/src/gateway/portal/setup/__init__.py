"""Files that set a client up for this endpoint, made for their reader by pure functions. None has a token in it."""
