"""`key create`, `list`, `rotate`, `revoke`, and `keys.json` as they leave it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pytest

from airelays.credentials import keys as keyfile
from airelays.credentials.keys import KeyFile, change_keys, parse, read_keys
from airelays.errors import ConfigError
from airelays.guard.keys import Key, Secret, is_well_formed
from tests.app.keyed import make, make_many, run
from tests.disks import tiny_disk


def note(text: str) -> None:
    raise AssertionError(text)


def folder(home: Path) -> str:
    return str(home / ".airelays")


def test_a_key_is_printed_once_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    key = make(tmp_path, "aider", "--expires", "30d", "--tokens-per-day", "1,000", "--no-tools")
    assert is_well_formed(key.encode())
    file = tmp_path / ".airelays/keys.json"
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600
    everything = "".join(f.read_text(errors="replace") for f in tmp_path.rglob("*") if f.is_file())
    assert key not in everything and key[5:40] not in everything
    listed = run(tmp_path, "key", "list", "--json")
    assert key not in listed.stdout
    (row,) = json.loads(listed.stdout)["keys"]
    assert (row["name"], row["state"], row["routes"]) == ("aider", "live", "text")
    assert (row["tokens_per_day"], row["no_tools"], row["last_used_at"]) == (1000, True, None)
    assert abs(row["expires_at"] - time.time() - 30 * 86_400) < 60


def test_rotate_keeps_the_id_and_revoke_frees_the_name(tmp_path: Path) -> None:
    first = make(tmp_path, "aider")
    (before,) = read_keys(folder(tmp_path))
    second = run(tmp_path, "key", "rotate", "aider", "--grace", "1h").stdout.strip()
    (after,) = read_keys(folder(tmp_path))
    assert first != second and before.id == after.id
    assert [s.until_s is None for s in after.secrets] == [False, True]
    assert run(tmp_path, "key", "revoke", "aider").returncode == 0
    assert "already revoked" in run(tmp_path, "key", "rotate", "aider").stderr
    make(tmp_path, "aider")
    ids = [key.id for key in read_keys(folder(tmp_path))]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("create", "the name is"),
        ("create a/b", "the name is"),
        ("create one", "there is already a key one"),
        ("create two --expires 2001-01-01", "which is in the past"),
        ("create two --expires 0d", "which is in the past"),
        ("create two --expires soon", "such as 30d"),
        ("create two --expires 2027-02-31", "is not a date"),
        ("create two --routes some", "expected text, read or all"),
        ("create two --upstreams nowhere", "there is no upstream nowhere"),
        ("create two --models ,", "expected names separated by commas"),
        ("create two --models nothing-*", "matches none of the"),
        ("create two --requests-per-minute 0", "expected a whole number from 1"),
        ("create two --concurrent -1", "expected a whole number from 1"),
        ("create two --tokens-per-day much", "expected a whole number from 1"),
        ("rotate two", "there is no key two"),
        ("rotate one --grace never", "such as 30d"),
        ("revoke two", "there is no key two"),
        ("show one", "create, list, rotate, revoke"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(
    tmp_path: Path, words: str, said: str
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[upstream]\nkind = "demo"\n')
    make_many(tmp_path, 1)
    change_keys(folder(tmp_path), lambda keys: (keys[0]._replace(name="one"),), note)
    before = (tmp_path / ".airelays/keys.json").read_bytes()
    done = run(tmp_path, "key", *words.split(), config=config)
    assert done.returncode in (1, 2) and said in done.stderr and done.stdout == ""
    assert "Traceback" not in done.stderr
    assert (tmp_path / ".airelays/keys.json").read_bytes() == before
    left = [f.name for f in (tmp_path / ".airelays").iterdir()]
    assert not [name for name in left if name.endswith(".staged")]


def test_a_pattern_that_cannot_be_checked_is_taken_with_a_word(tmp_path: Path) -> None:
    done = run(tmp_path, "key", "create", "aider", "--models", "gpt-*")
    assert done.returncode == 0 and "the upstream's list is not available" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is not JSON"),
        ("[]", "it has no"),
        (
            '{"format": 2, "keys": []}',
            "written by a newer AIRelays (format 2, this version supports 1)",
        ),
        ('{"format": 1, "keys": [{}]}', "incomplete"),
        ('{"format": 1, "keys": [{"max_cost": 1}]}', "has an unknown field"),
        ('{"format": 1, "keys": {}}', "it has no"),
    ],
)
def test_a_file_that_cannot_be_understood_lets_nobody_in(
    tmp_path: Path, text: str, said: str
) -> None:
    make(tmp_path, "aider")
    file = tmp_path / ".airelays/keys.json"
    known = KeyFile(folder(tmp_path))
    assert len(known.current()) == 1
    file.write_text(text)
    assert len(known.current()) == 0 and said in known.problem
    for words in ("create two", "list", "rotate aider", "revoke aider"):
        done = run(tmp_path, "key", *words.split())
        assert done.returncode == 1 and said in done.stderr
    assert file.read_text() == text


def test_every_value_of_the_file_is_checked(tmp_path: Path) -> None:
    make(tmp_path, "aider")
    file = tmp_path / ".airelays/keys.json"
    tree = json.loads(file.read_text())
    for name in tree["keys"][0]:
        if name == "no_tools":
            continue  # whatever is not false refuses tools
        wrong = {**tree["keys"][0], name: {"a": 1}}
        with pytest.raises(ConfigError):
            parse(json.dumps({"format": 1, "keys": [wrong]}).encode(), "x")
    with pytest.raises(ConfigError, match="same id"):
        parse(json.dumps({"format": 1, "keys": tree["keys"] * 2}).encode(), "x")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "aider")
    file = tmp_path / ".airelays/keys.json"
    file.chmod(0o640)
    known = KeyFile(folder(tmp_path))
    assert len(known.current()) == 0 and "chmod 600" in known.problem
    done = run(tmp_path, "key", "create", "two")
    assert done.returncode == 1 and "chmod 600" in done.stderr
    file.chmod(0o600)
    assert len(known.current()) == 1 and not known.problem


def test_a_look_is_one_stat_and_a_change_is_seen_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_many(tmp_path, 2)
    file = tmp_path / ".airelays/keys.json"
    os.utime(file, (1_000_000_000, 1_000_000_000))
    known = KeyFile(folder(tmp_path))
    first = known.current()
    calls: list[str] = []
    real = os.stat

    def counting(path: str, **more: bool) -> os.stat_result:
        calls.append(path)
        return real(path, **more)

    monkeypatch.setattr(os, "stat", counting)
    assert known.current() is first
    assert calls == [known.path]
    monkeypatch.undo()
    change_keys(folder(tmp_path), lambda keys: keys[:1], note)
    assert len(known.current()) == 1
    file.unlink()
    assert len(known.current()) == 0 and not known.problem


def test_old_keys_and_old_secrets_are_forgotten(tmp_path: Path) -> None:
    now = time.time()
    old = now - keyfile.FORGET_S - 1
    secret = Secret(bytes(32))
    made = Key("key_" + "a" * 16, "a", (secret, Secret(bytes(31) + b"1", old)), 1.0)
    gone = made._replace(id="key_" + "b" * 16, revoked_s=old)
    late = made._replace(id="key_" + "c" * 16, expires_s=old)
    kept = made._replace(id="key_" + "d" * 16, revoked_s=now)
    found = change_keys(folder(tmp_path), lambda keys: (made, gone, late, kept), note)
    assert [key.id[-1] for key in found] == ["a", "d"]
    assert found[0].secrets == (secret,)


def test_a_full_disk_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    data = tmp_path / "disk"
    with tiny_disk(data, "64k"):
        make_many_in(data, 20)
        before = (data / "keys.json").read_bytes()
        with (data / "rest").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        done = run(tmp_path, "key", "create", "two", "--data-dir", str(data))
        assert done.returncode == 1 and "No space left" in done.stderr and done.stdout == ""
        assert (data / "keys.json").read_bytes() == before
        assert sorted(f.name for f in data.iterdir()) == ["keys.json", "keys.lock", "rest"]


def make_many_in(data: Path, count: int) -> None:
    made = tuple(
        Key(f"key_{n:016x}", f"k{n}", (Secret(n.to_bytes(32, "big")),), 1.0) for n in range(count)
    )
    change_keys(str(data), lambda keys: made, note)
