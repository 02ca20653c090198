"""`version`: the version, and what the program runs on. Layer: commands."""

from __future__ import annotations

import sys

from airelays import __version__
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console


def run(args: Arguments, console: Console) -> int:
    """Print the versions that a bug report needs."""
    facts = {
        "version": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "platform": sys.platform,
        "h11": _h11_version(),
        "certifi": _certifi_version(),
    }
    if args.has("--json"):
        console.json(facts)
        return 0
    console.title("Version")
    console.section("Program")
    for label, name in (
        ("Version", "version"),
        ("Python", "python"),
        ("Platform", "platform"),
        ("h11", "h11"),
        ("CA bundle", "certifi"),
    ):
        console.field(label, facts[name])
    return 0


def _h11_version() -> str:
    # Loaded by the one module that may import h11, then looked at.
    import airelays.protocol.http1  # noqa: F401

    return str(sys.modules["h11"].__version__)


def _certifi_version() -> str | None:
    try:
        import certifi
    except ImportError:
        return None
    return str(certifi.__version__)
