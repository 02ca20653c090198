"""One module per command. Layer: commands."""

from __future__ import annotations
