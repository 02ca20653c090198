"""Handlers and commands are registered as text, "module:name", and imported when they are first used. Layer: values.

The only place that imports by a name; packaging/pyinstaller/airelays.spec collects the rooms that are named so.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def find_named(room: str, text: str) -> Any:
    """Return what `text`, "module:name" below the package `room`, stands for."""
    module, _, name = text.partition(":")
    return getattr(import_module(f"{room}.{module}"), name)
