"""Chat completions as a server speaks them that has no Responses API. Layer: rules."""
