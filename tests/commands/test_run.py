"""`run -- COMMAND`: the environment of the command, its exit code, a key that ends with it, and what it used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from airelays.commands.holding import MEMORY, PREFIX
from airelays.commands.run import child_env, summary, words_of
from airelays.errors import ConfigError
from airelays.host.contact import find
from tests.app.keyed import run
from tests.live import ROOT, program, running, wait_for
from tests.net.test_live_wire import WIDE

CLIENT = """
import json, os, sys, urllib.request
base, key = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
assert os.environ["ANTHROPIC_AUTH_TOKEN"] == key and os.environ["ANTHROPIC_BASE_URL"] + "/v1" == base
assert "AIRELAYS_BEARER_TOKEN" not in os.environ
body = {"model": sys.argv[1], "messages": [{"role": "user", "content": "hi"}]}
fields = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
def ask():
    request = urllib.request.Request(base + "/chat/completions", json.dumps(body).encode(), fields)
    return urllib.request.urlopen(request).status
"""
ONE = CLIENT + "print(ask(), key, base); sys.exit(7)"


def started(home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*program(), "run", *words],
        env={"HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", "")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
    )


def test_without_a_relay_one_lives_inside_and_leaves_only_log_and_book(tmp_path: Path) -> None:
    done = run(tmp_path, "run", "--demo", "--", sys.executable, "-c", ONE, "demo")
    assert done.returncode == 7, done.stderr
    status, key, _ = done.stdout.split()
    assert status == "200"
    assert done.stderr.startswith("airelays: 1 request; ") and done.stderr.count("\n") == 1
    files = sorted(p.name for p in (tmp_path / ".airelays").iterdir())
    assert files == ["book-1.log", "logs"]
    everything = "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    assert key not in everything
    book = json.loads(run(tmp_path, "usage", "--by", "key", "--json").stdout)["book"]
    assert [(row["key"], row["requests"]) for row in book["rows"]] == [("run", 1)]


def test_in_the_running_relay_the_key_ends_with_the_command(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        done = run(tmp_path, "run", "--", sys.executable, "-c", ONE, "demo")
        assert done.returncode == 7, done.stderr
        _, key, base = done.stdout.split()
        assert base.endswith(f":{relay.port}/v1") and "1 request; " in done.stderr
        wait_for(lambda: relay.send("GET", "/v1/models", token=key).status == 401)
        limited = run(tmp_path, "run", "--models", "x*", "--", sys.executable, "-c", ONE, "demo")
        assert limited.returncode == 1 and "1 failed (bad_request 1)" not in limited.stdout
        assert "403" in limited.stderr
    assert not (tmp_path / ".airelays/keys.json").exists()


def test_a_lease_is_of_one_new_key(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        assert run(tmp_path, "key", "create", "known").returncode == 0
        known = json.loads((tmp_path / ".airelays/keys.json").read_text())
        contact = find(str(tmp_path / ".airelays"))
        assert contact is not None
        with pytest.raises(ConfigError, match="a lease requires exactly one key, and a new one"):
            contact.ask("POST", "/lease", known)
        with pytest.raises(ConfigError, match="a lease requires exactly one key, and a new one"):
            contact.ask("POST", "/lease", {**known, "keys": []})
        assert relay.get("/healthz").status == 200


def test_a_lease_is_registered_again_after_a_restart(tmp_path: Path) -> None:
    again = CLIENT + (
        "import time\nprint(ask(), flush=True)\ninput()\n"
        "for _ in range(600):\n"
        "    try:\n        print(ask(), flush=True)\n        break\n"
        "    except OSError:\n        time.sleep(0.05)\n"
    )
    with running(tmp_path, env=WIDE) as relay:
        child = started(tmp_path, "--", sys.executable, "-c", again, "demo")
        assert child.stdout is not None and child.stdin is not None
        assert child.stdout.readline() == "200\n"
        port = relay.port
        relay.stop(signal.SIGKILL)
    with running(tmp_path, "--port", str(port), env=WIDE):
        child.stdin.write("\n")
        out, err = child.communicate(timeout=60)
    assert (out, child.returncode) == ("200\n", 0), err


def test_a_signal_goes_to_the_command_and_its_end_is_passed_on(tmp_path: Path) -> None:
    wait = "import time; print('up', flush=True); time.sleep(60)"
    child = started(tmp_path, "--demo", "--", sys.executable, "-c", wait)
    assert child.stdout is not None and child.stdout.readline() == "up\n"
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    assert child.returncode == 128 + signal.SIGTERM


def test_what_a_command_used_is_in_the_book_also_when_it_is_killed(tmp_path: Path) -> None:
    child = started(
        tmp_path, "--demo", "--", sys.executable, "-c", f"{CLIENT}print(ask())\ninput()", "demo"
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    child.kill()
    child.communicate(timeout=30)
    assert line == "200\n"
    left = folders_of(child.pid)
    assert len(left) == 1
    assert run(tmp_path, "run", "--demo", "--", "true").returncode == 0
    assert folders_of(child.pid) == []
    found = json.loads(run(tmp_path, "usage", "--by", "key", "--json").stdout)["book"]
    assert [(row["key"], row["requests"]) for row in found["rows"]] == [("run", 1)]


def folders_of(pid: int) -> list[Path]:
    return [
        p for place in (MEMORY, tempfile.gettempdir()) for p in Path(place).glob(f"{PREFIX}{pid}-*")
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--demo", "--", "no-such-command"), 127, "the command 'no-such-command' was not found"),
        (("--demo", "--", "/"), 126, "cannot be run"),
        ((), 2, "the command is missing"),
        (("--demo", "--routes", "some", "--", "true"), 2, "routes"),
    ],
)
def test_what_cannot_be_run_is_said(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = run(tmp_path, "run", *words)
    assert done.returncode == code and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_what_competes_is_removed_and_the_relay_is_not_proxied() -> None:
    before = {"ANTHROPIC_API_KEY": "x", "OPENAI_ORG_ID": "x", "NO_PROXY": "a.example", "HOME": "/h"}
    found = child_env(before, "http://127.0.0.1:1/v1", "airl_k")
    assert found == {
        "HOME": "/h",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
        "OPENAI_API_KEY": "airl_k",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "ANTHROPIC_AUTH_TOKEN": "airl_k",
        "OLLAMA_HOST": "http://127.0.0.1:1",
        "NO_PROXY": "a.example,127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
    }


def test_codex_is_told_the_address_and_nothing_else_is_changed() -> None:
    found = words_of(("/opt/bin/codex", "exec", "hi"), "http://127.0.0.1:5/v1")
    assert (found[0], found[-2:], found[1]) == ("/opt/bin/codex", ["exec", "hi"], "-c")
    assert 'base_url="http://127.0.0.1:5/v1",env_key="OPENAI_API_KEY"' in found[2]
    assert found[4] == 'model_provider="airelays"'
    assert words_of(("claude", "-p", "hi"), "http://x/v1") == ["claude", "-p", "hi"]


def test_the_last_line_says_what_was_used() -> None:
    facts = {
        "requests": 3,
        "failed": 1,
        "failures": {"failed_upstream": 1},
        "input_tokens": 1000,
        "output_tokens": 20,
        "cache_hit_rate": 0.5,
        "first_token_seconds": {"mean": 0.25},
    }
    assert summary(facts) == (
        "3 requests; 1,000 tokens in, 20 out; 50% of the input cached; first token after 0.25 s; "
        "1 failed (1 failed_upstream)"
    )
