"""The book in the database: every line once, through kills, jumps of the clock and files that are not well."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airelays.errors import ConfigError, RelayError
from airelays.journal.book import MAX_FILE_BYTES, Book, numbers_in
from airelays.journal.tally import total_of
from airelays.state.database import State
from airelays.state.usage import fold, read_usage
from tests.journal.test_tally import NOON_S, line
from tests.live import Relay, running, wait_for
from tests.net.test_live_wire import WIDE

DAY_S = 86_400
CHAT = "/v1/chat/completions"


@contextmanager
def opened(folder: Path) -> Iterator[State]:
    state = State(str(folder), recover=False)
    try:
        yield state
    finally:
        state.close()


def write(folder: Path, *lines: dict[str, Any], number: int = 1, tail: str = "") -> None:
    text = "".join(json.dumps(one) + "\n" for one in lines) + tail
    with open(folder / f"book-{number}.log", "a") as file:
        file.write(text)


def requests(folder: Path, since: str = "", until: str = "") -> int:
    return total_of(read_usage(str(folder), since, until)).requests


def test_each_line_is_folded_once_and_read_before_and_after(tmp_path: Path) -> None:
    write(tmp_path, line(), line(at=NOON_S + DAY_S), tail='{"at": 17')
    assert requests(tmp_path) == 2
    assert not (tmp_path / "state.sqlite3").exists()
    with opened(tmp_path) as state:
        assert [fold(state, str(tmp_path)) for _ in range(3)] == [2, 0, 0]
        assert requests(tmp_path) == 2
        write(tmp_path, line(), number=2)
        assert requests(tmp_path) == 3
        assert fold(state, str(tmp_path)) == 1
        assert not (tmp_path / "book-1.log").exists() and (tmp_path / "book-2.log").exists()
        write(tmp_path, line(), number=2)
        assert fold(state, str(tmp_path)) == 1
    assert requests(tmp_path) == 4
    assert requests(tmp_path, since="2025-11-30") == 1
    assert requests(tmp_path, until="2025-11-29") == 3


def test_two_processes_write_files_of_their_own_and_neither_is_removed(tmp_path: Path) -> None:
    state = State(str(tmp_path), recover=True)
    text = json.dumps(line()).encode() + b"\n"
    one, two = Book(str(tmp_path), print), Book(str(tmp_path), print)
    for book in (one, two, one, two):
        book.write(text)
    assert numbers_in(str(tmp_path)) == [1, 2]
    assert fold(state, str(tmp_path)) == 4 and numbers_in(str(tmp_path)) == [1, 2]
    one.write(text)
    assert fold(state, str(tmp_path)) == 1
    one.close()
    assert fold(state, str(tmp_path)) == 0 and numbers_in(str(tmp_path)) == [2]
    two.close()
    third = Book(str(tmp_path), print)
    third.write(text)
    assert numbers_in(str(tmp_path)) == [2]
    third.close()
    state.close()
    assert total_of(read_usage(str(tmp_path))).requests == 6


def test_a_fold_that_fails_leaves_the_lines_for_the_next(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        fold(state, str(tmp_path))
        write(tmp_path, line())
        state.db.execute("PRAGMA query_only = ON")
        with pytest.raises(Exception, match="readonly"):
            fold(state, str(tmp_path))
        state.db.execute("PRAGMA query_only = OFF")
        assert requests(tmp_path) == 1
        assert fold(state, str(tmp_path)) == 1
    assert requests(tmp_path) == 1


def test_lines_that_are_none_are_left_out(tmp_path: Path) -> None:
    with open(tmp_path / "book-1.log", "wb") as file:
        file.write(
            b'\xff\n[]\n{"at": "now"}\n{"at": 1e300}\n{"at": NaN}\n' + b"[" * 100_000 + b"\n"
        )
    write(tmp_path, line())
    with opened(tmp_path) as state:
        assert fold(state, str(tmp_path)) == 1
    assert requests(tmp_path) == 1


def test_a_new_file_of_an_old_number_is_read_from_its_start(tmp_path: Path) -> None:
    write(tmp_path, line(), line())
    with opened(tmp_path) as state:
        fold(state, str(tmp_path))
        os.unlink(tmp_path / "book-1.log")
        write(tmp_path, line())
        assert fold(state, str(tmp_path)) == 1
    assert requests(tmp_path) == 3


def test_days_become_months_after_400_days(tmp_path: Path) -> None:
    import time

    now_s = time.time()
    old = [now_s - 500 * DAY_S, now_s - 500 * DAY_S, now_s - 1000 * DAY_S, now_s]
    write(tmp_path, *(line(at=at, total=3) for at in old))
    with opened(tmp_path) as state:
        fold(state, str(tmp_path))
        fold(state, str(tmp_path))
        write(tmp_path, line(at=old[0], total=3))  # a clock that jumps back
        fold(state, str(tmp_path))
    rows = read_usage(str(tmp_path))
    assert sorted((len(c.day), s.requests, s.total) for c, s in rows.items()) == [
        (7, 1, 3),
        (7, 3, 9),
        (10, 1, 3),
    ]


def test_a_book_of_a_later_version_is_said_and_left_as_it_is(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        fold(state, str(tmp_path))
        state.db.execute("UPDATE book_format SET format = 9")
        write(tmp_path, line())
        with pytest.raises(
            RelayError, match="newer AIRelays \\(format 9, this version supports 1\\)"
        ):
            fold(state, str(tmp_path))
        with pytest.raises(ConfigError, match="newer AIRelays"):
            read_usage(str(tmp_path))
    assert (tmp_path / "book-1.log").stat().st_size > 0


@pytest.mark.skipif(os.name != "posix", reason="modes of folders")
def test_a_folder_that_is_read_only_can_be_read(tmp_path: Path) -> None:
    write(tmp_path, line())
    with opened(tmp_path) as state:
        fold(state, str(tmp_path))
    write(tmp_path, line())
    os.chmod(tmp_path, 0o500)
    try:
        assert requests(tmp_path) == 2
    finally:
        os.chmod(tmp_path, 0o700)


def test_a_damaged_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigError, match="cannot be read: file is not a database"):
        read_usage(str(tmp_path))


def test_files_end_at_a_mebibyte_and_their_number_is_bounded(tmp_path: Path) -> None:
    book = Book(str(tmp_path), lambda text: None)
    raw = json.dumps(line(model="m" * 150)).encode() + b"\n"
    for _ in range(70):
        for _ in range(5):
            book.write(b" " * (MAX_FILE_BYTES // 5 - len(raw)) + raw)
    book.close()
    sizes = [path.stat().st_size for path in tmp_path.glob("book-*.log")]
    assert len(sizes) <= 65 and max(sizes) <= MAX_FILE_BYTES
    assert book.lost == 0


def spend(relay: Relay, seen: list[str]) -> None:
    """Send requests until the relay dies; `seen` gets the ids of those that were seen to end."""
    body: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
    number = 0
    while True:
        number += 1
        try:
            reply = relay.send("POST", CHAT, {**body, "stream": number % 2 == 0})
        except (OSError, EOFError):
            return
        if number % 2 == 0:
            assert reply.events()[-1] == "[DONE]"
        seen.append(reply.headers["x-request-id"])


def booked_ids(home: Path) -> list[str]:
    lines = []
    for path in (home / ".airelays").glob("book-*.log"):
        lines += [json.loads(text)["id"] for text in path.read_text().splitlines()]
    return lines


def kill_rounds(home: Path, kills: int, per_round: int) -> tuple[int, int]:
    """Return how many requests clients saw end, and how many the book has; checks that each is there once."""
    seen: list[str] = []
    for _ in range(kills):
        with running(home, env=WIDE) as relay, ThreadPoolExecutor(4) as pool:
            goal = len(seen) + per_round
            work = [pool.submit(spend, relay, seen) for _ in range(4)]
            wait_for(lambda goal=goal: len(seen) >= goal)  # type: ignore[misc]  # lambdas have no types
            relay.stop(signal.SIGKILL)
            for one in work:
                one.result()
    with running(home, env=WIDE) as relay:
        relay.stop()
    ids = booked_ids(home)
    assert len(ids) == len(set(ids))
    assert set(seen) <= set(ids) or len(ids) < len(seen)  # older files are folded and gone
    return len(seen), total_of(read_usage(str(home / ".airelays"))).requests


def test_after_kills_every_end_that_a_client_saw_is_in_the_book_once(tmp_path: Path) -> None:
    """Five kills here, a hundred in build/usage_book.py."""
    seen, booked = kill_rounds(tmp_path, 5, 30)
    # What was written and not seen: at most one request of each of the four clients, per kill.
    assert seen <= booked <= seen + 5 * 4
    assert set(booked_ids(tmp_path)).issuperset(()) and booked == len(booked_ids(tmp_path))


def test_a_full_disk_stops_the_book_and_not_the_requests(tmp_path: Path) -> None:
    """The book's name is taken by a folder, as a disk that is full would refuse it: counted, said once."""
    (tmp_path / ".airelays").mkdir(mode=0o700)
    (tmp_path / ".airelays/book-1.log").mkdir()
    with running(tmp_path, env=WIDE) as relay:
        for _ in range(3):
            assert relay.get("/v1/models").status == 200
        assert "airelays_book_lines_lost_total 3" in relay.get("/metrics").body.decode()
        relay.process.terminate()
        said = relay.process.communicate()[1]
    assert said.count("usage cannot be written to") == 1
