"""The browser on this machine: whether there is probably one, and opening an address in it.

Layer: commands.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from airelays.terminal.console import Console


def is_headless(env: Mapping[str, str], platform: str) -> bool:
    """Whether a browser on this machine is unlikely: an SSH session, or Linux without a display."""
    if env.get("SSH_CONNECTION") or env.get("SSH_TTY"):
        return True
    return platform.startswith("linux") and not (env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


def open_browser(console: Console, target: str) -> bool:
    """Open `target`, an address or the path of a page; say when that fails. Other processes can read `target`."""
    import subprocess

    opener = {"darwin": "open", "win32": "explorer"}.get(sys.platform, "xdg-open")
    # A frozen program's loader variables must not reach other programs.
    env = {
        k: v
        for k, v in os.environ.items()
        if k != "LD_LIBRARY_PATH" and not k.startswith("_MEIPASS")
    }
    if "LD_LIBRARY_PATH_ORIG" in env:
        env["LD_LIBRARY_PATH"] = env.pop("LD_LIBRARY_PATH_ORIG")
    null = subprocess.DEVNULL
    try:
        subprocess.Popen(
            [opener, target], stdin=null, stdout=null, stderr=null, env=env, start_new_session=True
        )
    except OSError as error:
        console.note(f"cannot start {opener} ({error.strerror}); open the address yourself")
        return False
    return True
