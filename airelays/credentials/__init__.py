"""Secrets at rest: the relay token, the sign-in, their folder and locks. Layer: I/O."""
