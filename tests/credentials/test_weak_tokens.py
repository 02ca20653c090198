"""Tokens that can be guessed: said on loopback, refused beyond it unless that was confirmed twice."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airelays.credentials.token import TokenSource, generate_token
from airelays.guard.auth import PUBLISHED, weakness
from tests import live
from tests.live import plain

ROOT = Path(__file__).resolve().parents[2]
STRONG = live.TOKEN
WIDE = ("--host", "0.0.0.0")
BOTH = ("--allow-weak-token", "--i-know-this-is-open")


@pytest.mark.parametrize(
    ("token", "weak"),
    [
        ("YOUR_AIRELAYS_TOKEN", "is published as an example"),
        ("your_airelays_token", "is published as an example"),
        ("x", "is published as an example"),
        ("test", "is published as an example"),
        ("changeme", "is published as an example"),
        ("ChangeMe", "is published as an example"),
        ("sk-1234", "is published as an example"),
        ("abcdefghijklmno", "is shorter than 16 characters"),
        ("abcdefghijklmnop", ""),
        ("abcdefgabcdefgabcdefg", "has fewer than 8 different characters"),
        ("abcdefghabcdefgh", ""),
        ("t" * 43, "has fewer than 8 different characters"),
    ],
)
def test_what_is_weak(token: str, weak: str) -> None:
    assert weakness(token.encode()) == weak


def test_what_the_program_makes_is_not_weak() -> None:
    assert [weakness(generate_token().encode()) for _ in range(1000)] == [""] * 1000


def test_every_token_in_our_documentation_is_known_as_published() -> None:
    pages = [ROOT / "README.md", *(ROOT / "airelays" / "docs").glob("*.md")]
    found = {
        value
        for page in pages
        for value in re.findall(
            r"""(?:BEARER_TOKEN|AIRELAYS_TOKEN|OPENAI_API_KEY)=['"]?([A-Za-z0-9_-]+)""",
            page.read_text(encoding="utf-8"),
        )
    }
    assert "YOUR_AIRELAYS_TOKEN" in found
    assert {value for value in found if value.lower().encode() not in PUBLISHED} == set()


# ---- the commands


def run(home: Path, *words: str, token: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    variables = {"AIRELAYS_BEARER_TOKEN": token} if token else {}
    return plain(
        subprocess.run(
            [sys.executable, "-m", "airelays", *words],
            env={
                "HOME": str(home),
                "PYTHONPATH": str(ROOT),
                "PATH": os.defpath,
                **variables,
                **env,
            },
            cwd=home,
            capture_output=True,
            text=True,
            timeout=60,
        )
    )


def put_token(home: Path, token: str) -> Path:
    path = home / ".airelays" / "relay-token"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(token + "\n")
    path.chmod(0o600)
    return path


def test_a_relay_on_loopback_warns_at_its_start(tmp_path: Path) -> None:
    with live.running(tmp_path, token="changeme") as relay:
        assert relay.send("GET", "/v1/models", token="changeme").status == 200
        relay.process.terminate()
        said = relay.process.communicate(timeout=live.DEADLINE_S)[1]
    assert said.splitlines()[0] == (
        "airelays: the relay token in AIRELAYS_BEARER_TOKEN is published as an example, so it can be guessed; "
        f"put a better one there, or unset AIRELAYS_BEARER_TOKEN and run: {sys.executable} -m airelays init"
    )
    assert "changeme" not in said


def test_a_strong_token_is_not_mentioned(tmp_path: Path) -> None:
    with live.running(tmp_path) as relay:
        relay.process.terminate()
        assert relay.process.communicate(timeout=live.DEADLINE_S)[1] == ""
    assert (
        json.loads(run(tmp_path, "status", "--json", token=STRONG).stdout)["relay"][
            "bearer_token_warning"
        ]
        is None
    )


@pytest.mark.parametrize("command", ["serve", "init", "check"])
@pytest.mark.parametrize("flags", [(), BOTH[:1], BOTH[1:]])
def test_beyond_loopback_it_is_refused_unless_confirmed_twice(
    tmp_path: Path, command: str, flags: tuple[str, ...]
) -> None:
    path = put_token(tmp_path, "sk-1234")
    words = ("config", "check") if command == "check" else (command,)
    env = {
        "AIRELAYS_HOST": "0.0.0.0",
        "AIRELAYS_UPSTREAM_KIND": "demo",
        **({"AIRELAYS_ALLOW_WEAK_TOKEN": "true"} if BOTH[0] in flags else {}),
        **({"AIRELAYS_ALLOW_OPEN_NETWORK": "true"} if BOTH[1] in flags else {}),
    }
    done = run(tmp_path, *words, **env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"airelays: the relay token in {path} is published as an example, and on 0.0.0.0 other machines can reach "
        "the relay; run `airelays token rotate`, listen on 127.0.0.1, or add --allow-weak-token "
        "--i-know-this-is-open"
    )
    assert not (tmp_path / ".config").exists()


def test_confirmed_twice_it_starts_and_warns(tmp_path: Path) -> None:
    with live.running(tmp_path, *WIDE, *BOTH, token="sk-1234") as relay:
        assert relay.send("GET", "/v1/models", token="sk-1234").status == 200
        relay.process.terminate()
        said = relay.process.communicate(timeout=live.DEADLINE_S)[1]
    assert "is published as an example, so it can be guessed" in said


def test_a_strong_token_needs_no_confirmation_beyond_loopback(tmp_path: Path) -> None:
    with live.running(tmp_path, *WIDE) as relay:
        assert relay.get("/v1/models").status == 200


def test_status_says_so(tmp_path: Path) -> None:
    path = put_token(tmp_path, "a" * 40)
    done = run(tmp_path, "status")
    sentence = (
        f"the relay token in {path} has fewer than 8 different characters, so it can be guessed; "
        "run `airelays token rotate`"
    )
    assert f"weak: {sentence}" in done.stdout and done.returncode == 3
    facts = json.loads(run(tmp_path, "status", "--json").stdout)
    assert facts["relay"]["bearer_token_warning"] == sentence
    assert facts["next_steps"][0] == "airelays token rotate"
    assert run(tmp_path, "token", "rotate").returncode == 0
    facts = json.loads(run(tmp_path, "status", "--json").stdout)
    assert facts["relay"]["bearer_token_warning"] is None
    assert "airelays token rotate" not in facts["next_steps"]


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", "warn"), ("0.0.0.0", "fail")])
def test_doctor_says_so(tmp_path: Path, host: str, status: str) -> None:
    put_token(tmp_path, "test")
    env = {"AIRELAYS_HOST": host, "AIRELAYS_UPSTREAM_KIND": "demo"}
    done = run(tmp_path, "doctor", "--json", "--skip-response", **env)
    found = {c["name"]: c for c in json.loads(done.stdout)["checks"]}["relay_token"]
    assert found["status"] == status and "is published as an example" in found["message"]
    assert found["next_steps"] == ["airelays token rotate"]
    assert done.returncode == (1 if status == "fail" else 0)


def test_config_check_warns_on_loopback(tmp_path: Path) -> None:
    done = run(tmp_path, "config", "check", token="short", AIRELAYS_UPSTREAM_KIND="demo")
    assert done.returncode == 0
    assert "warning: the relay token in AIRELAYS_BEARER_TOKEN is shorter than 16" in done.stdout


def test_open_mode_needs_no_token_and_hears_nothing(tmp_path: Path) -> None:
    done = run(
        tmp_path, "config", "check", "--no-auth", token="short", AIRELAYS_UPSTREAM_KIND="demo"
    )
    assert done.returncode != 0 or "relay token" not in done.stdout


# ---- a token that changes while the relay runs


def test_a_weak_token_that_comes_later_lets_nobody_in_beyond_loopback(tmp_path: Path) -> None:
    path = put_token(tmp_path, STRONG)
    with live.running(tmp_path, *WIDE, token=None) as relay:
        assert relay.send("GET", "/v1/models", token=STRONG).status == 200
        path.write_text("changeme\n")
        assert relay.send("GET", "/v1/models", token="changeme").status == 401
        assert relay.send("GET", "/v1/models", token=STRONG).status == 401
        path.write_text(STRONG + "\n")
        assert relay.send("GET", "/v1/models", token=STRONG).status == 200
        relay.process.terminate()
        said = relay.process.communicate(timeout=live.DEADLINE_S)[1]
    assert (
        f"all clients are refused: the relay token in {path} is published as an example, and other machines can "
        "reach this relay"
    ) in said


def test_a_weak_token_that_comes_later_is_mentioned_once_on_loopback(tmp_path: Path) -> None:
    path = put_token(tmp_path, STRONG)
    with live.running(tmp_path, token=None) as relay:
        path.write_text("changeme\n")
        for _ in range(3):
            assert relay.send("GET", "/v1/models", token="changeme").status == 200
        relay.process.terminate()
        said = relay.process.communicate(timeout=live.DEADLINE_S)[1]
    assert said.count("is published as an example, so it can be guessed") == 1


def test_a_source_that_nobody_has_told_does_not_judge(tmp_path: Path) -> None:
    said: list[str] = []
    source = TokenSource(str(put_token(tmp_path, "x")), {}, said.append)
    assert (source.current(), said) == (b"x", [])
