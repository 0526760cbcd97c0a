"""The doctor: a live check through the public endpoint, with a customer's own token, that says what is wrong."""
