"""The ChatGPT subscription as an upstream: sign-in, tokens, model calls, catalogue, usage."""
