"""`version`: the version and what the program runs on, its digests, whether a file is of a release. Layer: commands."""

from __future__ import annotations

import sys

from airelays import __version__
from airelays.errors import FlagError
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console


def run(args: Arguments, console: Console) -> int:
    """Print the versions that a bug report needs, or what a flag asks for."""
    if args.has("--digests") and args.has("--verify"):
        raise FlagError("--digests and --verify cannot be combined; use one of them")
    if args.has("--signers") and not args.has("--verify"):
        raise FlagError("--signers requires --verify FILE")
    if args.has("--digests"):
        from airelays.commands.doctor.digests import run as show_digests

        return show_digests(args, console)
    if args.has("--verify"):
        return _verify(args, console)
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


def _verify(args: Arguments, console: Console) -> int:
    from airelays.commands.verify import SUMS, verify

    path = args.get("--verify") or ""
    found = verify(path, args.get("--signers"))
    if args.has("--json"):
        console.json({"ok": True, "path": path, "files": list(found.files), "key": found.key})
        return 0
    console.title("Verify")
    console.section("Signature")
    console.field("Of", SUMS)
    console.field("Key", found.key)
    console.section("As listed")
    for name in found.files:
        console.field(name, "ok")
    return 0


def _h11_version() -> str:
    # Loaded by the only module that is allowed to import h11, then inspected.
    import airelays.protocol.http1  # noqa: F401

    return str(sys.modules["h11"].__version__)


def _certifi_version() -> str | None:
    try:
        import certifi
    except ImportError:
        return None
    return str(certifi.__version__)
