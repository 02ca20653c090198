"""The traffic log and the counts: what is noted, written, kept and redacted. Layer: I/O."""
