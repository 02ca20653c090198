"""`quirks`: every adaptation that the relay makes for a client, by name. Layer: commands."""

from __future__ import annotations

from airelays.dialects.parameters import QUIRKS
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console


def run(args: Arguments, console: Console) -> int:
    """List the quirks; an answer names those that were used in `x-airelays-quirks`."""
    if args.has("--json"):
        console.json(QUIRKS)
        return 0
    console.title("Quirks")
    console.line("The header x-airelays-quirks names the adaptations that a response needed:")
    for name, meaning in QUIRKS.items():
        console.line()
        console.line(f"  {name}")
        console.line(f"      {meaning}")
    return 0
