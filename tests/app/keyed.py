"""Named keys for tests: made by the real command in the home of a relay."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.live import ROOT, program


def run(home: Path, *words: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in `home`."""
    more = ["--config", str(config)] if config is not None else []
    return subprocess.run(
        [*program(), *words, *more],
        env={"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make(home: Path, name: str, *flags: str, config: Path | None = None) -> str:
    """Make a key and return it."""
    done = run(home, "key", "create", name, *flags, config=config)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_many(home: Path, count: int, **more: Any) -> list[str]:
    """Make `count` keys at once, in the file itself: a command for each would take a second each."""
    from airelays.credentials.keys import change_keys
    from airelays.guard.keys import Key, Secret, digest_of, make_key

    made = [make_key(n.to_bytes(32, "big")) for n in range(1, count + 1)]

    def add(keys: Sequence[Key]) -> tuple[Key, ...]:
        new = (
            Key(f"key_{n:016x}", f"k{n}", (Secret(digest_of(text.encode())),), 1.0, **more)
            for n, text in enumerate(made, 1)
        )
        return (*keys, *new)

    change_keys(str(home / ".airelays"), add, lambda text: None)
    return made


def booked(home: Path) -> list[dict[str, Any]]:
    """Return the lines of the book."""
    files = sorted((home / ".airelays").glob("book-*.log"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]
