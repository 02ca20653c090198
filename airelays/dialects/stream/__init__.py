"""Reading and ending event streams: what all dialects share. Layer: rules."""
