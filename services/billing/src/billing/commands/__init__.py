"""The commands of billing staff: one module per group, each with a `register` that hangs its commands into the app.

They need the service's settings, talk to Postgres as the runtime role, and raise what `__main__` turns into exit codes.
"""
