"""The traffic log's writer on a real disk: whole lines, hours, sizes, retention, and a disk that fails."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from airelays.errors import ConfigError
from airelays.journal.files import Tail, hour_path, list_files, open_log, parse_line, read_lines
from airelays.journal.retention import (
    MIB,
    Policy,
    changed,
    forget_policy,
    load_policy,
    log_facts,
    overridden,
    policy_path,
    policy_to_change,
    prune,
    save_policy,
    saved_policy,
)
from airelays.journal.writer import MAX_QUEUED, MAX_QUEUED_BYTES, MAX_RECORD_BYTES, Journal
from tests.disks import tiny_disk

ROOT = Path(__file__).resolve().parents[2]
# 2026-03-04 05:00:00 UTC
T0 = 1_772_600_400
DEADLINE_S = 20.0


def encode(records: Sequence[tuple[Any, ...]]) -> list[bytes]:
    return [json.dumps({"phase": "p", "n": r[2]}).encode() + b"\n" for r in records]


def journal_on(
    folder: Path,
    policy: Policy | None = None,
    encoder: Any = encode,
    now_s: float = T0,
    **more: Any,
) -> Journal:
    clock = more.pop("clock", lambda: now_s)
    return Journal(str(folder), policy or Policy(), encoder, clock=clock, **more)


def numbers(folder: Path) -> list[int]:
    found = []
    for file in list_files(str(folder)):
        for line in read_lines(file.path):
            record = parse_line(line)
            if record is not None:
                found.append(record["n"])
    return found


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for another thread's work, with its own progress as the clock."""
    end_s = time.monotonic() + DEADLINE_S
    tick = threading.Event()
    while not true():
        assert time.monotonic() < end_s, "it did not happen in time"
        tick.wait(0.005)


# ---- writing


def test_records_become_lines_of_their_hour_in_private_files(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    old = os.umask(0)
    try:
        journal = journal_on(logs)
        journal.start()
        for n in range(10):
            journal.put((T0 + n, 0, n))
        assert journal.close()
    finally:
        os.umask(old)
    path = logs / "2026" / "03" / "04-05.jsonl"
    assert numbers(logs) == list(range(10))
    assert path.read_bytes().endswith(b"\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (logs, path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert journal.facts()["written_records"] == 10
    assert journal.written_bytes == path.stat().st_size


def test_a_file_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "2026" / "03" / "04-05.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    for one in (path, path.parent, path.parent.parent):
        one.chmod(0o777)
    journal = journal_on(tmp_path)
    journal.start()
    journal.put((T0, 0, 1))
    assert journal.close()
    assert numbers(tmp_path) == [1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for one in (path.parent, path.parent.parent):
        assert stat.S_IMODE(one.stat().st_mode) == 0o700


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns", "Etc/GMT+12"])
def test_the_name_of_a_file_is_utc_in_every_time_zone(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    with monkeypatch.context() as here:
        here.setenv("TZ", zone)
        time.tzset()
        name = hour_path("logs", T0 // 3600)
    time.tzset()
    assert name == os.path.join("logs", "2026", "03", "04-05.jsonl")


def test_what_was_put_before_the_start_is_written(tmp_path: Path) -> None:
    journal = journal_on(tmp_path)
    journal.put((T0, 0, 1))
    journal.start()
    assert journal.close()
    assert numbers(tmp_path) == [1]


def test_the_hour_rolls_over_under_load_with_no_line_lost_or_torn(tmp_path: Path) -> None:
    journal = journal_on(tmp_path)
    journal.start()
    for n in range(6000):
        wait_until(lambda: journal.queued < MAX_QUEUED - 1)
        journal.put((T0 + n * 3600 / 2000, 0, n))  # a clock that runs through three hours
    assert journal.close()
    assert [f.hour - T0 // 3600 for f in list_files(str(tmp_path))] == [0, 1, 2]
    assert numbers(tmp_path) == list(range(6000))
    for file in list_files(str(tmp_path)):
        lines = list(read_lines(file.path))
        assert len(lines) == 2000
        assert all(parse_line(line) for line in lines)
    assert journal.dropped == 0


def test_a_clock_that_jumps_back_goes_on_in_the_earlier_file(tmp_path: Path) -> None:
    journal = journal_on(tmp_path)
    journal.start()
    for n, at_s in enumerate([T0, T0 + 3600, T0, T0 + 7200, T0 + 1]):
        journal.put((at_s, 0, n))
    assert journal.close()
    assert numbers(tmp_path) == [0, 2, 4, 1, 3]


def test_a_full_file_goes_on_in_the_next_part(tmp_path: Path) -> None:
    def big(records: Sequence[tuple[Any, ...]]) -> list[bytes]:
        return [
            json.dumps({"phase": "p", "n": r[2], "x": "y" * 60_000}).encode() + b"\n"
            for r in records
        ]

    journal = journal_on(tmp_path, Policy(7, 100, 1), big)
    journal.start()
    for n in range(50):
        journal.put((T0, 0, n))
    assert journal.close()
    files = list_files(str(tmp_path))
    assert [f.part for f in files] == [0, 1, 2]
    assert all(f.size <= MIB for f in files)
    assert numbers(tmp_path) == list(range(50))
    again = journal_on(tmp_path, Policy(7, 100, 1), big)
    again.start()
    again.put((T0, 0, 50))
    assert again.close()
    assert list_files(str(tmp_path))[-1].part == 2
    assert numbers(tmp_path)[-1] == 50


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_record_is_bounded(tmp_path: Path, extra: int) -> None:
    def sized(records: Sequence[tuple[Any, ...]]) -> list[bytes]:
        return [b"x" * (MAX_RECORD_BYTES + extra - 1) + b"\n" for _ in records]

    journal = journal_on(tmp_path, encoder=sized)
    journal.start()
    journal.put((T0, 0, 1))
    assert journal.close()
    assert journal.oversized == (1 if extra > 0 else 0)
    assert journal.written == (0 if extra > 0 else 1)


def test_a_defect_in_encoding_costs_records_only(tmp_path: Path) -> None:
    def sometimes(records: Sequence[tuple[Any, ...]]) -> list[bytes]:
        if any(r[2] == "bad" for r in records):
            raise KeyError("secret-value")
        return encode(records)

    said: list[str] = []
    journal = journal_on(tmp_path, encoder=sometimes, complain=said.append)
    journal.start()
    journal.put((T0, 0, "bad"))
    wait_until(lambda: journal.dropped == 1)
    journal.put((T0, 0, 2))
    assert journal.close()
    assert numbers(tmp_path) == [2]
    assert "KeyError" in said[0] and "secret-value" not in said[0]


# ---- the queue


@pytest.mark.parametrize("count", [MAX_QUEUED - 1, MAX_QUEUED, MAX_QUEUED + 1])
def test_the_queue_holds_a_thousand_records_and_counts_what_it_drops(
    tmp_path: Path, count: int
) -> None:
    journal = journal_on(tmp_path)
    for n in range(count):
        journal.put((T0, 0, n))
    assert journal.queued == min(count, MAX_QUEUED)
    assert journal.dropped_full == max(0, count - MAX_QUEUED)
    journal.start()
    assert journal.close()
    assert numbers(tmp_path) == list(range(min(count, MAX_QUEUED)))


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_bytes_that_wait_are_bounded(tmp_path: Path, extra: int) -> None:
    journal = journal_on(tmp_path)
    half = MAX_QUEUED_BYTES // 2
    journal.put((T0, half, 1))
    journal.put((T0, half + extra, 2))
    journal.put((T0, 0, 3))
    assert journal.queued == (2 if extra > 0 else 3)
    kept = journal.queued
    journal.start()
    wait_until(lambda: len(numbers(tmp_path)) == kept)  # written, so no longer counted as waiting
    journal.put((T0, half, 4))
    assert journal.close()
    assert numbers(tmp_path)[-1] == 4


def test_putting_never_waits_for_a_disk_that_hangs(tmp_path: Path) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def slow(records: Sequence[tuple[Any, ...]]) -> list[bytes]:
        hangs.set()
        go_on.wait(DEADLINE_S)
        return encode(records)

    journal = journal_on(tmp_path, encoder=slow)
    journal.start()
    journal.put((T0, 0, -1))
    assert hangs.wait(DEADLINE_S)
    begun_s = time.monotonic()
    for n in range(50_000):
        journal.put((T0, 0, n))
    assert time.monotonic() - begun_s < 2.0
    assert journal.queued == MAX_QUEUED
    assert journal.dropped_full == 50_000 - MAX_QUEUED
    assert not journal.close(0.05)
    go_on.set()
    assert journal.close(DEADLINE_S)


# ---- a disk that fails


def test_a_full_disk_drops_and_counts_and_the_file_stays_whole(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with tiny_disk(disk, "64k"):
        logs = disk / "logs"
        filler = disk / "filler"
        said: list[str] = []
        journal = journal_on(logs, complain=said.append)
        journal.start()
        sent = 0

        def put(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                wait_until(lambda: journal.queued < MAX_QUEUED - 1)
                journal.put((T0, 0, sent))
                sent += 1
            wait_until(lambda: journal.written + journal.dropped == sent)

        put(50)
        assert journal.dropped == 0
        filler.write_bytes(b"x" * 20_000)
        put(5000)  # fills the disk in the middle of a batch
        assert journal.dropped_disk > 0
        assert "No space left" in journal.last_error
        filler.unlink()
        put(20)
        assert journal.close()
        kept = numbers(logs)
        assert len(kept) == journal.written
        assert kept[-20:] == list(range(sent - 20, sent))
        for file in list_files(str(logs)):
            data = Path(file.path).read_bytes()
            assert data.endswith(b"\n")
            assert all(parse_line(line) for line in data.splitlines())
        assert journal.last_error == ""
        assert len(said) == 1  # one line a minute


def test_a_file_size_limit_of_the_system_takes_back_the_cut_line(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        journal = journal_on(tmp_path)
        journal.start()
        for n in range(100):
            journal.put((T0, 0, n))
        assert journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    data = (tmp_path / "2026" / "03" / "04-05.jsonl").read_bytes()
    assert data.endswith(b"\n") and len(data) <= 1000
    assert numbers(tmp_path) == list(range(journal.written))
    assert journal.written + journal.dropped_disk == 100


def test_a_folder_that_cannot_be_made_costs_records_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    journal = journal_on(tmp_path / "file" / "logs", complain=said.append)
    journal.start()
    journal.put((T0, 0, 1))
    assert journal.close()
    assert journal.dropped_disk == 1
    assert "requests continue" in said[0]


@pytest.mark.parametrize("what", ["link", "folder link", "fifo", "hard link", "folder"])
def test_what_is_not_the_relays_own_is_not_written_to(tmp_path: Path, what: str) -> None:
    logs, target = tmp_path / "logs", tmp_path / "target"
    path = logs / "2026" / "03" / "04-05.jsonl"
    target.write_text("precious\n")
    path.parent.mkdir(parents=True)
    if what == "link":
        path.symlink_to(target)
    elif what == "hard link":
        path.hardlink_to(target)
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.parent.rmdir()
        (tmp_path / "other").mkdir()
        path.parent.symlink_to(tmp_path / "other")
    journal = journal_on(logs)
    journal.start()
    journal.put((T0, 0, 1))
    assert journal.close()
    assert journal.dropped_disk == 1
    assert target.read_text() == "precious\n"
    assert not (tmp_path / "other" / path.name).exists()


def test_a_line_torn_by_a_crash_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    path = tmp_path / "2026" / "03" / "04-05.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"phase":"p","n":1}\n{"phase":"p","n":')
    assert [parse_line(line) for line in read_lines(str(path))] == [{"phase": "p", "n": 1}]
    journal = journal_on(tmp_path)
    journal.start()
    journal.put((T0, 0, 2))
    assert journal.close()
    assert numbers(tmp_path) == [1, 2]


WRITER = """
import json, sys, time
sys.path.insert(0, {root!r})
from airelays.journal.writer import Journal
from airelays.journal.retention import Policy

def encode(records):
    return [json.dumps({{"phase": "p", "n": r[2], "x": "y" * 500}}).encode() + b"\\n" for r in records]

journal = Journal({logs!r}, Policy(), encode, clock=lambda: {now})
journal.start()
n = 0
while True:
    if journal.queued < 900:
        journal.put(({now}, 0, n))
        n += 1
        if n == 3000:
            print("going", flush=True)
    else:
        time.sleep(0)
"""


def test_a_kill_leaves_at_most_one_torn_last_line(tmp_path: Path) -> None:
    for turn in range(3):
        logs = tmp_path / str(turn)
        code = WRITER.format(root=str(ROOT), logs=str(logs), now=T0)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"going\n"
            process.kill()
        data = Path(hour_path(str(logs), T0 // 3600)).read_bytes()
        whole, _, _torn = data.rpartition(b"\n")
        found = [parse_line(line) for line in whole.split(b"\n")]
        assert [r and r["n"] for r in found] == list(range(len(found)))
        assert len(found) > 100


# ---- retention


def make(folder: Path, hour: int, size: int = 10, part: int = 0) -> Path:
    path = Path(hour_path(str(folder), hour, part))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


NOW_HOUR = T0 // 3600


@pytest.mark.parametrize(("age_hours", "kept"), [(23, True), (24, True), (25, False)])
def test_files_older_than_the_limit_go(tmp_path: Path, age_hours: int, kept: bool) -> None:
    # Exactly at an hour's beginning: the file of 25 hours ago ended 24 hours ago.
    path = make(tmp_path, NOW_HOUR - age_hours)
    prune(str(tmp_path), Policy(retention_days=1), T0)
    assert path.exists() is kept


def test_without_an_age_limit_nothing_is_too_old(tmp_path: Path) -> None:
    path = make(tmp_path, 24 * 366)
    assert prune(str(tmp_path), Policy(retention_days=0), T0) == []
    assert path.exists()


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_oldest_go_first_until_the_rest_fits(tmp_path: Path, extra: int) -> None:
    paths = [make(tmp_path, NOW_HOUR - n, MIB // 2) for n in (3, 2, 1)]
    paths.append(make(tmp_path, NOW_HOUR - 3, MIB // 2 + extra, part=1))
    removed = prune(str(tmp_path), Policy(7, 2, 1), T0)
    assert [f.path for f in removed] == ([str(paths[0])] if extra > 0 else [])


def test_the_file_being_written_stays_even_above_the_budget(tmp_path: Path) -> None:
    old, current = make(tmp_path, NOW_HOUR - 1, MIB), make(tmp_path, NOW_HOUR, 2 * MIB)
    prune(str(tmp_path), Policy(7, 1, 1), T0, keep=str(current))
    assert not old.exists() and current.exists()


def test_only_files_of_our_own_layout_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("x")
    strangers = []
    for name in (
        "2020/01/01-00.log.bak",
        "2020/01/01-00.1.log",
        "2020/01/01-00.0123456789ABCDEF0123456789ABCDEF.log",
        "2020/01/relay.log",
        "2020/01/notes.jsonl",
        "2020/01/01-24.jsonl",
        "2020/02/30-00.jsonl",
        "2020/13/01-00.jsonl",
        "2020/01/01-00.0.jsonl",
        "2020/01/01-00.jsonl.bak",
        "2020/1/01-00.jsonl",
        "01-00.jsonl",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        strangers.append(path)
    link = tmp_path / "2020" / "01" / "02-00.jsonl"
    link.symlink_to(target)
    twin = tmp_path / "2020" / "01" / "03-00.jsonl"
    twin.hardlink_to(target)
    ours = tmp_path / "2020" / "01" / "01-00.jsonl"
    ours.write_text("x")
    assert [f.path for f in prune(str(tmp_path), Policy(), T0)] == [str(ours)]
    assert all(path.exists() for path in [*strangers, link, twin, target])


def test_what_an_earlier_release_has_left_is_counted_and_goes_with_its_age(tmp_path: Path) -> None:
    # Its files hold whole prompts and answers unless that was switched off.
    name = hour_path(str(tmp_path), NOW_HOUR - 25).removesuffix(".jsonl")
    make(tmp_path, NOW_HOUR)
    earlier = [Path(f"{name}.log"), Path(f"{name}.{'0a' * 16}.log")]
    for path in earlier:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 90)
    facts = log_facts(str(tmp_path), Policy())
    assert (facts["file_count"], facts["usage_bytes"]) == (3, 190)
    assert [f.part for f in list_files(str(tmp_path))] == [0]  # nobody reads them
    prune(str(tmp_path), Policy(retention_days=1), T0)
    assert not any(path.exists() for path in earlier)
    assert [f.hour for f in list_files(str(tmp_path))] == [NOW_HOUR]


def test_empty_folders_go_too(tmp_path: Path) -> None:
    make(tmp_path, 24 * 366)
    prune(str(tmp_path), Policy(), T0)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_removes_nothing(tmp_path: Path) -> None:
    path = make(tmp_path, 24 * 366)
    assert [f.path for f in prune(str(tmp_path), Policy(), T0, dry=True)] == [str(path)]
    assert path.exists()


def test_the_journal_prunes_by_itself_at_start_and_when_the_policy_changes(tmp_path: Path) -> None:
    make(tmp_path, NOW_HOUR - 24 * 10)
    make(tmp_path, NOW_HOUR - 24 * 3)
    journal = journal_on(tmp_path, Policy(7, 100, 1))
    journal.start()
    wait_until(lambda: journal.deleted_files == 1)
    save_policy(str(tmp_path), Policy(2, 100, 1))
    journal.policy_changed()
    wait_until(lambda: journal.deleted_files == 2)
    assert journal.policy == Policy(2, 100, 1)
    assert journal.policy_source == "saved"
    assert journal.close()


def test_a_saved_policy_wins_over_the_config(tmp_path: Path) -> None:
    assert load_policy(str(tmp_path), Policy(5, 50, 5)) == (Policy(5, 50, 5), "config")
    save_policy(str(tmp_path), Policy(1, 10, 2))
    assert load_policy(str(tmp_path), Policy(5, 50, 5)) == (Policy(1, 10, 2), "saved")
    assert stat.S_IMODE(os.stat(policy_path(str(tmp_path))).st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{", '{"retention_days": "7"}', '{"other": 1}'])
def test_a_broken_saved_policy_is_said_and_does_not_stop_the_log(tmp_path: Path, text: str) -> None:
    Path(policy_path(str(tmp_path))).write_text(text)
    os.chmod(policy_path(str(tmp_path)), 0o600)
    with pytest.raises(ConfigError, match="does not contain a log policy"):
        load_policy(str(tmp_path), Policy())
    journal = journal_on(tmp_path)
    journal.start()
    journal.put((T0, 0, 1))
    assert journal.close()
    assert numbers(tmp_path) == [1]


def test_a_saved_policy_can_be_forgotten_and_a_broken_one_replaced(tmp_path: Path) -> None:
    logs = str(tmp_path)
    assert (saved_policy(logs), forget_policy(logs)) == ("", False)
    Path(policy_path(logs)).write_text("{")
    os.chmod(policy_path(logs), 0o600)
    assert policy_to_change(logs, Policy(5)) == Policy(5)
    save_policy(logs, Policy(1))
    assert policy_to_change(logs, Policy(5)) == Policy(1)
    assert saved_policy(logs) == policy_path(logs)
    assert overridden(logs, Policy(5)) == {"retention_days": 1}
    os.chmod(policy_path(logs), 0o666)
    with pytest.raises(ConfigError, match="can be changed by other users"):
        policy_to_change(logs, Policy(5))
    assert forget_policy(logs)
    assert load_policy(logs, Policy(5)) == (Policy(5), "config")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("retention_days", 0, 36_500), ("max_total_mb", 50, 1_048_576), ("max_file_mb", 1, 1024)],
)
def test_policy_numbers_have_bounds(name: str, low: int, high: int) -> None:
    for good in (low, low + 1, high - 1, high):
        assert getattr(changed(Policy(), {name: good}), name) == good
    for bad in (low - 1, high + 1, True, 7.0, "7", None):
        with pytest.raises(ValueError, match=name):
            changed(Policy(), {name: bad})


def test_an_unknown_policy_name_is_refused() -> None:
    with pytest.raises(ValueError, match="days is unknown; expected one of retention_days"):
        changed(Policy(), {"days": 1})


# ---- reading


def test_lines_are_read_whole_whatever_the_reads_bring(tmp_path: Path) -> None:
    path = tmp_path / "x"
    lines = [b"a" * n for n in (0, 1, 262_143, 262_144, 262_145, 3)]
    path.write_bytes(b"\n".join(lines) + b"\ntorn")
    assert list(read_lines(str(path))) == lines


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"1", b'{"a":1}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_record_is_skipped(line: bytes) -> None:
    assert parse_line(line) is None


def test_a_tail_follows_over_parts_and_hours_and_torn_lines(tmp_path: Path) -> None:
    def add(hour: int, part: int, data: bytes) -> None:
        fd, _ = open_log(str(tmp_path), hour_path(str(tmp_path), hour, part))
        os.write(fd, data)
        os.close(fd)

    add(NOW_HOUR - 1, 0, b"1\n2\n")
    add(NOW_HOUR, 0, b"3\n4\n5\n")
    tail = Tail(str(tmp_path))
    assert list(islice(tail.back(), 4)) == [b"5", b"4", b"3", b"2"]
    assert tail.more() == []
    add(NOW_HOUR, 0, b"6\n7")
    assert tail.more() == [b"6"]
    add(NOW_HOUR, 0, b"7\n")
    add(NOW_HOUR, 1, b"8\n")
    add(NOW_HOUR + 1, 0, b"9\n")
    assert tail.more() == [b"77", b"8", b"9"]
    os.unlink(hour_path(str(tmp_path), NOW_HOUR + 1))
    assert tail.more() == []
    fresh = Tail(str(tmp_path / "nothing"))
    assert list(fresh.back()) == [] and fresh.more() == []


def test_a_tail_follows_when_the_clock_is_set_back_and_when_a_file_is_replaced(
    tmp_path: Path,
) -> None:
    def add(hour: int, data: bytes) -> str:
        path = hour_path(str(tmp_path), hour)
        fd, _ = open_log(str(tmp_path), path)
        os.write(fd, data)
        os.close(fd)
        return path

    path = add(NOW_HOUR, b"1\n2\n3")
    tail = Tail(str(tmp_path))
    assert list(tail.back()) == [b"2", b"1"]
    add(NOW_HOUR, b"3\n")
    add(NOW_HOUR - 5, b"4\n")
    assert tail.more() == [b"4", b"33"]
    os.unlink(path)
    add(NOW_HOUR, b"5\n")
    assert tail.more() == [b"5"]
