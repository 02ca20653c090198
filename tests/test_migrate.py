"""`migrate`: config, token, sign-in, files and conversations of an earlier AIRelays; twice changes nothing."""

from __future__ import annotations

import base64
import fcntl
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import live

ROOT = Path(__file__).resolve().parent.parent
FILE = "file-" + "a1" * 16
TALK = "conv_" + "b2" * 16


def run(home: Path, *words: str, code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "airelays", "migrate", *words],
        env={"HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        return done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout


def results(home: Path, *words: str) -> dict[str, str]:
    return {s["name"]: s["result"] for s in run(home, "--json", *words)["steps"]}


def jwt(claims: dict[str, object]) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{part}.c2ln"


def old_program(home: Path, name: str = ".airelay") -> Path:
    """What an AIRelays of the time before this one leaves behind."""
    data = home / name
    (data / "uploads").mkdir(parents=True)
    (data / "relay-token").write_text("t" * 43 + "\n")
    tokens = {
        "id_token": jwt({"email": "me@example.org"}),
        "access_token": jwt({"exp": 4_000_000_000}),
        "refresh_token": "refresh-once",
        "account_id": "acc",
    }
    sign_in = {"bound_account_id": "acc", "tokens": tokens, "last_refresh": "2026-01-01T00:00:00Z"}
    (data / "auth.json").write_text(json.dumps(sign_in))
    for path in (data / "relay-token", data / "auth.json"):
        path.chmod(0o600)
    (data / "uploads" / "old-name.bin").write_bytes(b"kept bytes")
    db = sqlite3.connect(data / "state.sqlite3")
    db.executescript(
        """
        CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT, purpose TEXT, content_type TEXT, bytes INTEGER,
          sha256 TEXT, created_at INTEGER, storage_path TEXT, deleted_at INTEGER);
        CREATE TABLE conversations (id TEXT PRIMARY KEY, metadata_json TEXT, seed_items_json TEXT,
          latest_response_id TEXT, created_at INTEGER, updated_at INTEGER);
        """
    )
    stored = str(data / "uploads" / "old-name.bin")
    row = (FILE, "notes.txt", "user_data", "text/plain", 10, "00", 1_700_000_000, stored, None)
    db.execute("INSERT INTO files VALUES (?,?,?,?,?,?,?,?,?)", row)
    items = [{"type": "message", "role": "user", "content": "Do you remember?"}]
    row = (TALK, "{}", json.dumps(items), None, 1_700_000_000, 1_700_000_000)
    db.execute("INSERT INTO conversations VALUES (?,?,?,?,?,?)", row)
    db.commit()
    db.close()
    return data


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / ".config" / "airelay").mkdir(parents=True)
    (folder / ".config" / "airelay" / "config.toml").write_text("[server]\nport = 9191\n")
    return folder


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in folder.rglob("*")
        if p.is_file() and not p.name.endswith((".lock", "-shm", "-wal"))
    }


def test_everything_is_taken_over_once(home: Path) -> None:
    old = old_program(home)
    before = tree(old)
    assert set(results(home).values()) == {"taken over"}
    new = home / ".airelays"
    assert (home / ".config" / "airelays" / "config.toml").read_text() == "[server]\nport = 9191\n"
    assert (new / "relay-token").read_text() == "t" * 43 + "\n"
    assert json.loads((new / "auth.json").read_text())["tokens"]["refresh_token"] == "refresh-once"
    for name in ("relay-token", "auth.json", "state.sqlite3", f"uploads/{FILE}"):
        assert (new / name).stat().st_mode & 0o777 == 0o600, name
    assert tree(old) == before

    after = tree(home)
    assert set(results(home).values()) == {"kept, there was one here"}
    assert tree(home) == after


def test_what_was_taken_over_is_served(home: Path) -> None:
    old_program(home)
    run(home)
    with live.running(home, token="t" * 43) as relay:
        assert relay.get(f"/v1/files/{FILE}/content").body == b"kept bytes"
        items = relay.get(f"/v1/conversations/{TALK}/items").json()["data"]
        assert "Do you remember?" in json.dumps(items)


def test_a_folder_that_is_used_on_is_brought_up_to_date(home: Path) -> None:
    old_program(home, ".airelays")
    assert results(home) == {
        "config": "taken over",
        "relay token": "kept, there was one here",
        "sign-in": "kept, there was one here",
        "state": "brought up to date",
    }
    assert set(results(home).values()) == {"kept, there was one here"}


def test_a_dry_run_changes_nothing(home: Path) -> None:
    old_program(home)
    before = tree(home)
    assert set(results(home, "--dry-run").values()) == {"taken over"}
    assert tree(home) == before and not (home / ".airelays").exists()


def test_what_is_here_is_kept(home: Path) -> None:
    old_program(home)
    (home / ".airelays").mkdir(mode=0o700)
    (home / ".airelays" / "relay-token").write_text("mine\n")
    (home / ".airelays" / "relay-token").chmod(0o600)
    found = results(home)
    assert found["relay token"] == "kept, there was one here" and found["sign-in"] == "taken over"
    assert (home / ".airelays" / "relay-token").read_text() == "mine\n"


def test_nothing_to_take_over_is_no_error(tmp_path: Path) -> None:
    assert set(results(tmp_path).values()) == {"nothing there"}


def test_a_config_that_would_not_start_is_named(home: Path) -> None:
    (home / ".config" / "airelay" / "config.toml").write_text("[server]\nport = 'high'\n")
    said = run(home, code=1)
    assert ".config/airelay/config.toml: server.port" in said and len(said.splitlines()) == 1
    assert not (home / ".config" / "airelays").exists()


def test_a_folder_that_does_not_exist_is_named(home: Path) -> None:
    said = run(home, "--from", "nowhere", code=1)
    assert (
        said
        == f"airelays: --from is {home}/nowhere, and there is no such folder; name the one to take over\n"
    )


def test_a_running_relay_is_left_alone(home: Path) -> None:
    old_program(home)
    (home / ".airelays").mkdir(mode=0o700)
    with open(home / ".airelays" / "relay.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        said = run(home, code=75)
    assert said == f"airelays: a relay uses {home}/.airelays; stop it, then try again\n"
