"""Write or check the files under packaging/ that the program prints: `python3 build/printed.py --write | --check`.

Service files, completions and the manual page. A test runs the check.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINUX = ["service", "print", "--kind", "systemd", "--program", "/usr/bin/airelays"]
MADE: dict[str, list[str]] = {
    "systemd/airelays.service": [*LINUX, "--system"],
    "systemd/user/airelays.service": LINUX,
    "systemd/airelays.socket": ["service", "print", "--kind", "systemd", "--system", "--socket"],
    "systemd/user/airelays.socket": ["service", "print", "--kind", "systemd", "--socket"],
    "launchd/io.airelays.relay.plist": [
        "service", "print", "--kind", "launchd", "--program", "/usr/local/bin/airelays",
    ],
    "windows/airelays-task.xml": [
        "service", "print", "--kind", "windows", "--program", r"C:\Program Files\AIRelays\airelays.exe",
    ],
    "completions/airelays.bash": ["completion", "bash"],
    "completions/_airelays": ["completion", "zsh"],
    "completions/airelays.fish": ["completion", "fish"],
    "completions/airelays.ps1": ["completion", "powershell"],
    "man/airelays.1": ["manpage"],
}  # fmt: skip


def printed(words: list[str]) -> str:
    """Return what the program prints for `words`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "airelays", *words]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    return done.stdout.decode()


def main(arguments: list[str]) -> int:
    """Write the files, or name those that are not current."""
    if arguments not in (["--write"], ["--check"]):
        sys.stderr.write("usage: python3 build/printed.py --write | --check\n")
        return 2
    stale = []
    for name, words in MADE.items():
        path, text = ROOT / "packaging" / name, printed(words)
        if arguments == ["--write"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    for name in stale:
        sys.stderr.write(f"packaging/{name} is not current: python3 build/printed.py --write\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
