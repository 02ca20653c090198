"""Ollama's API (`/api/*`) as clients speak it. Layer: rules."""
