"""The one-file executable's loader: a process that unpacks the program, starts it and removes it again. Layer: app.

If the loader is killed, the relay would continue without it, and its files would stay in the temporary folder.
"""

from __future__ import annotations

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def unpacked_folder() -> str:
    """Return the temporary folder of the one-file executable; "" in every other form of the program."""
    folder = str(getattr(sys, "_MEIPASS", ""))
    beside = os.path.dirname(os.path.realpath(sys.executable))
    return folder if folder and os.path.dirname(os.path.realpath(folder)) != beside else ""


def follow_loader() -> int:
    """Have the kernel end this process as by SIGTERM when its loader dies; return the loader's pid.

    0 where there is none, or no such kernel. Must be called from the main thread: the kernel keeps it by thread.
    """
    if not unpacked_folder() or not sys.platform.startswith("linux"):
        return 0
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        return 0
    return os.getppid()


def clean_up_after(loader_pid: int) -> None:
    """Remove the unpacked program if its loader is gone. The last thing that a process does."""
    if loader_pid and os.getppid() != loader_pid:
        import shutil

        shutil.rmtree(unpacked_folder(), ignore_errors=True)
