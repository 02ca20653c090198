"""Anthropic's Messages API (`/v1/messages`) as clients speak it. Layer: rules."""
