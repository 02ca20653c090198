"""The book of usage at length: kills, and its size after a busy year.

    python3 build/usage_book.py kills     10,000 requests and 100 kills: every end that a client saw is booked once
    python3 build/usage_book.py year      a year of 1,000 different rows per day: how many bytes the database has

The suite has smaller ones in `tests/state/test_usage.py`; `build/named_keys.py cpu` measures what a request costs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from airelays.state.database import State  # noqa: E402 - the checkout is on the path only now
from airelays.state.usage import fold  # noqa: E402
from tests.journal.test_tally import line  # noqa: E402
from tests.state.test_usage import kill_rounds  # noqa: E402

KILLS, REQUESTS = 100, 10_000
CLIENTS = 4
DAY_S = 86_400


def kills() -> int:
    """Return 1 when the book has fewer requests than clients saw end, or more than can have been on their way."""
    with tempfile.TemporaryDirectory() as folder:
        seen, booked = kill_rounds(Path(folder), KILLS, REQUESTS // KILLS)
    good = seen <= booked <= seen + KILLS * CLIENTS
    print(f"{KILLS} kills, {seen:,} requests seen to end, {booked:,} in the book: {good}")
    return int(not good)


def year() -> int:
    """Return 1 when a year takes more than 20 MiB."""
    with tempfile.TemporaryDirectory() as folder:
        state = State(folder, recover=False)
        now_s = time.time()
        for day in range(365):
            for number in range(1000):
                entry = line(
                    at=now_s - day * DAY_S, model=f"model-{number % 50}", program=f"p{number // 50}",
                    key=f"key_{number % 7:016x}", ms=number * 7, first_ms=number, total=number * 1000,
                )  # fmt: skip
                with open(Path(folder, f"book-{day + 1}.log"), "a", encoding="ascii") as file:
                    file.write(json.dumps(entry) + "\n")
            fold(state, folder)
        state.close()
        size = Path(folder, "state.sqlite3").stat().st_size
    print(f"a year of 365,000 requests of 1,000 kinds per day: {size / 2**20:.1f} MiB")
    return int(size > 20 * 2**20)


def main(words: list[str]) -> int:
    """Run one of them; return 1 when it found something."""
    if words == ["kills"]:
        return kills()
    if words == ["year"]:
        return year()
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
