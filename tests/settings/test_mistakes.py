"""`config check` tells all mistakes at once, and where both of two places are."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from airelays.settings.malformed import explain
from tests.live import ROOT, TOKEN, program


def check(home: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    path = home / "c.toml"
    path.write_text(text)
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*program(), *(words or ("config", "check")), "--config", str(path)],
        env={**env, "AIRELAYS_BEARER_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FOUR = """
[server]
port = 70000
prot = 1
[security]
rate_limit_per_minute = "x"
[upstreams.a]
kind = "nonsense"
[aliases]
b = 1
"""


def test_every_mistake_is_told_at_once_and_the_first_by_every_command(tmp_path: Path) -> None:
    done = check(tmp_path, FOUR)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 5
    for part in ("server.port", "server.prot", "rate_limit_per_minute", "upstreams.a", "aliases.b"):
        assert part in done.stderr, part
    told = json.loads(check(tmp_path, FOUR, "config", "check", "--json").stdout)
    assert told["ok"] is False and len(told["problems"]) == 5
    other = check(tmp_path, FOUR, "status", "--json")
    assert other.returncode == 1 and "(4 more mistakes: " in other.stderr
    assert json.loads(other.stdout)["error"]["message"] in other.stderr.replace("airelays: ", "", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[server]\nport = 1\n\n[paths]\n[server]\nhost = 'x'\n",
            "is defined at line 1 and line 5",
        ),
        ("[server]\nport = 1\n[paths]\n[ server ]\n", "line 1 and line 4"),
        ("[upstreams.a]\nx = 1\n[upstreams.a]\n", "[upstreams.a] is defined at line 1 and line 3"),
        ("[server]\nport = 1\nhost = 'x'\nport = 2\n", "line 2 and line 4"),
        ('[paths]\ndata_dir = "C:\\Users\\me"\n', "'C:\\Users\\me' or \"C:/Users/me\""),
        ('[paths]\ndata_dir = "D:\\data"\n', "in single quotes"),
        ("[server\n", "correct that line"),
    ],
)
def test_malformed_toml_says_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    done = check(tmp_path, text)
    assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1


def test_a_sentence_that_is_not_known_is_no_trouble() -> None:
    for error in (
        "",
        "x (at line 99, column 1)",
        "Cannot declare ('x',) twice (at end of document)",
    ):
        assert explain("a = 1\n", error) == "correct that line"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[aliases]\nfast = "nowhere/x"\n', "nowhere"),
        ('[aliases]\nfast = { model = "m", fallback = ["nowhere/x"] }\n', "nowhere"),
        ('[upstream]\nfallback = ["nowhere/x"]\n', "nowhere"),
    ],
)
def test_targets_that_are_not_there_are_warned_of(tmp_path: Path, text: str, said: str) -> None:
    done = check(tmp_path, text)
    assert done.returncode == 0 and f"names the upstream {said}" in done.stdout
