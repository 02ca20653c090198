"""In which form this program runs, and the words that start it again. Layer: commands."""

from __future__ import annotations

import os
import sys

import airelays
from airelays.errors import ConfigError


def program_form() -> str:
    """Return "executable", "one-file", "checkout" or "package"."""
    if getattr(sys, "frozen", False):
        return "executable"
    if hasattr(_loader(), "names"):
        return "one-file"
    return "checkout" if os.path.isfile(_launcher()) else "package"


def program_argv() -> list[str]:
    """Return the absolute words that start this copy from anywhere. Raises ConfigError when it has no file."""
    form = program_form()
    if form == "executable":
        return [sys.executable]
    if form == "one-file":
        path = getattr(_loader(), "path", None)
        if not path:
            raise ConfigError(
                "the program was read from standard input, so it has no file to start again; save it as "
                "airelays.py and run that"
            )
        return [sys.executable, "-I", os.path.abspath(path)]
    if form == "checkout":
        return [sys.executable, _launcher()]
    return [sys.executable, "-m", "airelays"]


def program_files() -> list[str]:
    """Return the files that a user needs to read to start this copy."""
    form = program_form()
    if form == "executable":
        return [sys.executable]
    if form == "one-file":
        return [
            sys.executable,
            os.__file__,
            os.path.abspath(getattr(_loader(), "path", None) or ""),
        ]
    launcher = [_launcher()] if form == "checkout" else []
    return [sys.executable, os.__file__, airelays.__file__, *launcher]


def _loader() -> object:
    spec = airelays.__spec__
    return spec.loader if spec is not None else None


def _launcher() -> str:
    return os.path.join(os.path.dirname(os.path.dirname(airelays.__file__)), "airelays.py")
