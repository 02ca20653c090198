"""`/v1/chat/completions` as clients speak it. Layer: rules."""
