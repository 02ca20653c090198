"""`migrate`: config, token, sign-in, files and conversations of an earlier AIRelays; twice changes nothing."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airelays.errors import RelayError
from airelays.state.database import State
from tests import live
from tests.fakes.secret_tool import put_secret_tool
from tests.live import plain

ROOT = Path(__file__).resolve().parents[2]
FILE = "file-" + "a1" * 16
TALK = "conv_" + "b2" * 16


def run(home: Path, *words: str, code: int = 0) -> Any:
    done = plain(
        subprocess.run(
            [sys.executable, "-m", "airelays", "migrate", *words],
            env={"HOME": str(home), "PYTHONPATH": str(ROOT)},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=60,
        )
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
    talk = (TALK, "{}", json.dumps(items), None, 1_700_000_000, 1_700_000_000)
    db.execute("INSERT INTO conversations VALUES (?,?,?,?,?,?)", talk)
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
    assert set(results(home).values()) == {"imported"}
    new = home / ".airelays"
    assert (home / ".config" / "airelays" / "config.toml").read_text() == "[server]\nport = 9191\n"
    assert (new / "relay-token").read_text() == "t" * 43 + "\n"
    assert json.loads((new / "auth.json").read_text())["tokens"]["refresh_token"] == "refresh-once"
    for name in ("relay-token", "auth.json", "state.sqlite3", f"uploads/{FILE}"):
        assert (new / name).stat().st_mode & 0o777 == 0o600, name
    assert tree(old) == before

    after = tree(home)
    assert set(results(home).values()) == {"kept the existing one"}
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
        "config": "imported",
        "relay token": "kept the existing one",
        "sign-in": "kept the existing one",
        "state": "updated",
    }
    assert set(results(home).values()) == {"kept the existing one"}


def test_a_dry_run_changes_nothing(home: Path) -> None:
    old_program(home)
    before = tree(home)
    assert set(results(home, "--dry-run").values()) == {"imported"}
    assert tree(home) == before and not (home / ".airelays").exists()


def test_what_is_here_is_kept(home: Path) -> None:
    old_program(home)
    (home / ".airelays").mkdir(mode=0o700)
    (home / ".airelays" / "relay-token").write_text("mine\n")
    (home / ".airelays" / "relay-token").chmod(0o600)
    found = results(home)
    assert found["relay token"] == "kept the existing one" and found["sign-in"] == "imported"
    assert (home / ".airelays" / "relay-token").read_text() == "mine\n"


def test_nothing_to_take_over_is_no_error(tmp_path: Path) -> None:
    assert set(results(tmp_path).values()) == {"nothing found"}


def test_a_config_that_would_not_start_is_named(home: Path) -> None:
    (home / ".config" / "airelay" / "config.toml").write_text("[server]\nport = 'high'\n")
    said = run(home, code=1)
    assert ".config/airelay/config.toml: server.port" in said and len(said.splitlines()) == 1
    assert not (home / ".config" / "airelays").exists()


def test_a_folder_that_does_not_exist_is_named(home: Path) -> None:
    said = run(home, "--from", "nowhere", code=1)
    assert (
        said
        == f"airelays: --from is {home}/nowhere, which is not an existing folder; name the folder to import\n"
    )


def test_a_running_relay_is_left_alone(home: Path) -> None:
    old_program(home)
    (home / ".airelays").mkdir(mode=0o700)
    with open(home / ".airelays" / "relay.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        said = run(home, code=75)
    assert said == f"airelays: a relay is using {home}/.airelays; stop it, then try again\n"


# What the published AIRelays writes at `init`: every path in full.
PUBLISHED = """\
# mine
[server]
port = 9191   # keep

[paths]
data_dir = "{data}"
logs_dir = "{data}/logs"  # was the default

[security]
bearer_token_file = '{data}/relay-token'
rate_limit_burst = 7

[providers.claude]
oauth_token_file = "{data}/claude-token"
models = [
  "claude:sonnet",
]
"""
MOVED = """\
# mine
[server]
port = 9191   # keep

[paths]
# was the default

[security]
rate_limit_burst = 7

[providers.claude]
models = [
  "claude:sonnet",
]
"""


def airelays(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return plain(
        subprocess.run(
            [sys.executable, "-m", "airelays", *words],
            env={"HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": str(home / "no-tools"), **env},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=60,
        )
    )


def answer(home: Path, *words: str, code: int = 0, **env: str) -> Any:
    done = airelays(home, "migrate", "--json", *words, **env)
    assert done.returncode == code, done.stdout + done.stderr
    assert "refresh-once" not in done.stdout + done.stderr
    return json.loads(done.stdout)


def step(found: Any, name: str) -> Any:
    return next(s for s in found["steps"] if s["name"] == name)


@pytest.fixture
def user(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    return folder


def copied(tmp_path: Path, named: str, text: str = PUBLISHED) -> tuple[Path, tuple[str, ...]]:
    """The two folders of a published AIRelays, copied here from where they were `named`."""
    (tmp_path / "copy").mkdir()
    data = old_program(tmp_path / "copy", ".airelays")
    config = tmp_path / "copy" / "config.toml"
    config.write_text(text.replace("{data}", named))
    return data, ("--from", str(data), "--from-config", str(config))


def private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def account(data: Path, slug: str, **tokens: object) -> None:
    """A further account. Tokens that are given as None are missing."""
    sign_in = json.loads((data / "auth.json").read_text())
    sign_in["bound_account_id"] = sign_in["tokens"]["account_id"] = slug
    sign_in["tokens"]["id_token"] = jwt({"email": f"{slug}@example.org"})
    sign_in["tokens"].update(tokens)
    private(data / "accounts" / slug / "auth.json", json.dumps(sign_in))


@pytest.mark.parametrize("where", ["here", "another machine"])
def test_paths_in_the_earlier_folder_do_not_come_along(
    user: Path, tmp_path: Path, where: str
) -> None:
    named = (
        "/home/gone/.airelays" if where == "another machine" else str(tmp_path / "copy/.airelays")
    )
    _, words = copied(tmp_path, named)
    done = airelays(user, "migrate", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        f'  paths.data_dir was "{named}", in the earlier data folder: removed, which means {user}/.airelays\n'
        in done.stdout
    )
    assert (user / ".config/airelays/config.toml").read_text() == MOVED
    facts = json.loads(airelays(user, "status", "--json").stdout)
    assert facts["relay"]["data_dir"] == str(user / ".airelays")
    assert facts["auth"]["ready_for_requests"] is True
    assert facts["relay"]["bearer_token_present"] is True

    before = tree(user)
    again = answer(user, *words)
    assert {s["result"] for s in again["steps"]} == {"kept the existing one"}
    assert again["config_changes"] == [] and tree(user) == before


def test_paths_elsewhere_stay_and_other_files_in_the_folder_move(
    user: Path, tmp_path: Path
) -> None:
    text = (
        '[paths]\ndata_dir="{data}"\r\nlogs_dir = "/srv/logs"\n'
        '[security]\nbearer_token_file = "{data}/keys/mine" # mine\n'
        '[upstream]\nca_file = "{data}/ca.pem"\n'
    )
    data, words = copied(tmp_path, "/home/gone/x", text)
    private(data / "keys" / "mine", "m" * 43 + "\n")
    private(data / "ca.pem", "authorities")
    found = answer(user, *words)
    new = user / ".airelays"
    assert (user / ".config/airelays/config.toml").read_bytes().decode() == (
        '[paths]\nlogs_dir = "/srv/logs"\n'
        f'[security]\nbearer_token_file = "{new}/keys/mine" # mine\n'
        f'[upstream]\nca_file = "{new}/ca.pem"\n'
    )
    assert (new / "keys/mine").read_text() == "m" * 43 + "\n"
    assert (new / "ca.pem").read_text() == "authorities"
    assert (new / "ca.pem").stat().st_mode & 0o777 == 0o600
    assert [c["now"] for c in found["config_changes"]] == [
        None,
        f"{new}/keys/mine",
        f"{new}/ca.pem",
    ]


def test_a_folder_that_was_chosen_is_used_on_where_it_is(home: Path, tmp_path: Path) -> None:
    custom = tmp_path / "srv"
    custom.mkdir()
    data = old_program(custom, "relay")
    text = PUBLISHED.replace("{data}", str(data))
    (home / ".config/airelay/config.toml").write_text(text)
    found = answer(home)
    assert (home / ".config/airelays/config.toml").read_text() == text
    assert found["config_changes"] == [] and not (home / ".airelays").exists()
    assert step(found, "state")["result"] == "updated"
    assert {s["result"] for s in answer(home)["steps"]} == {"kept the existing one"}
    assert (home / ".config/airelays/config.toml").read_text() == text


def test_a_target_that_is_not_the_default_is_written_down(user: Path, tmp_path: Path) -> None:
    _, words = copied(tmp_path, "/home/gone/.airelays")
    answer(user, *words, "--data-dir", str(user / "mine"))
    text = (user / ".config/airelays/config.toml").read_text()
    assert f'data_dir = "{user}/mine"\n' in text and "gone" not in text
    facts = json.loads(airelays(user, "status", "--json").stdout)
    assert facts["relay"]["data_dir"] == f"{user}/mine" and facts["auth"]["authenticated"]


def test_a_path_in_a_form_that_cannot_be_changed_is_named(user: Path, tmp_path: Path) -> None:
    _, words = copied(tmp_path, "/home/gone/x", 'paths = { data_dir = "{data}" }\n')
    done = airelays(user, "migrate", *words)
    assert done.returncode == 1 and list(user.iterdir()) == []
    assert done.stderr == (
        f"airelays: {tmp_path}/copy/config.toml: paths.data_dir is in the earlier data folder and cannot be "
        f"changed automatically; write it as NAME = 'PATH' on its own line below its [TABLE], or remove it\n"
    )


def test_a_kept_config_whose_folder_is_gone_is_named(user: Path) -> None:
    old_program(user, ".airelays")
    (user / ".config/airelays").mkdir(parents=True)
    path = user / ".config/airelays/config.toml"
    path.write_text(f'[paths]\ndata_dir = "{user}/gone"\n')
    done = airelays(user, "migrate")
    assert done.returncode == 1 and not (user / "gone").exists()
    assert done.stderr == (
        f"airelays: {path}: paths.data_dir is {user}/gone, which is not an existing folder; remove the line to "
        f"use {user}/.airelays, or name the folder to import with --from\n"
    )


def test_what_is_not_taken_over_is_said(home: Path) -> None:
    old = old_program(home)
    account(old, "second")
    private(old / "claude-token", "c" * 20)
    (old / "claude" / "accounts").mkdir(parents=True)
    private(old / "logs" / "2026" / "11" / "27-22.log", "{}\n")
    said = run(home)
    assert said.partition("\nNot Imported\n")[2].partition("\n\n")[0] == (
        "  accounts/second (second@example.org): AIRelays works with one sign-in; airelays login changes it\n"
        f"  {old}/claude-token: AIRelays does not use a Claude subscription\n"
        f"  {old}/claude: AIRelays does not use a Claude subscription\n"
        f"  the traffic log in {old}/logs: it stays there"
    )
    assert not (home / ".airelays" / "accounts").exists()


@pytest.mark.parametrize("main", [None, "{}", '{"tokens": {}}'])
def test_the_only_account_that_is_signed_in_becomes_the_sign_in(
    home: Path, main: str | None
) -> None:
    old = old_program(home)
    account(old, "second", refresh_token="refresh-second")
    account(old, "out", access_token=None, refresh_token=None)
    private(old / "accounts" / "bad" / "auth.json", "nonsense")
    (old / "auth.json").unlink()
    if main is not None:
        private(old / "auth.json", main)
    dry = answer(home, "--dry-run")
    found = answer(home)
    assert dry["steps"] == found["steps"] and dry["not_taken_over"] == found["not_taken_over"]
    assert step(found, "sign-in")["detail"] == (
        f"{old}/accounts/second/auth.json, the only one that is signed in, to {home}/.airelays/auth.json"
    )
    new = json.loads((home / ".airelays" / "auth.json").read_text())
    assert new["tokens"]["refresh_token"] == "refresh-second"
    left = ["accounts/bad", "accounts/out (out@example.org)"]
    assert [each["what"] for each in found["not_taken_over"]] == left
    assert step(answer(home), "sign-in")["result"] == "kept the existing one"


def test_of_several_accounts_none_is_chosen(home: Path) -> None:
    old = old_program(home)
    account(old, "one")
    account(old, "two")
    (old / "auth.json").unlink()
    found = step(answer(home), "sign-in")
    assert found["result"] == "not imported"
    assert found["detail"] == (
        "there are 2 (accounts/one (one@example.org), accounts/two (two@example.org)), and AIRelays works with one; "
        "sign in with the one to use: airelays login"
    )
    assert not (home / ".airelays" / "auth.json").exists()
    assert "  1. airelays login\n" in run(home)


def test_the_saved_log_policy_is_taken_over(home: Path) -> None:
    old = old_program(home)
    policy = {"retention_days": 9, "max_total_mb": 1000, "max_file_mb": 40}
    private(old / "logs" / ".retention.json", json.dumps(policy))
    assert step(answer(home), "log policy")["result"] == "imported"
    new = home / ".airelays" / "logs" / ".retention.json"
    assert json.loads(new.read_text()) == policy and new.stat().st_mode & 0o777 == 0o600
    facts = json.loads(airelays(home, "logs", "--json").stdout)
    assert (facts["policy"], facts["policy_source"]) == (policy, "saved")
    private(old / "logs" / ".retention.json", '{"retention_days": 1}')
    assert step(answer(home), "log policy")["result"] == "kept the existing one"
    assert json.loads(new.read_text()) == policy


def in_place(home: Path, storage: str) -> Path:
    """A folder that is used on, with a choice of storage that the earlier program did not follow."""
    data = old_program(home, ".airelays")
    private(home / ".config/airelays/config.toml", f'[auth]\nstorage = "{storage}"\n')
    return data


def test_a_keyring_that_this_system_lacks_is_no_surprise_later(home: Path) -> None:
    data = in_place(home, "keyring")
    found = step(answer(home, code=1), "sign-in")
    assert found["result"] == "kept the existing one"
    assert found["problem"] == (
        f'the relay cannot use the sign-in in {data}/auth.json: auth.storage is "keyring", but this system has '
        'no keyring tool (secret-tool on Linux); install it or set auth.storage = "file". The earlier AIRelays '
        f'always used that file, whatever storage was set to. To keep using it, set storage = "file" under [auth] in '
        f"{home}/.config/airelays/config.toml"
    )
    private(home / ".config/airelays/config.toml", '[auth]\nstorage = "file"\n')
    assert step(answer(home), "sign-in")["problem"] == ""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    return put_secret_tool(tmp_path / "tools")


linux = pytest.mark.skipif(sys.platform != "linux", reason="secret-tool")


@linux
def test_a_sign_in_goes_where_the_config_says(user: Path, tmp_path: Path, tools: Path) -> None:
    _, words = copied(tmp_path, "/home/gone/x", '[auth]\nstorage = "keyring"\n')
    found = step(answer(user, *words, PATH=str(tools)), "sign-in")
    assert found["detail"].endswith(" to the keyring (secret-tool)") and not found["problem"]
    assert b"refresh-once" in (tools / "entry").read_bytes()
    assert not (user / ".airelays" / "auth.json").exists()
    again = step(answer(user, *words, PATH=str(tools)), "sign-in")
    assert (again["result"], again["detail"]) == (
        "kept the existing one",
        "the keyring (secret-tool)",
    )


@linux
def test_a_locked_keyring_leaves_the_sign_in_in_the_file(
    user: Path, tmp_path: Path, tools: Path
) -> None:
    _, words = copied(tmp_path, "/home/gone/x", '[auth]\nstorage = "keyring"\n')
    (tools / "broken").touch()
    found = step(answer(user, *words, code=1, PATH=str(tools)), "sign-in")
    assert found["result"] == "imported"
    assert "Cannot autolaunch D-Bus" in found["problem"]
    assert (user / ".airelays" / "auth.json").stat().st_mode & 0o777 == 0o600


@linux
def test_a_sign_in_that_waits_for_the_keyring_is_said(home: Path, tools: Path) -> None:
    data = in_place(home, "keyring")
    found = step(answer(home, PATH=str(tools)), "sign-in")
    assert found["detail"] == f"{data}/auth.json; it moves into the keyring when it is renewed"


@linux
def test_an_older_sign_in_in_the_keyring_is_said(home: Path, tools: Path) -> None:
    data = in_place(home, "auto")
    (tools / "entry").write_text(
        (data / "auth.json").read_text().replace("refresh-once", "refresh-older")
    )
    found = step(answer(home, code=1, PATH=str(tools)), "sign-in")
    assert found["problem"] == (
        'auth.storage is "auto", so the relay uses the sign-in in the keyring, not the one in '
        f"{data}/auth.json, which the earlier AIRelays used; to use the file, "
        f'set storage = "file" under [auth] in {home}/.config/airelays/config.toml, '
        "or run: airelays login"
    )


def test_a_sign_in_that_cannot_be_read_stops_nothing_else(home: Path) -> None:
    old = old_program(home)
    account(old, "second")
    private(old / "auth.json", "{half")
    found = answer(home, code=1)
    assert {s["name"]: s["result"] for s in found["steps"]} == {
        "config": "imported",
        "relay token": "imported",
        "sign-in": "not imported",
        "state": "imported",
    }
    assert step(found, "sign-in")["problem"] == (
        f"{old}/auth.json is not a stored sign-in (no JSON object); run: airelays login"
    )
    assert not (home / ".airelays" / "auth.json").exists()
    assert (home / ".airelays" / "uploads" / FILE).read_bytes() == b"kept bytes"
    done = airelays(home, "migrate")
    assert done.returncode == 1 and "\nTo Do\n  sign-in: " in done.stdout


def test_a_deleted_file_is_not_counted(home: Path) -> None:
    old = old_program(home)
    db = sqlite3.connect(old / "state.sqlite3")
    row = ("file_" + "c" * 32, "gone.txt", "user_data", "text/plain", 1, "00", 1, "gone", 2)
    db.execute("INSERT INTO files VALUES (?,?,?,?,?,?,?,?,?)", row)
    db.commit()
    db.close()
    assert step(answer(home), "state")["detail"].startswith("1 files and 1 conversations, ")


# ---- whole or nothing


def newer(database: Path) -> None:
    db = sqlite3.connect(database)
    db.execute("PRAGMA user_version = 99")
    db.commit()
    db.close()


def not_one(database: Path) -> None:
    database.write_bytes(b"this was never a database\n" * 99)


def torn(database: Path) -> None:
    """A page in the middle is overwritten: the header and the schema are whole."""
    db = sqlite3.connect(database)
    rows = [(f"conv_{i:032x}", "{}", "[]", None, 1, 1) for i in range(2000)]
    db.executemany("INSERT INTO conversations VALUES (?,?,?,?,?,?)", rows)
    db.commit()
    db.close()
    data = bytearray(database.read_bytes())
    data[8 * 4096 : 12 * 4096] = b"\xff" * 4 * 4096
    database.write_bytes(bytes(data))


def other_shape(database: Path) -> None:
    """A table of ours under which something else is stored: the upgrade fails in its midst."""
    db = sqlite3.connect(database)
    db.execute("CREATE TABLE items (other TEXT)")
    db.commit()
    db.close()


def a_pipe(database: Path) -> None:
    database.unlink()
    os.mkfifo(database)


BROKEN: dict[Callable[[Path], None], str] = {
    newer: "it was written by a newer AIRelays",
    not_one: "file is not a database",
    torn: "",
    other_shape: "no such column: conversation_id",
    a_pipe: "state.sqlite3 is not a regular file; move it away, then try again",
}


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder below, whatever it is named."""
    return {
        str(p.relative_to(folder)): (
            p.lstat().st_mode,
            p.read_bytes() if p.is_file() else b"",
        )
        for p in folder.rglob("*")
    }


@pytest.mark.parametrize("breaks", BROKEN, ids=lambda f: str(f.__name__))
@pytest.mark.parametrize("target", ["new", "empty", "the same", "dry"])
def test_a_database_that_cannot_be_upgraded_leaves_nothing_behind(
    home: Path, breaks: Callable[[Path], None], target: str
) -> None:
    old = old_program(home, ".airelays" if target == "the same" else ".airelay")
    breaks(old / "state.sqlite3")
    if target == "empty":
        (home / ".airelays").mkdir(mode=0o700)
        (home / ".airelays" / "relay.lock").touch(0o600)
    if target == "the same":
        old.chmod(0o700)
        (old / "relay.lock").touch(0o600)
    before = everything(home)
    found = answer(home, *(["--dry-run"] if target == "dry" else []), code=1)
    assert {s["result"] for s in found["steps"]} == {"not imported"}
    problem = step(found, "state")["problem"]
    assert problem.startswith(f"{old}/state.sqlite3 cannot be updated (")
    assert BROKEN[breaks] in problem
    assert problem.endswith(
        "so nothing was imported; to continue without its files and conversations, move it away, then try again"
    )
    assert everything(home) == before


def test_what_was_refused_can_be_taken_over_once_it_is_repaired(home: Path) -> None:
    old = old_program(home)
    newer(old / "state.sqlite3")
    answer(home, code=1)
    db = sqlite3.connect(old / "state.sqlite3")
    db.execute("PRAGMA user_version = 0")
    db.commit()
    db.close()
    assert set(results(home).values()) == {"imported"}
    assert sorted(os.listdir(home)) == [".airelay", ".airelays", ".config"]
    assert sorted(os.listdir(home / ".airelays")) == [
        *("auth.json", "auth.json.lock", "relay-token", "relay.lock", "state.sqlite3", "uploads"),
    ]


def test_a_state_that_cannot_be_put_in_its_place_takes_the_config_back(home: Path) -> None:
    old_program(home)
    (home / ".airelays").mkdir(mode=0o700)
    (home / ".airelays" / "uploads").write_text("in the way")
    before = everything(home)
    said = run(home, code=1)
    assert "the files and conversations cannot be put into " in said
    assert said.endswith("; nothing was imported\n")
    after = everything(home)
    after.pop(".airelays/relay.lock")
    assert after == before


def test_an_upgrade_in_place_that_fails_late_gives_files_their_names_back(home: Path) -> None:
    old = old_program(home, ".airelays")

    class Full(State):
        def _carry_files(self, db: sqlite3.Connection, moved: list[tuple[str, str]]) -> None:
            super()._carry_files(db, moved)
            assert moved and not (old / "uploads" / "old-name.bin").exists()
            raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(RelayError):
        Full(str(old), recover=False)
    assert (old / "uploads" / "old-name.bin").read_bytes() == b"kept bytes"
    State(str(old), recover=True).close()
    assert (old / "uploads" / FILE).read_bytes() == b"kept bytes"


def test_a_log_of_another_database_is_not_mixed_into_the_new_one(home: Path) -> None:
    old_program(home)
    (home / ".airelays").mkdir(mode=0o700)
    (home / ".airelays" / "state.sqlite3-wal").write_bytes(b"left")
    problem = step(answer(home, code=1), "state")["problem"]
    assert (
        f"{home}/.airelays/state.sqlite3-wal is left over from another database; move it away"
        in problem
    )


def test_a_database_in_wal_mode_is_read_without_a_trace(home: Path) -> None:
    old = old_program(home)
    db = sqlite3.connect(old / "state.sqlite3")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("UPDATE conversations SET updated_at = 5")
    db.commit()
    db.close()
    names = sorted(os.listdir(old))
    assert set(results(home).values()) == {"imported"}
    assert sorted(os.listdir(old)) == names


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("", "is empty; `airelays init` creates a token"),
        (" \n", "is empty; `airelays init` creates a token"),
        ("two words\n", "does not contain exactly one token; expected one line"),
        ("ä" * 20, "does not contain exactly one token; expected one line"),
        ("x" * 5000, "does not contain exactly one token; expected one line"),
    ],
)
@pytest.mark.parametrize("dry", [False, True])
def test_a_token_that_cannot_be_used_is_not_taken_over(
    home: Path, token: str, problem: str, dry: bool
) -> None:
    old = old_program(home)
    (old / "relay-token").write_text(token)
    found = answer(home, *(["--dry-run"] if dry else []), code=1)
    result = step(found, "relay token")
    assert result["result"] == "not imported"
    assert result["problem"].startswith(f"{old}/relay-token {problem}")
    assert step(found, "state")["result"] == "imported"
    assert not (home / ".airelays" / "relay-token").exists()
