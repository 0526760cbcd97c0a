"""Wire formats: pure translation between bytes and values. No I/O, no clock, nothing of the services in here."""
