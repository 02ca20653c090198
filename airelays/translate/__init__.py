"""Maps between OpenAI dialects and the Responses protocol, as pure functions. Layer: rules."""
