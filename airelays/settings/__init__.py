"""The options: one table, and everything that reads, checks, writes and reloads them. Layer: values."""
