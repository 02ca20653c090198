"""Recent answers in memory, the rows on disk, the store's thread and its quota."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airelays.errors import ClientFault, RelayError
from airelays.state import conversations, files
from airelays.state.database import RESERVE_BYTES, SCHEMA_VERSION, State, storage_fault
from airelays.state.files import FileRow
from airelays.state.quota import file_id
from airelays.state.recent import Answered, Recent
from airelays.state.spool import Spool, StoredBytes, free_bytes
from airelays.state.thread import Store
from airelays.state.turn import Turns
from tests.disks import tiny_disk


def item(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def answer(name: str, parent: str | None = None, size: int = 10, **more: Any) -> Answered:
    response = {"id": name, "output": [{"id": f"msg_{name}", "text": f"a{name}"}]}
    return Answered(response, [item(f"q{name}")], size, parent, **more)


def names(recent: Recent, of: str) -> list[str]:
    found = recent.find(of, "")
    assert found is not None
    return [i.get("content") or i["text"] for i in recent.history(found)]


# ---- recent answers


@pytest.mark.parametrize(("count", "first_stays"), [(63, True), (64, True), (65, False)])
def test_recent_answers_are_bounded_by_count(count: int, first_stays: bool) -> None:
    recent = Recent()
    for n in range(count):
        recent.keep(answer(str(n)))
    assert (recent.find("0", "") is not None) == first_stays
    assert len(recent) == min(count, 64)


@pytest.mark.parametrize(("size", "kept"), [(99, 1), (100, 1), (101, 0)])
def test_recent_answers_are_bounded_by_bytes(size: int, kept: int) -> None:
    recent = Recent(max_bytes=100)
    recent.keep(answer("1", size=size))
    assert (len(recent), recent.bytes) == (kept, kept * size)
    recent.keep(answer("2", size=60))
    recent.keep(answer("3", size=60))
    assert (len(recent), recent.bytes, recent.find("2", "")) == (1, 60, None)


def test_an_answer_that_goes_leaves_its_turn_to_those_behind_it() -> None:
    recent = Recent()
    for name, parent in (("1", None), ("2", "1"), ("3", "2"), ("4", "2")):
        recent.keep(answer(name, parent))
    whole = ["q1", "a1", "q2", "a2", "q3", "a3"]
    for gone in ("2", "1"):
        assert names(recent, "3") == whole
        assert recent.forget(gone, "")
        assert not recent.forget(gone, "")
    assert names(recent, "3") == whole
    assert names(recent, "4") == [*whole[:4], "q4", "a4"]


def test_a_long_chain_keeps_its_history_when_its_beginning_has_gone() -> None:
    recent = Recent(max_answers=3)
    for n in range(20):
        recent.keep(answer(str(n), str(n - 1) if n else None))
    assert len(names(recent, "19")) == 40
    assert recent.bytes == 200


def test_an_id_that_comes_again_is_no_cycle() -> None:
    recent = Recent()
    recent.keep(answer("1"))
    recent.keep(answer("1", "1"))
    recent.keep(answer("1", "1"))
    assert names(recent, "1") == ["q1", "a1"] * 3
    recent.keep(answer("2", "1"))
    recent.keep(answer("1", "2"))
    assert names(recent, "1") == ["q1", "a1"] * 3 + ["q2", "a2", "q1", "a1"]


def test_items_are_found_by_their_ids() -> None:
    recent = Recent()
    recent.keep(answer("1"))
    assert list(recent.items({"msg_1", "msg_2"}, "")) == ["msg_1"]


def test_turns_of_a_conversation_are_ordered_and_locks_go_away() -> None:
    async def run() -> list[int]:
        shared, order = Turns(), []

        async def turn(n: int) -> None:
            await shared.acquire("c")
            try:
                await asyncio.sleep(0)
                order.append(n)
            finally:
                shared.release("c")

        await shared.acquire("c")
        tasks = [asyncio.create_task(turn(n)) for n in range(5)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.sleep(0)
        shared.release("c")
        await asyncio.gather(*tasks, return_exceptions=True)
        assert shared._locks == {}
        return order

    assert asyncio.run(run()) == [0, 1, 3, 4]


# ---- rows


@pytest.fixture
def state(tmp_path: Path) -> Any:
    one = State(str(tmp_path), recover=True)
    yield one
    one.close()


def put(state: State, data: bytes, **changes: Any) -> FileRow:
    spool = Spool(state.staging, file_id(os.urandom(16)))
    spool.write([data])
    spool.seal()
    name = os.path.basename(spool.path).removesuffix(".part")
    row = FileRow(
        name, "a.txt", "assistants", "text/plain", spool.size, spool.sha256, 100, None
    )._replace(**changes)
    files.add(state, row, spool)
    return row


def test_a_new_database_is_private_and_of_this_version(state: State) -> None:
    assert state.db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    assert state.db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    for path in (state.path, state.uploads, state.staging):
        assert not os.stat(path).st_mode & 0o077


def test_a_database_that_is_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "state.sqlite3").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RelayError) as fault:
        State(str(tmp_path), recover=True)
    assert fault.value.code == "storage_unavailable"


def test_a_file_is_found_until_it_expires(state: State) -> None:
    row = put(state, b"data", expires_at=200)
    assert files.find(state, row.id, 199.9, "") == row
    assert files.read(state, row) == b"data"
    assert files.find(state, row.id, 200, "") is None
    assert files.expire(state, 199) == 0
    assert files.expire(state, 200) == 1
    assert not os.path.exists(state.path_of(row.id))


def test_a_row_that_cannot_be_stored_leaves_no_bytes(state: State) -> None:
    row = put(state, b"data")
    spool = Spool(state.staging, "x")
    spool.write([b"other"])
    spool.seal()
    os.unlink(state.path_of(row.id))
    with pytest.raises(sqlite3.IntegrityError):
        files.add(state, row, spool)
    assert os.listdir(state.uploads) == os.listdir(state.staging) == []


def test_tombstones_stay_a_day(state: State) -> None:
    first, second = put(state, b"1"), put(state, b"2")
    assert files.remove(state, first.id, 1000, "")
    asked: dict[str, Any] = {"now_s": 1000.0, "limit": 10, "newest_first": False, "purpose": ""}
    asked["viewer"] = ""
    found = files.page(state, after=first.id, **asked)
    assert found is not None and [row.id for row in found[0]] == [second.id]
    files.remove(state, second.id, 1000 + 86_401, "")
    assert files.page(state, after=first.id, **asked) is None


@pytest.mark.parametrize("bad", ["../x", "file-", "", "file-" + "g" * 32])
def test_nothing_but_an_id_becomes_a_path(state: State, bad: str) -> None:
    with pytest.raises(ValueError, match="not a file id"):
        state.path_of(bad)


def test_sweeping_takes_only_what_is_ours(state: State) -> None:
    row = put(state, b"kept")
    orphan = state.path_of("file-" + "0" * 32)
    for path in (
        orphan,
        os.path.join(state.staging, "a.part"),
        os.path.join(state.uploads, "mine"),
    ):
        Path(path).write_bytes(b"x")
    assert state.sweep() == 2
    assert sorted(os.listdir(state.uploads)) == sorted([row.id, "mine"])


def kept(name: str, at: int, parent: str | None = None) -> conversations.Kept:
    body = f'{{"id":"{name}","output":[{{"text":"a{name}"}}]}}'
    return conversations.Kept(name, at, parent, None, body, f'[{{"text":"q{name}"}}]', "[]")


def flat(state: State, name: str) -> list[str]:
    import json

    chain = conversations.chain(state, name, "")
    assert chain is not None
    found = []
    for one in chain:
        found += json.loads(one.history) + json.loads(one.input) + json.loads(one.body)["output"]
    return [i["text"] for i in found]


def test_a_stored_answer_that_goes_leaves_its_turn_to_those_behind_it(state: State) -> None:
    for n, (name, parent) in enumerate((("1", None), ("2", "1"), ("3", "2"), ("4", "2"))):
        conversations.keep_answer(state, kept(name, n, parent), most=10)
    whole = ["q1", "a1", "q2", "a2", "q3", "a3"]
    assert flat(state, "3") == whole
    assert conversations.forget(state, "2", "")
    assert flat(state, "3") == whole
    assert conversations.forget_old(state, 2) == 1
    assert flat(state, "3") == whole
    assert flat(state, "4") == [*whole[:4], "q4", "a4"]
    assert conversations.chain(state, "1", "") is None


def test_the_oldest_stored_answers_go_first(state: State) -> None:
    for n in range(5):
        conversations.keep_answer(state, kept(str(n), n, str(n - 1) if n else None), most=2)
    assert [conversations.find_answer(state, str(n), "") is not None for n in range(5)] == [
        False
    ] * 3 + [True] * 2
    assert len(flat(state, "4")) == 10


def test_a_stored_id_that_comes_again_is_no_cycle(state: State) -> None:
    for n in range(3):
        conversations.keep_answer(state, kept("1", n, "1" if n else None), most=10)
    assert flat(state, "1") == ["q1", "a1"] * 3


def test_a_conversation_counts_its_items(state: State) -> None:
    made = conversations.Conversation("c", "{}", None, 1, 1, 0, 0)
    assert conversations.create(state, made, [conversations.Item("i1", '"é"')], 1)
    assert not conversations.create(state, made._replace(id="d"), [], 1)
    assert conversations.add_items(state, "c", [conversations.Item("i2", "22")], 9.0, "resp_1")
    assert not conversations.add_items(state, "d", [conversations.Item("i2", "22")], 9.0)
    found = conversations.find(state, "c", "")
    assert found == conversations.Conversation("c", "{}", "resp_1", 1, 9, 2, 6)
    assert conversations.remove_item(state, "c", "i1", 10.0)
    assert not conversations.remove_item(state, "c", "i1", 10.0)
    found = conversations.find(state, "c", "")
    assert found is not None and (found.item_count, found.item_bytes) == (1, 2)


# ---- bytes on their way


def test_a_discarded_spool_is_gone_and_stays_gone(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), "x")
    spool.write([b"a", b"b"])
    assert (tmp_path / "x.part").read_bytes() == b"ab"
    assert (tmp_path / "x.part").stat().st_mode & 0o777 == 0o600
    spool.discard()
    works: tuple[Callable[[], object], ...] = (
        lambda: spool.write([b"c"]),
        spool.seal,
        lambda: spool.keep(str(tmp_path / "y")),
    )
    for work in works:
        with pytest.raises(OSError, match=r"descriptor|directory"):
            work()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_keeps_the_room_of_the_database(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with tiny_disk(folder, "1m"):
        spool = Spool(str(folder), "x")
        with pytest.raises(OSError, match="No space"):
            for _ in range(64):
                spool.write([b"x" * 32_768])
        assert spool.size == (folder / "x.part").stat().st_size > 0
        assert free_bytes(str(folder)) >= RESERVE_BYTES
        spool.discard()


def test_a_kept_spool_survives_its_discard(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), "x")
    spool.seal()
    spool.keep(str(tmp_path / "y"))
    spool.discard()
    assert os.listdir(tmp_path) == ["y"]


def test_stored_bytes_follow_no_link_and_close_for_good(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    stored = StoredBytes(str(tmp_path / "a"))
    assert (stored.size(), stored.read(3, 4), stored.read(8, 4)) == (10, b"3456", b"89")
    stored.close()
    with pytest.raises(OSError, match="descriptor"):
        stored.read(0, 1)
    with pytest.raises(OSError, match="symbolic"):
        StoredBytes(str(tmp_path / "b")).size()


# ---- the store


def make_store(folder: Path) -> Store:
    return Store(str(folder), max_file_bytes=100, max_total_bytes=250)


def test_the_quota_follows_what_is_stored(tmp_path: Path) -> None:
    async def run() -> None:
        store = make_store(tmp_path)
        reservation = await store.begin_upload(0)
        store.grow(reservation, 100)
        spool = Spool(str(tmp_path / "tmp"), "file-" + "1" * 32)
        spool.write([b"x" * 100])
        spool.seal()
        assert store.quota.in_flight == 100
        row = FileRow("file-" + "1" * 32, "a", "batch", "text/plain", 100, spool.sha256, 1, None)
        await store.add_file(row, spool, reservation)
        assert (store.quota.stored, store.quota.in_flight, store.quota.files) == (100, 0, 1)
        other = await store.begin_upload(0)
        store.grow(other, 100)
        third = await store.begin_upload(0)
        with pytest.raises(ClientFault):
            store.grow(third, 51)
        store.grow(third, 50)
        store.release(other)
        store.release(third)
        assert await store.remove_file(row.id, "")
        assert not await store.remove_file(row.id, "")
        assert (store.quota.stored, store.quota.files) == (0, 0)
        store.close()

    asyncio.run(run())


def test_a_store_that_is_never_used_loads_nothing(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.warm()
    store.close()
    assert os.listdir(tmp_path) == []


def test_a_fault_of_the_disk_is_an_answer_without_a_path(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")

    async def run() -> RelayError:
        store = make_store(blocked)
        with pytest.raises(RelayError) as fault:
            await store.run(files.totals)
        store.close()
        return fault.value

    fault = asyncio.run(run())
    assert (fault.status, fault.code, fault.should_retry) == (503, "storage_unavailable", False)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OSError(28, "No space left on device"), 507, "storage_full"),
        (OSError(13, "Permission denied", "/secret/path"), 503, "storage_unavailable"),
        (sqlite3.OperationalError("unable to open database file"), 503, "storage_unavailable"),
    ],
)
def test_faults_are_told_apart(error: Exception, status: int, code: str) -> None:
    fault = storage_fault(error)
    assert (fault.status, fault.code) == (status, code)
    assert "/secret" not in fault.message
