"""A stand-in for libsecret's `secret-tool` that keeps its one entry in a file; a file `broken` beside it locks it."""

from __future__ import annotations

import sys
from pathlib import Path

TEXT = """#!{python}
import os, sys
path = {folder!r} + "/entry"
if os.path.exists({folder!r} + "/broken"):
    sys.stderr.write("Cannot autolaunch D-Bus\\n"); sys.exit(1)
if sys.argv[1] == "store": open(path, "wb").write(sys.stdin.buffer.read())
elif not os.path.exists(path): sys.exit(1)
elif sys.argv[1] == "lookup": sys.stdout.buffer.write(open(path, "rb").read())
else: os.unlink(path)
"""


def put_secret_tool(folder: Path) -> Path:
    """Make `folder` with the program in it, for PATH; return it."""
    folder.mkdir()
    tool = folder / "secret-tool"
    tool.write_text(TEXT.format(python=sys.executable, folder=str(folder)))
    tool.chmod(0o755)
    return folder
