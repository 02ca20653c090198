"""The one-file executable ends with its loader, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airelays.host.onefile import follow_loader, unpacked_folder
from tests.live import DEADLINE_S, ROOT

# The handler may run while the program is in any line, also inside a print that flushes, which must not be entered
# twice: so both write to the descriptor. It may also become due just before a wait, so the wait is for the byte that
# the signal itself puts into a pipe; signal.pause() would sleep on.
CHILD = """
import os, signal, sys
sys._MEIPASS = sys.argv[1]
from airelays.host.onefile import clean_up_after, follow_loader
loader = 0
def end(*_):
    clean_up_after(loader)
    os.write(1, b"ended by SIGTERM\\n")
    os._exit(0)
came, sent = os.pipe()
os.set_blocking(sent, False)
signal.set_wakeup_fd(sent)
signal.signal(signal.SIGTERM, end)
loader = follow_loader()
clean_up_after(loader)
os.write(1, b"%d %d\\n" % (loader, os.getppid()))
os.read(came, 1)
"""
LOADER = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


def test_other_forms_have_no_loader() -> None:
    assert (unpacked_folder(), follow_loader()) == ("", 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_a_killed_loader_takes_the_relay_and_its_files_along(tmp_path: Path) -> None:
    unpacked = tmp_path / "_MEI1"
    unpacked.mkdir()
    (unpacked / "base_library.zip").write_bytes(b"x")
    loader = subprocess.Popen(
        [sys.executable, "-c", LOADER, CHILD, str(unpacked)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert loader.stdout is not None
    with loader.stdout as out:
        assert out.readline().split() == [str(loader.pid), str(loader.pid)]
        assert unpacked.exists()
        loader.kill()
        loader.wait(DEADLINE_S)
        assert out.readline() == "ended by SIGTERM\n"
        assert out.read() == ""
    assert not unpacked.exists()
