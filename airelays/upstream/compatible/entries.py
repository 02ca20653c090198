"""The list of models that a compatible server gives, in whatever form, as entries of a catalogue. Pure."""

from __future__ import annotations

from typing import Any


def model_entries(value: Any) -> list[dict[str, Any]]:
    """Return catalogue entries of a model list: `{"data": [...]}`, a bare list, or Ollama's `models`."""
    listed = value.get("data") or value.get("models") if isinstance(value, dict) else value
    entries: list[dict[str, Any]] = []
    for one in listed if isinstance(listed, list) else []:
        found = one.get("id") or one.get("name") if isinstance(one, dict) else one
        if isinstance(found, str) and found:
            entries.append({"slug": found, "display_name": found, "visibility": "list"})
    return entries
