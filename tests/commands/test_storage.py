"""`airelays storage`, `check` and `prune` as a user meets them; crashes; full disks."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crashes import check, survive
from tests.disks import tiny_disk
from tests.live import ROOT, Relay, running
from tests.net.test_live_wire import WIDE
from tests.state.test_live_files import FORM, upload


def storage(home: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = run(home, *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "airelays", "storage", *words],
        env={"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def talk(relay: Relay, **more: Any) -> dict[str, Any]:
    reply = relay.send("POST", "/v1/responses", {"model": "demo", "input": "hello", **more})
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json()
    return found


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A home where a relay has stored two files, a conversation with a turn, and an answer."""
    with running(tmp_path, env=WIDE) as relay:
        upload(relay, b"one")
        upload(relay, b"two" * 1000)
        conversation = relay.send("POST", "/v1/conversations", {}).json()["id"]
        talk(relay, conversation=conversation)
        talk(relay, store=True)
    return tmp_path


def test_where_nothing_is_stored_everything_is_zero(tmp_path: Path) -> None:
    found = storage(tmp_path)
    assert [found[k] for k in ("files", "file_bytes", "conversations", "responses")] == [0] * 4
    assert not (tmp_path / ".airelays").exists()
    assert storage(tmp_path, "check")["ok"]
    assert not (tmp_path / ".airelays").exists()


def test_use_is_shown(used: Path) -> None:
    found = storage(used)
    assert (found["files"], found["file_bytes"]) == (2, 3003)
    assert (found["conversations"], found["items"], found["responses"]) == (1, 2, 1)
    text = run(used).stdout
    assert "Files:             2, 3,003 of 268,435,456 bytes" in text
    assert "Conversations:     1 of 1,000" in text


def test_a_check_finds_everything_in_order(used: Path) -> None:
    found = storage(used, "check")
    assert found == {
        "ok": True,
        "files": 2,
        "bytes": 3003,
        "conversations": 1,
        "responses": 1,
        "swept": 0,
        "in_flight": 0,
        "problems": [],
    }
    assert "In order:          yes" in run(used, "check").stdout


def one_upload(home: Path) -> Path:
    return max((home / ".airelays" / "uploads").iterdir(), key=lambda p: p.stat().st_size)


def test_a_check_finds_what_is_wrong_and_prune_mends_it(used: Path) -> None:
    path = one_upload(used)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    found = storage(used, "check", code=1)
    assert found["problems"] == [f"file {path.name} has 2,999 bytes on disk, 3,000 were stored"]
    path.write_bytes(b"x" * 3000)
    found = storage(used, "check", code=1)
    assert found["problems"] == [f"file {path.name} has different content than was stored"]
    path.unlink()
    found = storage(used, "check", code=1)
    assert found["problems"] == [f"file {path.name} has lost its content"]
    assert storage(used, "prune")["deleted"]["files"] == 1
    assert storage(used, "check")["files"] == 1


def test_leftovers_of_a_crash_are_swept_by_a_check(used: Path) -> None:
    (used / ".airelays" / "tmp" / "x.part").write_bytes(b"half")
    (used / ".airelays" / "uploads" / ("file-" + "a" * 32)).write_bytes(b"no row")
    assert storage(used, "check")["swept"] == 2
    assert storage(used, "check")["swept"] == 0


def test_a_foreign_file_is_named_and_left_alone(used: Path) -> None:
    foreign = used / ".airelays" / "uploads" / "notes.txt"
    foreign.write_text("mine")
    found = storage(used, "check", code=1)
    assert found["problems"] == ["uploads/notes.txt is not a file of the relay; move it away"]
    storage(used, "prune")
    assert foreign.read_text() == "mine"


def test_a_damaged_database_is_said_to_be(used: Path) -> None:
    path = used / ".airelays" / "state.sqlite3"
    path.write_bytes(b"not a database" * 1000)
    done = run(used, "check")
    assert done.returncode == 1
    assert "database is damaged" in done.stderr
    with running(used, env=WIDE) as relay:
        reply = upload(relay, b"x")
        assert (reply.status, reply.error["code"]) == (503, "storage_damaged")
        assert reply.headers["x-should-retry"] == "false"
        assert talk(relay)["status"] == "completed"
        assert "damaged" in relay.get("/v1/relay/status").json()["storage"]["problem"]
        way_out = reply.error["message"]
    for text in (done.stderr, way_out):
        assert "move state.sqlite3* out of its data folder" in text and "storage check" not in text
    for path in (used / ".airelays").glob("state.sqlite3*"):
        path.rename(used / path.name)
    with running(used, env=WIDE) as relay:
        assert upload(relay, b"x").status == 200
    assert storage(used, "check")["ok"] is True


def test_a_database_of_a_newer_version_is_left_alone(used: Path) -> None:
    path = used / ".airelays" / "state.sqlite3"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.commit()
    db.close()
    with running(used, env=WIDE) as relay:
        reply = upload(relay, b"x")
        assert (reply.status, reply.error["code"]) == (503, "storage_unavailable")
        assert "written by a newer AIRelays" in reply.error["message"]


def test_pruning_beside_a_running_relay_frees_its_quota(tmp_path: Path) -> None:
    limits = {"AIRELAYS_MAX_UPLOAD_BYTES": "1000", "AIRELAYS_MAX_TOTAL_UPLOAD_BYTES": "1000"}
    with running(tmp_path, env={**WIDE, **limits}) as relay:
        one = upload(relay, b"x" * 1000).json()["id"]
        conversation = relay.send("POST", "/v1/conversations", {}).json()["id"]
        answer = talk(relay, store=True)["id"]
        assert upload(relay, b"y").status == 413
        assert storage(tmp_path, "check")["ok"]
        gone = storage(tmp_path, "prune", "--older-than", "0")
        assert gone["deleted"] == {"files": 1, "conversations": 1, "responses": 1}
        assert upload(relay, b"y" * 1000).status == 200
        assert relay.get(f"/v1/files/{one}").status == 404
        assert relay.get(f"/v1/conversations/{conversation}").status == 404
        relay.send("DELETE", f"/v1/responses/{answer}")
        facts = relay.get("/v1/relay/status").json()["storage"]
        assert facts == {
            "file_count": 1,
            "total_bytes": 1000,
            "conversation_count": 0,
            "response_count": 0,
        }
    assert storage(tmp_path, "check")["ok"]


@pytest.mark.parametrize("days", ["x", "-1", "1e9", "nan"])
def test_a_bad_age_is_refused(used: Path, days: str) -> None:
    done = run(used, "prune", "--older-than", days)
    assert done.returncode == 2
    assert done.stderr == (
        f"airelays: --older-than is {days}; expected a number of days from 0 to 36,500\n"
    )
    assert storage(used)["files"] == 2


def test_what_is_young_stays(used: Path) -> None:
    gone = storage(used, "prune", "--older-than", "1")
    assert gone["deleted"] == {"files": 0, "conversations": 0, "responses": 0}
    assert storage(used)["files"] == 2


# ---- the state of an AIRelays before this one

OLD_SCHEMA = """
CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT NOT NULL, purpose TEXT NOT NULL,
  content_type TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, created_at INTEGER NOT NULL,
  storage_path TEXT NOT NULL{deleted});
CREATE TABLE conversations (id TEXT PRIMARY KEY, metadata_json TEXT NOT NULL, seed_items_json TEXT,
  latest_response_id TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
"""


@pytest.mark.parametrize("deleted", ["", ", deleted_at INTEGER"])
def test_the_state_of_the_older_program_is_carried_over(tmp_path: Path, deleted: str) -> None:
    data = tmp_path / ".airelays"
    (data / "uploads").mkdir(parents=True)
    ids = ["file_" + "a" * 32, "file_" + "b" * 32]
    # The very early versions named the bytes otherwise than the row.
    paths = [data / "uploads" / ids[0], data / "uploads" / ("file_" + "c" * 32)]
    db = sqlite3.connect(data / "state.sqlite3")
    db.executescript(OLD_SCHEMA.format(deleted=deleted))
    for one, path in zip(ids, paths, strict=True):
        path.write_bytes(one.encode())
        digest = hashlib.sha256(one.encode()).hexdigest()
        names = "id, filename, purpose, content_type, bytes, sha256, created_at, storage_path"
        db.execute(
            f"INSERT INTO files ({names}) VALUES (?, 'a.txt', 'assistants', 'text/plain', 37, ?, 7, ?)",
            (one, digest, str(path)),
        )
    part = {"type": "input_text", "text": "from before"}
    seed = [{"type": "message", "role": "user", "content": [part]}]
    conversation = "conv_" + "d" * 32
    db.execute(
        "INSERT INTO conversations VALUES (?, ?, ?, 'resp_1', 5, 6)",
        (conversation, '{"k":"v"}', json.dumps(seed)),
    )
    db.commit()
    db.close()
    with running(tmp_path, env=WIDE) as relay:
        assert {f["id"] for f in relay.get("/v1/files").json()["data"]} == set(ids)
        for one in ids:
            assert relay.get(f"/v1/files/{one}/content").body == one.encode()
        found = relay.get(f"/v1/conversations/{conversation}").json()
        assert (found["metadata"], found["latest_response_id"]) == ({"k": "v"}, "resp_1")
        items = relay.get(f"/v1/conversations/{conversation}/items").json()["data"]
        assert [i["content"] for i in items] == [[part]]
        before = talk(relay)["usage"]["input_tokens"]
        after = talk(relay, conversation=conversation)["usage"]["input_tokens"]
        assert after == before + 2
        use = {"type": "input_file", "file_id": ids[1]}
        content = [{"type": "message", "role": "user", "content": [use]}]
        assert talk(relay, input=content)["status"] == "completed"
    assert storage(tmp_path, "check")["ok"]
    assert storage(tmp_path, "check")["files"] == 2


# ---- crashes and full disks


def test_killed_at_random_moments_every_row_has_its_bytes(tmp_path: Path) -> None:
    rounds = int(os.environ.get("AIRELAYS_TEST_CRASHES", "6"))
    assert survive(tmp_path, rounds) > 0
    assert check(tmp_path)["ok"]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A home whose data folder is a file system of 2 MiB."""
    with tiny_disk(tmp_path / ".airelays", "2m"):
        yield tmp_path


def test_a_full_disk_is_said_to_be_full_and_the_relay_works_on(tiny: Path) -> None:
    with running(tiny, env=WIDE) as relay:
        ids = []
        conversation = relay.send("POST", "/v1/conversations", {}).json()["id"]
        while (reply := upload(relay, os.urandom(200_000))).status == 200:
            ids.append(reply.json()["id"])
            assert len(ids) < 12
        assert len(ids) >= 4
        assert (reply.status, reply.error["code"]) == (507, "storage_full")
        assert reply.headers["x-should-retry"] == "false"
        much = {**FORM, "Content-Length": "4000000", "Expect": "100-continue"}
        with relay.connect() as wire:
            wire.send(relay.request("POST", "/v1/files", headers=much))
            assert wire.reply().error["code"] == "storage_full"
        statuses = set()
        for n in range(40):
            body = {"model": "demo", "conversation": conversation, "input": f"{n}" * 30_000}
            reply = relay.send("POST", "/v1/responses", {**body, "stream": n % 2 == 1})
            statuses.add(reply.status)
            if reply.status != 200 or b"storage_full" in reply.body:
                assert b"storage_full" in reply.body, reply.body
                break
        assert talk(relay)["status"] == "completed"
        assert relay.get(f"/v1/files/{ids[0]}/content").status == 200
        for one in ids:
            assert relay.send("DELETE", f"/v1/files/{one}").status == 200
        assert upload(relay, os.urandom(200_000)).status == 200
        assert talk(relay, conversation=conversation)["status"] == "completed"
    assert storage(tiny, "check")["ok"]
